"""Log events: one JSON object a line on stdout, with a stable event name, for both processes."""

import io
import logging
import os
import sys
from typing import Any, Literal, TextIO

import structlog

Process = Literal["sidecar", "worker"]


def configure(level: str, process: Process, out: TextIO | None = None) -> None:
    """Send structlog's events and the standard library's records to stdout, or to `out`, as JSON lines.

    level: debug, info, warning or error, for penstock's own events; libraries speak from warning on.
    Each line has `event`, `level`, `timestamp` (UTC, ISO 8601) and `process`. A line is written at once,
    so the lines of two processes that share a stdout don't mix.
    """

    def name_process(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["process"] = process
        return event

    out = out or sys.stdout
    enrich: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        name_process,
    ]
    structlog.configure(
        processors=[*enrich, structlog.processors.format_exc_info, structlog.processors.JSONRenderer()],
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    _catch_standard_library(enrich, out)
    set_level(level)


def take_stdout() -> TextIO:
    """The process' stdout, for events only: what else is written there, by users' code or native code, goes to stderr
    from now on."""
    events = open(os.dup(1), "w", encoding="utf-8")  # noqa: SIM115  # for as long as the process lives
    os.dup2(2, 1)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    return events


def set_level(level: str) -> None:
    """From now on; any thread."""
    lowest = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(lowest))
    logging.getLogger().setLevel(max(lowest, logging.WARNING))


def silence() -> None:
    """For a command whose output is for people: no events, and nothing of the libraries' own."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    _end_kafkas_words()


def _catch_standard_library(enrich: list[structlog.typing.Processor], out: TextIO) -> None:
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*enrich, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    _end_kafkas_words()


def _end_kafkas_words() -> None:
    """While a broker is away kafka-python warns many times a second; streaming.kafka.broker reads the cause from
    these records and reports it once, so they end here."""
    kafka = logging.getLogger("kafka")
    kafka.propagate = False
    kafka.addHandler(logging.NullHandler())
