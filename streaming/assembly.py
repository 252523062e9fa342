"""Builds the worker's parts around TensorFlow, restores the newest checkpoint into them, and wires them up."""

import os
import threading
import time
from importlib.metadata import version
from typing import NamedTuple

import structlog
import tensorflow as tf

from streaming import logs
from streaming.book import Book
from streaming.checkpoints.saver import Saver
from streaming.checkpoints.store import CheckpointStore
from streaming.confirming import Confirmation
from streaming.control.channel import Channel
from streaming.control.messages import Allowance, Configure, Quarantined, WorkerState
from streaming.crash_search import find_guilty
from streaming.crash_slot import DecodingSlots, Noting, interrupted
from streaming.decided import Decided, is_owed
from streaming.decoding import build_decoder
from streaming.errors import KafkaUnavailable, SettingsError, UserCodeError
from streaming.feed import Feed
from streaming.hooks import load_hook
from streaming.kafka.dead_letters import DeadLetters
from streaming.kafka.readers import chosen, open_reader
from streaming.kafka.watch import Watch
from streaming.learning import Learning
from streaming.live import Live
from streaming.metrics import Tally
from streaming.reading import Reading
from streaming.records.batches import BatchDecoder, ChainOptions, Intake, Preprocess, RangeReader, build_chain
from streaming.records.breaker import BadRecord
from streaming.records.decode import Decoder, Limits
from streaming.report import Report
from streaming.restoring import restore
from streaming.saving import Lineage, Saving
from streaming.scoring import Scoring
from streaming.sentence import sentence
from streaming.settings import Settings
from streaming.showing import Showing
from streaming.topic_guard import TopicGuard
from streaming.training.trainer import Trainer, build_model
from streaming.worker import QUARANTINED, Worker

RESTORE_S = 300.0
SEARCH_S = 300.0
TENSORFLOW, TENSORFLOW_IO = "2.16.", "0.37.1"

_log = structlog.get_logger()


class Device(NamedTuple):
    """title: for people. place: where batches go before their step, in TensorFlow's words; None: they stay."""

    title: str
    place: str | None


class Standing(NamedTuple):
    """What a worker keeps when it is parked and begins again. guilty: what was being decoded, as (partition, offset),
    when the last process died natively."""

    device: Device
    reader: str
    trainer: Trainer
    decoder: Decoder
    noting: Noting
    guilty: list[tuple[int, int]]


def prepare(settings: Settings, crashed: bool, channel: Channel) -> Standing:
    """Takes the device and builds the model. Raises PenstockError for what can't work."""
    client, reader = chosen(settings.kafka)
    if client == "tensorflow-io":
        check_versions()
    device = prepare_device()
    if settings.pipeline.deterministic:
        tf.config.experimental.enable_op_determinism()
    channel.send(Allowance(state=WorkerState.RESTORING, seconds=RESTORE_S, doing="building the model"))
    trainer = Trainer(build_model(settings), settings)
    decoder = build_decoder(settings, labels=trainer.labels)
    guilty, noting = decoding_slots(settings, crashed)
    return Standing(device, reader, trainer, decoder, noting, guilty)


def assemble(
    standing: Standing,
    settings: Settings,
    configure: Configure,
    channel: Channel,
    watch: Watch,
    wake: threading.Event,
) -> Worker:
    """The worker, ready to run from the newest checkpoint. Raises PenstockError for what can't work."""
    channel.send(Allowance(state=WorkerState.RESTORING, seconds=RESTORE_S, doing="reading the newest checkpoint"))
    trainer, decoder, noting = standing.trainer, standing.decoder, standing.noting
    scoring = Scoring(trainer, decoder, noting, settings.evaluation, settings.pipeline.batch_size, time.monotonic)
    tally, store = Tally(), CheckpointStore(settings.checkpoint_directory)
    letters = DeadLetters(settings.kafka, f"penstock-{settings.name}-letters")
    book = Book(letters, settings.records.max_bad_fraction, tally)
    showing = Showing(channel.send, settings.model.classes, time.monotonic)
    learning = Learning(trainer, scoring, showing, book, tally, settings.pipeline.batch_size)
    confirm, decided = Confirmation(watch), Decided(configure.decisions)
    saver = Saver(store, settings.checkpoint, time.monotonic, confirm)
    live = Live(settings, configure.sources, trainer, saver, logs.set_level)
    store.clean()
    manifest, passed_over = restore(settings, store, learning, book, decided, saver, live)
    settings = live.settings  # with what this training began with
    if standing.guilty and book.is_open:
        _quarantine_guilty(settings, standing.guilty, trainer.labels, channel, book, decided)
        standing.guilty.clear()
    channel.send(Allowance(state=WorkerState.RESTORING, seconds=RESTORE_S, doing="compiling the training step"))
    trainer.compile()

    device, reader = standing.device, standing.reader
    feed = Feed(
        lambda ranges, intake: build_chain(ranges, *chain_parts(settings, decoder, noting, intake)), device.place
    )
    guard = TopicGuard(book, decided, stop_on_loss=settings.kafka.on_data_loss == "stop")
    reading = Reading(settings, book, watch, feed, tally, guard, configure.until)
    report = Report(
        channel, tally, book, watch, letters, learning, reading, decided, live, device=device.title, reader=reader
    )
    lineage = Lineage(configure.epoch, store.highest()[1] + 1, manifest.id if manifest else None)
    saving = Saving(
        settings,
        saver,
        live,
        book,
        learning,
        channel.send,
        watch,
        confirm,
        decided,
        lineage,
    )
    if manifest is not None:
        saving.restored(dict(manifest.positions), passed_over)
    worker = Worker(
        settings,
        channel,
        watch,
        book,
        decided,
        reading,
        learning,
        saving,
        live,
        report,
        wake,
        configure.until is not None,
        configure.paused and configure.until is None,
    )
    letters.start()
    return worker


def check_versions() -> None:
    """tensorflow-io is built against one TensorFlow; another pair crashes or misreads. Raises SettingsError."""
    pair = version("tensorflow"), version("tensorflow-io")
    if not pair[0].startswith(TENSORFLOW) or pair[1] != TENSORFLOW_IO:
        raise SettingsError(
            f"tensorflow {pair[0]} and tensorflow-io {pair[1]} don't fit together: "
            f"install tensorflow {TENSORFLOW}2 and tensorflow-io {TENSORFLOW_IO}"
        )


def prepare_device() -> Device:
    """What there is; a GPU's memory grows as it is needed instead of being taken whole."""
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if not gpus:
        return Device(f"CPU ({len(os.sched_getaffinity(0))} cores)", None)
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]
    return Device(f"GPU ({', '.join(names)})", "/GPU:0")


def _decode_threads(settings: Settings) -> int:
    return settings.pipeline.decode_threads or len(os.sched_getaffinity(0)) + 1


def decoding_slots(settings: Settings, crashed: bool) -> tuple[list[tuple[int, int]], Noting]:
    """What was being decoded when the last worker died natively, as (partition, offset); and slots for this one."""
    path = settings.checkpoint_directory / ".service" / "decoding"
    crashed_at = interrupted(path) if crashed else []
    slots = DecodingSlots(path, _decode_threads(settings) + 1, settings.pipeline.batch_size)  # one is for hold-outs
    return crashed_at, slots.open()


def _quarantine_guilty(
    settings: Settings, places: list[tuple[int, int]], labels: bool, channel: Channel, book: Book, decided: Decided
) -> None:
    """Find the records that killed the last worker, before this one reads them."""
    seconds = SEARCH_S + len(places) * 2.0
    channel.send(Allowance(state=WorkerState.RESTORING, seconds=seconds, doing="looking for a record that crashes"))
    try:
        guilty = find_guilty(settings, places, labels=labels)
    except KafkaUnavailable as error:
        _log.warning("native_crash_not_searched", detail=str(error))
        return
    ahead = decided.ahead(book.ledger)
    topic_id = ahead.generation.topic_id
    adopting = topic_id != book.ledger.generation.topic_id  # then the decision is taken in after that one
    for partition, offset, detail in guilty:
        if is_owed(ahead if adopting else book.ledger, partition, offset):
            if not adopting:
                book.quarantine(BadRecord(partition, offset, QUARANTINED, detail))
            channel.send(Quarantined(topic_id=topic_id, partition=partition, offset=offset, detail=detail))


def chain_parts(
    settings: Settings, decoder: Decoder, noting: Noting, intake: Intake
) -> tuple[RangeReader, Intake, BatchDecoder, ChainOptions]:
    named = settings.pipeline.preprocess
    preprocess = None if named is None else load_preprocess(named, decoder.limits)
    options = chain_options(settings, preprocess)
    return open_reader(settings.kafka, settings.group_id), intake, BatchDecoder(decoder, options, noting), options


def chain_options(settings: Settings, preprocess: Preprocess | None) -> ChainOptions:
    """What the settings say of the chain. preprocess: the user's, loaded."""
    pipeline = settings.pipeline
    return ChainOptions(
        batch_size=pipeline.batch_size,
        shuffle_buffer=pipeline.shuffle_buffer,
        decode_threads=_decode_threads(settings),
        seed=pipeline.seed,
        augment=pipeline.augment and preprocess is None,
        preprocess=preprocess,
        in_order=pipeline.deterministic,
    )


def load_preprocess(name: str, limits: Limits) -> Preprocess:
    """The user's preprocessing, traced once on its own, so that its errors are told as its own.

    Raises UserCodeError naming the setting.
    """
    preprocess: Preprocess = load_hook(name, "pipeline.preprocess")
    size = limits.image_size
    images = tf.TensorSpec([None, size, size, 3], tf.uint8)
    targets = tf.TensorSpec([None], tf.int64) if limits.labels else tf.TensorSpec([None, size, size], tf.uint8)
    try:
        tf.function(preprocess).get_concrete_function(images, targets, tf.TensorSpec([2], tf.int32))
    except Exception as error:
        raise UserCodeError(f"pipeline.preprocess = {name}: {sentence(error)}") from error
    return preprocess
