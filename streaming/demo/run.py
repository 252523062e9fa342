"""The whole thing at once: a broker, a stream of drawn pets, the service, and an honest report.

Everything below the orchestration is what a user runs: `produce` and `serve` as processes, HTTP between them.
"""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from streaming.demo.child import log_tail, start_child, stop_child
from streaming.demo.kafka import EmbeddedKafka
from streaming.demo.ports import free_port, is_free
from streaming.demo.produce import ensure_topic
from streaming.demo.report import FreshScore, Report, mismatch, table
from streaming.demo.screen import Screen
from streaming.demo.sidecar import Sidecar, Snapshot
from streaming.errors import PenstockError
from streaming.settings import load_settings

PARTITIONS = 4
BROKEN_EVERY = 100
FOREVER_PER_S = 25.0
NO_PROGRESS_S = 180.0
_UNUSED_SEED = 1_000_003
_SCORED = 300
_TEN = 10


class Wishes(NamedTuple):
    """What the command line asks for. directory None: ./demo-run/<time>. port None: 8080, or a free one."""

    forever: bool = False
    bootstrap_servers: str | None = None
    records: int = 3500
    seed: int = 1
    directory: Path | None = None
    port: int | None = None


class Demo:
    """One run. Children die with it, whatever ends it."""

    def __init__(self, wishes: Wishes, screen: Screen) -> None:
        self._wishes = wishes
        self._screen = screen
        self._directory = wishes.directory or Path("demo-run") / f"{datetime.now():%Y%m%d-%H%M%S}"  # noqa: DTZ005
        self._losses: dict[int, float] = {}
        self._started = time.monotonic()

    def run(self) -> Report | None:
        """The report; None for `forever`, which only Ctrl-C ends. Raises PenstockError."""
        _make_empty(self._directory)
        with ExitStack() as children:
            servers = self._wishes.bootstrap_servers or children.enter_context(self._kafka())
            suffix = f"-demo-{secrets.token_hex(3)}" if self._wishes.bootstrap_servers else ""
            environment = self._environment(servers, f"pets{suffix}")
            self._create_topics(environment)
            sidecar = Sidecar(environment, int(environment["PENSTOCK_SERVICE__PORT"]), self._directory / "service.log")
            children.callback(sidecar.stop)
            sidecar.start()
            producer = self._start_producer(environment)
            children.callback(stop_child, producer, 10)
            last = self._train(sidecar, producer)
            stage = self._screen.stage("taking a checkpoint over HTTP")
            checkpoint_id = sidecar.checkpoint()
            stage.done(f"checkpoint {checkpoint_id}")
            fresh = self._score(environment, checkpoint_id)
            last = sidecar.snapshot() or last
            stage = self._screen.stage("stopping the service")
            if (code := sidecar.stop()) != 0:
                raise PenstockError(f"the service ended with code {code} after SIGTERM, see {sidecar.log}")
            stage.done("the service left in good order")
        return self._report(last, checkpoint_id, fresh)

    @contextmanager
    def _kafka(self) -> Iterator[str]:
        stage = self._screen.stage("Apache Kafka", total=1.0)
        broker = EmbeddedKafka(
            self._directory / "kafka", progress=lambda text, fraction: stage.update(fraction, note=text)
        )
        try:
            with broker:
                stage.done(f"Apache Kafka 4.1.0 at {broker.bootstrap_servers}")
                yield broker.bootstrap_servers
        finally:
            shutil.rmtree(self._directory / "kafka" / "data", ignore_errors=True)

    def _environment(self, servers: str, topic: str) -> dict[str, str]:
        """Of the caller's PENSTOCK_ variables only Kafka's credentials reach the children."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("PENSTOCK_") or name.startswith("PENSTOCK_KAFKA__")
        }
        port = self._wishes.port or (8080 if is_free(8080) else free_port())
        settings = {
            "NAME": "demo",
            "KAFKA__BOOTSTRAP_SERVERS": servers,
            "KAFKA__TOPIC": topic,
            "KAFKA__DEAD_LETTER_TOPIC": f"{topic}.dead-letters",
            "PIPELINE__IMAGE_SIZE": "64",
            "PIPELINE__BATCH_SIZE": "16",
            "PIPELINE__LINGER_S": "2",
            "MODEL__WIDTH": "16",
            "MODEL__LEARNING_RATE": "0.003",
            "CHECKPOINT__DIRECTORY": str(self._directory.resolve() / "checkpoints"),
            "CHECKPOINT__INTERVAL_S": "20",
            # Whole blocks of 32 offsets are held out; 3,500 records hold about 110, so .02 might draw none.
            "EVALUATION__FRACTION": "0.06",
            "EVALUATION__INTERVAL_S": "10",
            "SERVICE__HOST": "127.0.0.1",
            "SERVICE__PORT": str(port),
        }
        return inherited | {f"PENSTOCK_{name}": value for name, value in settings.items()}

    def _create_topics(self, environment: dict[str, str]) -> None:
        stage = self._screen.stage("topics")
        wanted = {"bootstrap_servers": environment["PENSTOCK_KAFKA__BOOTSTRAP_SERVERS"]}
        names = [environment["PENSTOCK_KAFKA__TOPIC"], environment["PENSTOCK_KAFKA__DEAD_LETTER_TOPIC"]]
        for name, partitions in zip(names, (PARTITIONS, 1), strict=True):
            ensure_topic(load_settings(flags={"kafka": wanted | {"topic": name}}).kafka, partitions)
        stage.done(f"topics {names[0]} ({PARTITIONS} partitions) and {names[1]}")

    def _start_producer(self, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        """Nice, so that drawing takes only what training leaves."""
        command = [sys.executable, "-m", "streaming", "produce", "synthetic", "--seed", str(self._wishes.seed)]
        command += ["--broken-every", str(BROKEN_EVERY)]
        amount = ["--rate", str(FOREVER_PER_S)] if self._wishes.forever else ["--count", str(self._wishes.records)]
        return start_child(
            [*command, *amount], log=self._directory / "produce.log", environment=environment, niceness=10
        )

    def _train(self, sidecar: Sidecar, producer: subprocess.Popen[bytes]) -> Snapshot:
        """Watch until every record that was produced is settled."""
        total = None if self._wishes.forever else self._wishes.records
        producing = self._screen.stage("drawing pets and sending them", total)
        training = self._screen.stage("training", total)
        snapshot, progress, progress_at = None, (-1, -1), time.monotonic()
        produced = False
        while True:
            snapshot = sidecar.snapshot() or snapshot
            if snapshot is not None:
                produced = produced or self._watch_producer(producer)
                self._show(snapshot, sidecar, producing, training)
                if produced and snapshot.partitions and snapshot.lag == 0 and snapshot.settled >= self._wishes.records:
                    break
                if (snapshot.settled, snapshot.log_end) != progress:
                    progress, progress_at = (snapshot.settled, snapshot.log_end), time.monotonic()
            if time.monotonic() - progress_at > NO_PROGRESS_S:
                raise PenstockError(f"nothing moved for {NO_PROGRESS_S:.0f} s, see {self._directory}/*.log")
            time.sleep(0.1 if snapshot is None or snapshot.step < 2 * _TEN else 0.4)
        producing.done(f"{self._wishes.records:,} records sent and acknowledged")
        training.done(f"all {snapshot.settled:,} records settled")
        return snapshot

    def _watch_producer(self, producer: subprocess.Popen[bytes]) -> bool:
        code = producer.poll()
        if code:
            log = self._directory / "produce.log"
            raise PenstockError(f"producing ended with code {code}, see {log}:\n{log_tail(log)}")
        return code == 0

    def _show(self, snapshot: Snapshot, sidecar: Sidecar, producing: Any, training: Any) -> None:
        if snapshot.loss is not None and snapshot.step:
            self._losses[snapshot.step] = snapshot.loss
        producing.update(snapshot.log_end or 0, note=f"{snapshot.log_end or 0:,}")
        training.update(snapshot.settled, note=f"{snapshot.settled:,}" if snapshot.settled else snapshot.doing)
        self._screen.training(snapshot, sidecar.url)

    def _score(self, environment: dict[str, str], checkpoint_id: str) -> FreshScore:
        """What a process that has nothing but the checkpoint makes of pets from another seed."""
        stage = self._screen.stage("a fresh process scores the checkpoint on unseen pets")
        directory, log, output = environment["PENSTOCK_CHECKPOINT__DIRECTORY"], "score.log", "score.json"
        command = [sys.executable, "-m", "streaming", "score", "--checkpoint-directory", directory]
        command += ["--checkpoint", checkpoint_id, "--seed", str(self._wishes.seed + _UNUSED_SEED)]
        scoring = start_child(
            [*command, "--count", str(_SCORED)],
            log=self._directory / log,
            output=self._directory / output,
            environment=environment,
        )
        try:
            code = scoring.wait(NO_PROGRESS_S)
        except subprocess.TimeoutExpired:
            code = -1
        finally:
            stop_child(scoring, 1)
        if code != 0:
            tail = log_tail(self._directory / log)
            raise PenstockError(f"scoring ended with code {code}, see {self._directory / log}:\n{tail}")
        found = json.loads((self._directory / output).read_text().splitlines()[-1])
        fresh = FreshScore(**{name: found[name] for name in FreshScore._fields})
        stage.done(f"fresh process: mean IoU {fresh.mean_iou:.3f}")
        return fresh

    def _report(self, last: Snapshot, checkpoint_id: str, fresh: FreshScore) -> Report:
        steps = sorted(self._losses)
        early = [self._losses[step] for step in steps if step <= _TEN] or [self._losses[step] for step in steps[:1]]
        late = [self._losses[step] for step in steps if step > last.step - _TEN]
        return Report(
            produced=self._wishes.records,
            broken=self._wishes.records // BROKEN_EVERY,
            last=last,
            checkpoint_id=checkpoint_id,
            loss_at_start=sum(early) / len(early) if early else None,
            loss_at_end=sum(late) / len(late) if late else None,
            fresh=fresh,
            wall_s=time.monotonic() - self._started,
        )


def run_demo(wishes: Wishes, console: Console) -> int:
    """Run it and print the report; the exit code. Ctrl-C and SIGTERM end all children in order."""
    with _terminable(), Screen(console) as screen:
        demo = Demo(wishes, screen)
        try:
            report = demo.run()
        except KeyboardInterrupt:
            return 0 if wishes.forever else 130
    assert report is not None
    console.print(table(report))
    wrong = mismatch(report)
    if wrong:
        console.print(f"penstock: {wrong}", style="red", markup=False)
    return 1 if wrong else 0


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends the run like Ctrl-C."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before: Callable[[int, Any], Any] | int | None = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _make_empty(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise PenstockError(f"{directory} isn't empty: a demo begins with a fresh folder")
    except OSError as error:
        raise PenstockError(f"--directory {directory}: {error.strerror}") from error
