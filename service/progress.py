"""A bounded run: where it ends, and how far it has come, as a bar on a terminal, log lines anywhere else."""

import asyncio
import sys
import time
from collections.abc import Callable, Mapping

import structlog

from service.worker_view import Desired, WorkerView
from streaming.control.messages import Problem
from streaming.errors import KafkaUnavailable

MAX_RETRY_S = 10.0
_LINE_EVERY_S = 10.0
_BAR_EVERY_S = 0.5
_GO_ON = "it was asked to wait, maybe by an earlier service: penstock resume"
_log = structlog.get_logger()

Ends = Mapping[int, int]
"""Partition -> first offset not wanted."""


async def resolved(freeze: Callable[[], Ends], view: WorkerView) -> Ends:
    """What `freeze` says, asked on a thread; Kafka may take its time to appear."""
    wait_s = 1.0
    while True:
        try:
            until = await asyncio.to_thread(freeze)
        except KafkaUnavailable as error:
            view.outage = Problem(type="kafka-unavailable", detail=str(error), since=time.time())
            _log.warning("kafka_unavailable", detail=str(error), retry_s=wait_s)
            await asyncio.sleep(wait_s)
            wait_s = min(MAX_RETRY_S, 2 * wait_s)
        else:
            view.outage = None
            _log.info("bounded_run", until={str(partition): end for partition, end in until.items()})
            return until


async def show_progress(view: WorkerView, until: Ends) -> None:
    """Until cancelled."""
    await (_bar(view, until) if sys.stderr.isatty() else _lines(view, until))


def settled_counter(view: WorkerView, until: Ends) -> Callable[[], tuple[int, int]]:
    """A function that tells (settled, wanted) offsets of this run; a partition counts from its first position."""
    first: dict[int, int] = {}

    def count() -> tuple[int, int]:
        settled = wanted = 0
        for each in view.partitions:
            if each.partition in until:
                start = first.setdefault(each.partition, each.position)
                stop = max(start, until[each.partition])
                settled += max(0, min(each.position, stop) - start)
                wanted += stop - start
        return settled, wanted

    return count


async def _lines(view: WorkerView, until: Ends) -> None:
    count = settled_counter(view, until)
    while True:
        settled, wanted = count()
        facts = {"settled": settled, "wanted": wanted, "step": view.step, "state": view.state}
        if view.desired is Desired.RUNNING:
            _log.info("training_progress", **facts)
        else:
            _log.warning("training_progress", **facts, remedy=_GO_ON)
        await asyncio.sleep(_LINE_EVERY_S)


async def _bar(view: WorkerView, until: Ends) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    count = settled_counter(view, until)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("starting", total=None)
        while True:
            settled, wanted = count()
            loss = f", loss {view.status.loss:.4f}" if view.status and view.status.loss is not None else ""
            text = f"{view.state}, step {view.step}{loss}"
            if view.desired is not Desired.RUNNING:
                text += f"; {_GO_ON}"
            progress.update(task, description=text, completed=settled, total=wanted or None)
            await asyncio.sleep(_BAR_EVERY_S)
