"""Runs the sides: all resident, one at a time at work, in rounds of one window each."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any, NamedTuple, Self

from rich.console import Console

from tests.benchmarks.contenders import Contender

OUT = Console(stderr=True)
SETTLING = 4  # times what a side reads ahead goes by before a window is counted


class Window(NamedTuple):
    """images of `wall_s` seconds; cpu_s: of the side's whole process tree; said: what else the side told."""

    images: int
    wall_s: float
    cpu_s: float
    said: dict[str, Any]

    @property
    def rate(self) -> float:
        """Images a second."""
        return self.images / self.wall_s

    @property
    def cpu_ms(self) -> float:
        """Of an image."""
        return 1000 * self.cpu_s / self.images


class Side:
    """A contender's process. Starts when entered, stands still but for its windows."""

    def __init__(self, contender: Contender, environment: Mapping[str, str]) -> None:
        self._contender = contender
        self._environment = os.environ | environment | dict(contender.environment)
        self._environment |= {"PENSTOCK_KAFKA__TOPIC": contender.profile, "PYTHONWARNINGS": "ignore"}
        self._process: subprocess.Popen[str] | None = None
        self._read_ahead = 0

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", *self._contender.arguments]
        self._process = subprocess.Popen(
            command, env=self._environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def ready(self) -> None:
        """Wait until it is."""
        self._read_ahead = self._answer()["read_ahead"]

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.communicate()

    def window(self, seconds: float, settling: int = SETTLING) -> Window:
        """Let it work for so long, beside what goes by uncounted."""
        assert self._process is not None
        assert self._process.stdin is not None
        print(seconds, settling * self._read_ahead, file=self._process.stdin, flush=True)
        answer = self._answer()
        return Window(answer.pop("images"), answer.pop("wall_s"), answer.pop("cpu_s"), answer)

    def _answer(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"{self._contender.title} ended with {self._process.wait()}"
        answer: dict[str, Any] = json.loads(line)
        return answer


def contest(
    contenders: Mapping[str, Contender],
    environment: Mapping[str, str],
    rounds: int,
    seconds: float,
    settling: int = SETTLING,
) -> Iterator[dict[str, list[Window]]]:
    """All windows so far, by side, after each round; windows of one round are partners."""
    found: dict[str, list[Window]] = {name: [] for name in contenders}
    with ExitStack() as stack:
        sides = {}
        for name, contender in contenders.items():
            sides[name] = stack.enter_context(Side(contender, environment))
        for name, side in sides.items():
            side.ready()
            OUT.print(f"ready: {contenders[name].title}, {contenders[name].profile}")
        for number in range(rounds):
            for name, side in sides.items():
                found[name].append(side.window(seconds, settling))
            OUT.print(f"round {number + 1} of {rounds}: {_rates(found)}")
            yield found


def _rates(found: Mapping[str, list[Window]]) -> str:
    parts = (f"{name} {windows[-1].cpu_ms:.3f}" for name, windows in found.items())
    return ", ".join(parts) + " CPU-ms an image"
