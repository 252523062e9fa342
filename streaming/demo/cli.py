"""The commands `produce` and `demo`. Nothing here imports TensorFlow."""

import itertools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import cv2
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from streaming.demo.produce import Pace, Producer, ensure_topic
from streaming.demo.profiles import Profile, Shape
from streaming.demo.sources import Record, folder, oxford_pet
from streaming.demo.synthetic import synthetic
from streaming.demo.termination import terminable
from streaming.errors import PenstockError, SettingsError
from streaming.settings import LEAST_SIDE, MOST_SIDE, KafkaSettings
from streaming.settings_sources import load_settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
produce = typer.Typer(no_args_is_help=True, help="Send pictures to a topic.")
app.add_typer(produce, name="produce")

Servers = Annotated[str | None, typer.Option("--bootstrap-servers", help="host:port, comma separated.")]
Topic = Annotated[str | None, typer.Option("--topic", help="Topic to send to; kafka.topic unless given.")]
Rate = Annotated[
    float | None, typer.Option("--rate", min=0.001, help="Records a second; as fast as it goes unless given.")
]
Count = Annotated[int | None, typer.Option("--count", min=1, help="Stop after so many records.")]
Loop = Annotated[bool, typer.Option("--loop", help="Begin again at the end, until --count or Ctrl-C.")]
Create = Annotated[bool, typer.Option("--create-topic", help="Create the topic if it is missing.")]
Partitions = Annotated[int, typer.Option("--partitions", min=1, help="Partitions of a topic that is created.")]
Compression = Annotated[
    Literal["none", "gzip", "snappy", "lz4", "zstd"], typer.Option("--compression", help="Kafka's codec.")
]
Shuffle = Annotated[int | None, typer.Option("--seed", help="Shuffle with this seed; in order unless given.")]
Kind = Annotated[Profile, typer.Option("--profile", help="What a record holds; the README says what each buys.")]
Side = Annotated[
    int | None,
    typer.Option(
        "--image-size", min=LEAST_SIDE, max=MOST_SIDE, help="Of what is made small; pipeline.image_size unless given."
    ),
]
WIDE = 140  # columns of what no terminal shows
Directory = Annotated[Path, typer.Argument(help="The unpacked archive: images/ and annotations/.")]


@produce.command("synthetic")
def produce_synthetic(
    seed: Annotated[int, typer.Option("--seed", help="Another seed draws other pets.")] = 0,
    first: Annotated[int, typer.Option("--first", min=0, help="Index of the first pet.")] = 0,
    broken_every: Annotated[int, typer.Option("--broken-every", min=0, help="Each n-th record is a bad one.")] = 0,
    bootstrap_servers: Servers = None,
    topic: Topic = None,
    rate: Rate = None,
    count: Count = None,
    create_topic: Create = False,
    partitions: Partitions = 4,
    compression: Compression = "none",
    profile: Kind = Profile.FULL,
    image_size: Side = None,
) -> None:
    """Drawn pets with trimaps, endless unless --count is given."""
    with _reported():
        records = synthetic(seed, first, count, broken_every, shape=_shape(profile, image_size))
        _send(records, count, rate, _kafka(bootstrap_servers, topic), partitions if create_topic else None, compression)


@produce.command("oxford-pet")
def produce_oxford_pet(
    directory: Directory,
    split: Annotated[str, typer.Option("--split", help="trainval or test.")] = "trainval",
    seed: Shuffle = None,
    bootstrap_servers: Servers = None,
    topic: Topic = None,
    rate: Rate = None,
    count: Count = None,
    loop: Loop = False,
    create_topic: Create = False,
    partitions: Partitions = 4,
    compression: Compression = "none",
    profile: Kind = Profile.FULL,
    image_size: Side = None,
) -> None:
    """The Oxford-IIIT Pet data set as it was unpacked."""
    with _reported():
        shape = _shape(profile, image_size)
        records = _passes(
            lambda at: oxford_pet(directory, split, seed=None if seed is None else seed + at, shape=shape), loop
        )
        _send(records, count, rate, _kafka(bootstrap_servers, topic), partitions if create_topic else None, compression)


@produce.command("folder")
def produce_folder(
    images: Annotated[Path, typer.Argument(help="Folder of pictures: jpg, jpeg, png.")],
    masks: Annotated[Path, typer.Argument(help="Folder of masks of the same names: png, one channel of class ids.")],
    seed: Shuffle = None,
    bootstrap_servers: Servers = None,
    topic: Topic = None,
    rate: Rate = None,
    count: Count = None,
    loop: Loop = False,
    create_topic: Create = False,
    partitions: Partitions = 4,
    compression: Compression = "none",
    profile: Kind = Profile.FULL,
    image_size: Side = None,
) -> None:
    """Pictures and masks of your own."""
    with _reported():
        shape = _shape(profile, image_size)
        records = _passes(lambda at: folder(images, masks, seed=None if seed is None else seed + at, shape=shape), loop)
        _send(records, count, rate, _kafka(bootstrap_servers, topic), partitions if create_topic else None, compression)


@app.command()
def demo(
    forever: Annotated[bool, typer.Option("--forever", help="Keep sending pets until Ctrl-C.")] = False,
    bootstrap_servers: Annotated[
        str | None, typer.Option("--bootstrap-servers", help="Use this Kafka instead of an embedded one.")
    ] = None,
    records: Annotated[int, typer.Option("--records", min=200, help="Pets to draw and train on.")] = 3500,
    seed: Annotated[int, typer.Option("--seed", help="Another seed draws other pets.")] = 1,
    directory: Annotated[
        Path | None, typer.Option("--directory", help="Empty folder for checkpoints and logs; ./demo-run/<time>.")
    ] = None,
    port: Annotated[int | None, typer.Option("--port", help="The service's port; 8080, or a free one.")] = None,
) -> None:
    """A real Kafka, drawn pets, a trained model, and a report: three minutes on two cores."""
    from streaming.demo.plan import Wishes
    from streaming.demo.run import run_demo

    wishes = Wishes(forever, bootstrap_servers, records, seed, directory, port)
    with _reported():
        raise typer.Exit(run_demo(wishes, Console(width=None if sys.stdout.isatty() else WIDE)))


def _kafka(bootstrap_servers: str | None, topic: str | None) -> KafkaSettings:
    given = {"bootstrap_servers": bootstrap_servers, "topic": topic}
    flags = {name: value for name, value in given.items() if value is not None}
    return load_settings(flags={"kafka": flags} if flags else None).kafka


def _shape(profile: Profile, image_size: int | None) -> Shape:
    return Shape(profile, image_size or load_settings().pipeline.image_size)


def _passes(source: Callable[[int], Iterator[Record]], loop: bool) -> Iterator[Record]:
    """One pass over the source, or one after another. The first is opened at once, so that mistakes show."""
    first = source(0)
    return itertools.chain(first, *([itertools.chain.from_iterable(map(source, itertools.count(1)))] if loop else []))


def _send(
    records: Iterator[Record],
    count: int | None,
    rate: float | None,
    kafka: KafkaSettings,
    create_partitions: int | None,
    compression: str,
) -> None:
    cv2.setNumThreads(1)  # drawing is one core's work; the others are the trainer's
    console = Console(stderr=True)
    if ensure_topic(kafka, create_partitions):
        console.print(f"created topic {kafka.topic} with {create_partitions} partitions")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    with (
        terminable(),
        Producer(kafka, compression=compression) as producer,
        Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as progress,
    ):
        bar = progress.add_task(f"-> {kafka.topic}", total=count, rate="")
        try:
            for acknowledged in producer.send(Pace(rate)(itertools.islice(records, count))):
                speed = progress.tasks[0].finished_speed or progress.tasks[0].speed
                progress.update(bar, completed=acknowledged, rate=f"{speed:.0f}/s" if speed else "")
        except KeyboardInterrupt:
            console.print("interrupted")
    console.print(f"{producer.records_total} records, {producer.bytes_total / 1e6:.1f} MB, acknowledged")


@contextmanager
def _reported() -> Iterator[None]:
    """Failures as one sentence on stderr: exit code 2 for a wrong setting, else 1."""
    try:
        yield
    except PenstockError as error:
        typer.echo(f"penstock: {error}", err=True)
        raise typer.Exit(2 if isinstance(error, SettingsError) else 1) from error
    except BrokenPipeError:
        sys.exit(1)
