"""Bad records go to the dead-letter topic with their original key, value and headers, before they are settled.

Exactly once in effect: a record is settled once its letter is durable, and after a crash in between it is written
again; both copies carry the same `penstock.letter.id`.
"""

import queue
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from streaming.errors import KafkaUnavailable
from streaming.kafka.letter import Letter, Missing, letter_of
from streaming.kafka.letter_writer import LetterWriter
from streaming.kafka.originals import Originals
from streaming.records.breaker import BadRecord
from streaming.records.original import Original
from streaming.settings import KafkaSettings

RETRY_S = 1.0
BATCH = 500  # letters
HELD_BYTES = 64 << 20  # of originals that wait; more are looked up again in their turn


class _Waiting(NamedTuple):
    record: BadRecord
    topic_id: str


class DeadLetters:
    """Writes letters on a thread of its own. `send`, `delivered` and `pending` belong to the main thread.

    Its queues have no bound of their own: the worker stops reading while many are pending.
    """

    def __init__(self, kafka: KafkaSettings, client_id: str) -> None:
        self._kafka = kafka
        self._client_id = client_id
        self._arriving: queue.Queue[_Waiting] = queue.Queue()
        self._delivered: queue.Queue[BadRecord] = queue.Queue()
        self._stopped = threading.Event()
        self._held_bytes = 0
        self.pending = 0
        self.error: str | None = None

    def start(self) -> None:
        topic = self._kafka.dead_letter_topic
        if topic is not None:
            threading.Thread(target=self._run, args=(topic,), name="dead-letters", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def send(self, bad: list[BadRecord], topic_id: str) -> None:
        """Returns at once; each comes out of `delivered` when its letter is durable, or at once without a topic.
        topic_id: of the topic that they come from."""
        self.pending += len(bad)
        for one in bad:
            if self._kafka.dead_letter_topic is None:
                self._delivered.put(one._replace(original=None))
                continue
            if self._held_bytes + _size(one.original) > HELD_BYTES:
                one = one._replace(original=None)
            self._held_bytes += _size(one.original)
            self._arriving.put(_Waiting(one, topic_id))

    def delivered(self) -> Iterator[BadRecord]:
        """Records whose letters all replicas have since the last call."""
        with suppress(queue.Empty):
            while True:
                one = self._delivered.get_nowait()
                self.pending -= 1
                self._held_bytes -= _size(one.original)
                yield one

    def _run(self, topic: str) -> None:
        writer = LetterWriter(self._kafka, topic, self._client_id)
        originals = Originals(self._kafka, self._client_id)
        waiting: list[_Waiting] = []
        while not self._stopped.is_set():
            with suppress(queue.Empty):
                while len(waiting) < BATCH:
                    waiting.append(self._arriving.get(timeout=0.5) if not waiting else self._arriving.get_nowait())
            if not waiting:
                continue
            durable, self.error = _deliver(waiting, self._kafka.topic, writer, originals)
            for number in sorted(durable):
                self._delivered.put(waiting[number].record)
            waiting = [one for number, one in enumerate(waiting) if number not in durable]
            if self.error is not None:
                writer.close()
                originals.close()
                self._stopped.wait(RETRY_S)
        writer.close()
        originals.close()


def _deliver(
    waiting: list[_Waiting], topic: str, writer: LetterWriter, originals: Originals
) -> tuple[set[int], str | None]:
    """One pass over all of them: the numbers of the durable ones, and what is wrong with others of them."""
    try:
        writer.open()
        found, failure = _look_up(waiting, originals)
        letters: dict[int, Letter] = {}
        for number, original in found.items():
            record, topic_id = waiting[number]
            letters[number] = letter_of(topic, topic_id, record, original)
        durable, refusal = writer.write(letters)
    except KafkaUnavailable as error:
        durable, failure, refusal = set(), str(error), None
    first = next((one.record for number, one in enumerate(waiting) if number not in durable), None)
    reason = refusal or failure
    if reason is None or first is None:
        return durable, None
    return durable, f"{reason} (partition {first.partition}, offset {first.offset})"


def _look_up(waiting: list[_Waiting], originals: Originals) -> tuple[dict[int, Original | Missing], str | None]:
    """What is known by number, or can be read again, as much as may be held at once; and why something can't be."""
    found: dict[int, Original | Missing] = {}
    unknown: defaultdict[int, dict[int, int]] = defaultdict(dict)
    for number, (record, _) in enumerate(waiting):
        if record.original is not None:
            found[number] = record.original
        else:
            unknown[record.partition][record.offset] = number
    held, failure = 0, None
    for partition, numbers in unknown.items():
        try:
            for offset, original in originals.find(partition, numbers):
                found[numbers[offset]] = original
                held += 0 if isinstance(original, Missing) else _size(original)
                if held > HELD_BYTES:
                    return found, failure
        except KafkaUnavailable as error:
            failure = str(error)
            originals.close()
    return found, failure


def _size(original: Original | None) -> int:
    return 0 if original is None else len(original.value or b"") + len(original.key or b"")
