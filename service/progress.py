"""How far a bounded run has come: a bar on a terminal, log lines anywhere else."""

import asyncio
import sys
from collections.abc import Callable, Mapping

import structlog

from service.worker_view import WorkerView

_LINE_EVERY_S = 10.0
_BAR_EVERY_S = 0.5
_log = structlog.get_logger()


async def show_progress(view: WorkerView, until: Mapping[int, int]) -> None:
    """Until cancelled. until: partition -> first offset not wanted."""
    await (_bar(view, until) if sys.stderr.isatty() else _lines(view, until))


def settled_counter(view: WorkerView, until: Mapping[int, int]) -> Callable[[], tuple[int, int]]:
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


async def _lines(view: WorkerView, until: Mapping[int, int]) -> None:
    count = settled_counter(view, until)
    while True:
        settled, wanted = count()
        _log.info("training_progress", settled=settled, wanted=wanted, step=view.step, state=view.state)
        await asyncio.sleep(_LINE_EVERY_S)


async def _bar(view: WorkerView, until: Mapping[int, int]) -> None:
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
            progress.update(task, description=text, completed=settled, total=wanted or None)
            await asyncio.sleep(_BAR_EVERY_S)
