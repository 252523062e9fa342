"""What native code writes to a worker's stderr becomes log events of the same kind as all others."""

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from service.native_output import BURST, LAST_WORDS, MOST_BYTES, NativeOutput
from streaming.native_lines import MOST_CHARACTERS, parsed
from tests.service.conftest import eventually
from tests.service.test_process import process, state


def test_a_crashing_workers_words_are_events_and_its_last_ones_stand_beside_its_end(tmp_path: Path) -> None:
    with process(tmp_path, "wails,well") as (one, url):
        eventually(lambda: state(url) == "training")
        one.send_signal(signal.SIGTERM)
        assert one.stdout is not None
        events = [json.loads(line) for line in one.stdout.read().splitlines()]  # each line is JSON
    native = [each for each in events if each["event"] == "native_output"]
    assert [(each["writer"], each["level"], each["text"]) for each in native] == [
        ("tensorflow", "warning", "the input is odd"),  # the noise before it is for debugging
        ("librdkafka", "error", "[thrd:kafka]: Connect to ipv4#127.0.0.1:1 failed"),
        ("other", "info", "libpng warning: strange"),
        ("other", "error", "free(): invalid pointer"),
    ]
    (ended,) = [each for each in events if each["event"] == "worker_exited" and "SIGABRT" in each["detail"]]
    assert ended["last_words"][-1] == "free(): invalid pointer"


@pytest.mark.parametrize(
    ("line", "level", "writer"),
    [
        ("2026-11-23 18:52:42.1: E tensorflow/a.cc:1] it broke", "error", "tensorflow"),
        ("E0000 00:00:1732387962.1   12 cuda_dnn.cc:8310] it broke", "error", "tensorflow"),
        ("2026-11-23 18:52:42.1: E x/cuda_fft.cc:479] Unable to register cuFFT factory: again", "debug", "tensorflow"),
        ("%4|1700000000.1|SASLMECHS|c| odd", "warning", "librdkafka"),
        ("%6|1700000000.1|FAIL|c| retired", "info", "librdkafka"),
        ("%7|1700000000.1|CONF|c| value", "debug", "librdkafka"),
        ("Fatal Python error: Segmentation fault", "error", "python"),
        ("python: a.c:3: f: Assertion `x' failed.", "error", "other"),
        ("Thread 0x00007f2a (most recent call first):", "error", "python"),
        ("anything else", "info", "other"),
    ],
)
def test_a_line_says_how_grave_it_is(line: str, level: str, writer: str) -> None:
    found = parsed(line)
    assert (found.level, found.writer) == (level, writer)


def test_a_long_line_is_cut_and_says_so() -> None:
    text = parsed("x" * 5000).text
    assert len(text) < MOST_CHARACTERS + 30
    assert "5000 characters" in text


def test_a_flood_is_bounded_counted_and_its_end_kept() -> None:
    now = 0.0

    async def flood() -> list[str]:
        output = NativeOutput(lambda: now)
        descriptor = output.open()
        for number in range(3 * BURST):
            os.write(descriptor, b"line %d\n" % number)
        os.write(descriptor, b"y" * (2 * MOST_BYTES))  # without an end
        os.close(descriptor)
        words = output.last_words()
        output.close()
        return words

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(0))
    with capture_logs() as told:
        words = asyncio.run(flood())
    assert len([each for each in told if each["event"] == "native_output"]) == BURST
    assert len(words) == LAST_WORDS
    assert f"line {3 * BURST - 1}" in words
    (dropped,) = [each for each in told if each["event"] == "native_output_dropped"]  # told at the end at the latest
    assert dropped["lines"] >= 2 * BURST
