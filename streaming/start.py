"""Composition root of the worker: from the configuration message to a running loop, announcing what takes long."""

import os
import sys
import threading
import time
from typing import TYPE_CHECKING

import structlog

from streaming import logs
from streaming.control.channel import Channel
from streaming.control.messages import Allowance, Configure, Failed, Greeting, Parked, Problem, WorkerState
from streaming.errors import PenstockError, TrainingStopped, problem_of
from streaming.kafka.readers import chosen
from streaming.kafka.watch import Watch
from streaming.parent import die_with_parent, yield_the_cores
from streaming.settings import Settings, parse_settings

if TYPE_CHECKING:
    from streaming.assembly import Standing

IMPORT_S = 300.0
NICE = 5  # probes and metrics are answered while a step has every core
CONTACT_S = 6.0  # beyond the wait for a first answer: for a group that no broker coordinates yet, say
FAILED = 1
BUG = 70

_log = structlog.get_logger()


def main(descriptor: int) -> None:
    """The worker's life; leaves with os._exit, because a blocked read can't be joined."""
    die_with_parent()
    yield_the_cores(NICE)
    threading.excepthook = _die_of_a_bug
    channel = Channel(descriptor)
    configure = channel.configuration()
    code = 0
    try:
        _live(configure, channel)
    except PenstockError as error:
        slug = problem_of(error)
        _log.error("worker_failed", problem=slug, detail=str(error))
        if slug is not None:
            facts = error.facts if isinstance(error, TrainingStopped) else {}
            channel.send(Failed(problem=Problem(type=slug, detail=str(error), since=time.time(), facts=facts)))
        code = FAILED
    except Exception:  # noqa: BLE001  # whatever it is, a blocked read must not keep the process from leaving
        _log.exception("worker_crashed")  # the state may be half changed: a restart from the checkpoint mends that
        code = BUG
    sys.stdout.flush()
    os._exit(code)


def _live(first: Configure, channel: Channel) -> None:
    """From one configuration to the next, for as long as it is only parked in between. The model is built once."""
    logs.configure("info", "worker", logs.take_stdout())
    wake = threading.Event()
    channel.start(on_command=wake.set)
    standing: Standing | None = None
    configure = first
    while True:
        settings = parse_settings(configure.settings)
        logs.set_level(settings.service.log_level)
        watch = _watch(settings, wake)
        _first_contact(channel, watch, wake, settings)
        if standing is None:
            standing = _prepare(settings, first, channel)
        from streaming.assembly import assemble

        worker = assemble(standing, settings, configure, channel, watch, wake)
        if not worker.run():
            return
        worker.let_go()
        _log.info("worker_parked")
        channel.send(Parked())
        configure = channel.next_configuration()


def _watch(settings: Settings, wake: threading.Event) -> Watch:
    watch = Watch(
        settings.kafka,
        f"penstock-{settings.name}-worker",
        group_id=settings.group_id,
        start=settings.kafka.start,
        names=chosen(settings.kafka)[0] == "tensorflow-io",
        on_change=wake.set,
    )
    watch.start()
    return watch


def _prepare(settings: Settings, configure: Configure, channel: Channel) -> "Standing":
    channel.send(Allowance(state=WorkerState.STARTING, seconds=IMPORT_S, doing="importing TensorFlow"))
    # TensorFlow prints every reader setting, passwords included, below level 1, and warnings for every range below 2.
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = max("1", os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2"))
    from streaming.assembly import prepare

    return prepare(settings, configure.crashed is not None, channel)


def _first_contact(channel: Channel, watch: Watch, wake: threading.Event, settings: Settings) -> None:
    """Give Kafka a few seconds before TensorFlow is imported, so that its absence stands in the status early."""
    deadline = time.monotonic() + settings.kafka.bootstrap_timeout_s + CONTACT_S
    while watch.view.facts is None and watch.view.error is None and time.monotonic() < deadline:
        wake.wait(0.1)
        wake.clear()
    error = watch.view.error
    if error is not None:
        _log.warning("kafka_unavailable", detail=error)
    outage = Problem(type="kafka-unavailable", detail=error, since=time.time()) if error else None
    doubt = watch.mirror_error()
    warning = Problem(type="mirror-failing", detail=doubt, since=time.time()) if doubt else None
    channel.send(Greeting(degraded=outage, warning=warning))


def _die_of_a_bug(failure: threading.ExceptHookArgs) -> None:
    """A thread that ends by an exception nobody expected would leave the worker half alive: better restart it."""
    name = failure.thread.name if failure.thread else "unknown"
    _log.error("thread_failed", thread=name, exc_info=failure.exc_value)
    sys.stdout.flush()
    os._exit(BUG)
