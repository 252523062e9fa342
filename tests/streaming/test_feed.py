"""The pump: errors end a round and the next one reads everything again; nothing is left behind."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import tensorflow as tf

from streaming.feed import Feed, RoundEnded, RoundFailed
from streaming.ledger.ledger import Kind
from streaming.records.batch import Batch
from streaming.records.batches import Intake
from tests.streaming.chain import DEADLINE_S, LINGER_S, Loop
from tests.streaming.memory import MemoryTopic

pytestmark = pytest.mark.tf
GROWTH = 4  # threads that tf.data's own pool may get, whatever the number of rounds


def topic(count: int = 60) -> MemoryTopic:
    return MemoryTopic({0: {offset: bytes([offset]) for offset in range(count)}}, {0: count})


def test_an_error_of_the_reader_fails_the_round_and_the_next_one_reads_everything_again() -> None:
    loop = Loop(topic(), shuffle_buffer=1000)
    loop.topic.failing = True
    loop.run_round()
    assert len(loop.failures) == 1
    assert "Failed to consume: partition 0" in loop.failures[0]
    assert "\n" not in loop.failures[0]
    assert sum(loop.ledger.counts().values()) == 0
    loop.topic.failing = False
    loop.run_round()
    assert loop.ledger.counts()[Kind.TRAINED] == 60
    assert set(loop.seen.values()) == {1}


def test_an_error_is_told_though_the_generator_waits_for_new_records() -> None:
    loop = Loop(topic(), shuffle_buffer=1000, bounded=False)
    loop.topic.failing = True
    loop.run_round()
    assert len(loop.failures) == 1


def test_an_error_in_the_middle_loses_only_what_was_not_booked() -> None:
    loop = Loop(topic(200), shuffle_buffer=1, range_records=10, batch_size=10)
    loop.begin()
    item = loop.take()
    while isinstance(item, Batch):
        loop.book(item)
        loop.topic.failing = True
        item = loop.take()
    assert isinstance(item, RoundFailed)
    loop.retire()
    booked = loop.ledger.counts()[Kind.TRAINED]
    assert 0 < booked < 200
    loop.topic.failing = False
    loop.run_round()
    assert loop.ledger.counts()[Kind.TRAINED] == 200
    assert set(loop.seen.values()) == {1}


TWO_DEVICES = """
import tensorflow as tf
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from streaming.feed import Feed
from tests.streaming.chain import Loop
from tests.streaming.test_feed import topic
loop = Loop(topic())
loop.feed = Feed(loop.build, "/CPU:1")
loop.begin()
batch = loop.take()
print(batch.images.device[-5:], batch.targets.device[-5:], type(batch.offset).__name__)
"""


def test_pictures_and_targets_wait_for_their_step_on_the_device() -> None:
    done = subprocess.run([sys.executable, "-c", TWO_DEVICES], capture_output=True, text=True, timeout=120)
    assert done.stdout == "CPU:1 CPU:1 ndarray\n", done.stderr[-2000:]


def test_the_ranges_of_a_round_go_to_one_iteration_only() -> None:
    asked: list[Callable[[], Iterator[tuple[int, int, int, int]]]] = []

    def build(ranges: Callable[[], Iterator[tuple[int, int, int, int]]], intake: Intake) -> tf.data.Dataset:
        asked.append(ranges)
        return tf.data.Dataset.range(0)

    loop = Loop(topic())
    loop.feed = Feed(build)
    loop.begin()
    (ranges,) = asked
    first = ranges()
    next(first)
    assert list(ranges()) == []
    assert len(list(first)) == 2
    loop.retire()
    loop.begin()
    loop.retire()
    assert list(ranges()) == []


def test_rounds_that_are_retired_at_once_leave_the_next_ones_whole() -> None:
    loop = Loop(topic())
    for _ in range(20):
        loop.begin()
        loop.retire()
    loop.run_until_settled()
    assert set(loop.seen.values()) == {1}


def test_a_blocked_read_delays_neither_taking_nor_retiring() -> None:
    loop = Loop(topic())
    released = loop.topic.blocked = threading.Event()
    loop.begin()
    began = time.monotonic()
    assert loop.feed.take(0.05) is None
    loop.retire()
    assert time.monotonic() - began < DEADLINE_S / 10
    loop.topic.blocked = None
    released.set()
    loop.run_until_settled()
    assert set(loop.seen.values()) == {1}


def test_following_the_log_a_round_ends_when_its_records_have_lingered() -> None:
    loop = Loop(topic(5), bounded=False)
    began = time.monotonic()
    loop.begin()
    batch = loop.take()
    assert isinstance(batch, Batch)
    assert len(batch.offset) == 5
    assert time.monotonic() - began >= LINGER_S
    loop.book(batch)
    assert isinstance(loop.take(), RoundEnded)
    loop.retire()


def test_no_thread_is_left_behind_after_fifty_rounds() -> None:
    loop = Loop(topic(10))
    loop.run_round()
    before = threads()
    for number in range(50):
        loop.topic.ends[0] = 10 + number
        loop.topic.records[0][9 + number] = b"\x01"  # type: ignore[index]
        loop.run_round(0 if number % 3 == 1 else None)
    deadline = time.monotonic() + DEADLINE_S
    for pump in [thread for thread in threading.enumerate() if thread.name == "pump"]:
        pump.join(deadline - time.monotonic())
        assert not pump.is_alive()
    while threads() > before + GROWTH and time.monotonic() < deadline:
        threading.Event().wait(0.05)
    assert threads() <= before + GROWTH


def threads() -> int:
    """All of the process, native ones included."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("Threads:"))
