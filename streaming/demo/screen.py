"""What a person sees of the demo while it runs: stages with a tick each, and one live line of training."""

import time
from collections import deque
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from streaming.demo.sidecar import Snapshot

_BLOCKS = "▁▂▃▄▅▆▇█"
_QUIET_S = 5.0


class Stage:
    """One line with a spinner, a bar where its size is known, and in the end a tick."""

    def __init__(self, screen: "Screen", text: str, total: float | None) -> None:
        self._screen = screen
        self._text = text
        self._task: TaskID = screen.progress.add_task(text, total=total, note="")

    def update(self, completed: float | None = None, note: str = "") -> None:
        self._screen.progress.update(self._task, completed=completed, note=note)

    def done(self, text: str | None = None) -> None:
        text = text or self._text
        self._screen.progress.update(self._task, description=text, note="", total=1, completed=1)
        self._screen.say(f"done: {text}")


class Screen:
    """A context manager. Without a terminal it prints a plain line for each stage, and one every 5 s in training."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.progress = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._line = Text()
        self._live = Live(Group(self.progress, self._line), console=console, refresh_per_second=8)
        self._losses: deque[float] = deque(maxlen=24)
        self._scores: deque[float] = deque(maxlen=24)
        self._step = -1
        self._said_at = 0.0

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.console.is_terminal:
            self._live.stop()

    def stage(self, text: str, total: float | None = None) -> Stage:
        self.say(f"{text} …")
        return Stage(self, text, total)

    def say(self, text: str) -> None:
        """For logs: on a terminal the stages show it."""
        if not self.console.is_terminal:
            self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def training(self, snapshot: Snapshot, url: str) -> None:
        """Redraw the live line."""
        if snapshot.step != self._step and snapshot.loss is not None:
            self._step = snapshot.step
            self._losses.append(snapshot.loss)
        if snapshot.mean_iou is not None and (not self._scores or self._scores[-1] != snapshot.mean_iou):
            self._scores.append(snapshot.mean_iou)
        text = training_line(snapshot, list(self._losses), list(self._scores))
        self._line.plain = f"  {text}\n  watch it: {url}/"
        if time.monotonic() - self._said_at >= _QUIET_S:
            self._said_at = time.monotonic()
            self.say(text)


def training_line(snapshot: Snapshot, losses: list[float], scores: list[float]) -> str:
    """State, step, speed, loss and hold-out score with their courses, how much is settled.

    Not the lag: while ranges are drawn at random, that one jumps.
    """
    parts = [snapshot.state if snapshot.step or not snapshot.doing else f"{snapshot.state}: {snapshot.doing}"]
    parts += [f"step {snapshot.step}", f"{snapshot.records_per_s:.0f} records/s"]
    if losses:
        parts.append(f"loss {losses[-1]:.3f} {spark(losses)}".rstrip())
    if scores:
        parts.append(f"hold-out mean IoU {scores[-1]:.3f} {spark(scores)}".rstrip())
    if snapshot.log_end is not None:
        parts.append(f"{snapshot.settled} of {snapshot.log_end} settled")
    if snapshot.problem:
        parts.append(f"! {snapshot.problem}")
    return " · ".join(parts)


def spark(values: list[float]) -> str:
    """A course as a line of little bars, from the smallest to the greatest value; empty for a single one."""
    low, high = min(values), max(values)
    if len(values) < 2 or high == low:
        return ""
    return "".join(_BLOCKS[int((value - low) / (high - low) * (len(_BLOCKS) - 1))] for value in values)
