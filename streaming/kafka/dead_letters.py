"""Bad records go to the dead-letter topic with their original key, value and headers, before they are settled.

Header names are those of Kafka Connect's DeadLetterQueueReporter. A letter can be written again after a crash: copies
carry the same topic, partition and offset headers, by which a reader drops them.
"""

import queue
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import MessageSizeTooLargeError

from streaming.errors import KafkaUnavailable
from streaming.kafka.broker import client_config, translated
from streaming.records.breaker import BadRecord
from streaming.settings import KafkaSettings

DELIVERY_TIMEOUT_S = 10.0
LOOKUP_TIMEOUT_S = 5.0
RETRY_S = 1.0

Header = tuple[str, bytes]


class DeadLetters:
    """Writes letters on a thread of its own. `send`, `delivered` and `pending` belong to the main thread.

    Its queues have no bound of their own: the worker stops reading while many are pending.
    """

    def __init__(self, kafka: KafkaSettings, client_id: str) -> None:
        self._kafka = kafka
        self._client_id = client_id
        self._waiting: queue.Queue[BadRecord] = queue.Queue()
        self._delivered: queue.Queue[BadRecord] = queue.Queue()
        self._stopped = threading.Event()
        self._consumer: Any = None
        self._producer: Any = None
        self.pending = 0
        self.error: str | None = None

    def start(self) -> None:
        if self._kafka.dead_letter_topic is not None:
            threading.Thread(target=self._run, name="dead-letters", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def send(self, bad: list[BadRecord]) -> None:
        """Returns at once; each comes out of `delivered` when its letter is durable, or at once without a topic."""
        self.pending += len(bad)
        target = self._delivered if self._kafka.dead_letter_topic is None else self._waiting
        for one in bad:
            target.put(one)

    def delivered(self) -> Iterator[BadRecord]:
        """Records whose letters all replicas have since the last call."""
        with suppress(queue.Empty):
            while True:
                one = self._delivered.get_nowait()
                self.pending -= 1
                yield one

    def _run(self) -> None:
        while not self._stopped.is_set():
            with suppress(queue.Empty):
                one = self._waiting.get(timeout=0.5)
                self._until_delivered(one)

    def _until_delivered(self, one: BadRecord) -> None:
        while not self._stopped.is_set():
            try:
                with translated(f"dead-letter topic {self._kafka.dead_letter_topic}"):
                    self._deliver(one)
            except (KafkaUnavailable, ValueError, TypeError) as error:  # kafka-python refuses some letters so
                self.error = f"{error} (partition {one.partition}, offset {one.offset})"
                self._close()
                self._stopped.wait(RETRY_S)
            else:
                self.error = None
                self._delivered.put(one)
                return

    def _deliver(self, one: BadRecord) -> None:
        if self._producer is None:
            options = client_config(self._kafka, self._client_id)
            # The idempotent default is unusable after one record that the broker refuses as too large.
            options |= {"acks": "all", "enable_idempotence": False, "retries": 3, "max_request_size": 1 << 26}
            options |= {"delivery_timeout_ms": int(DELIVERY_TIMEOUT_S * 1000), "max_block_ms": 5000}
            self._producer = KafkaProducer(**options)
        original = self._look_up(one)
        kept = [(name, value or b"") for name, value in original.headers] if original else []
        headers = [*kept, *letter_headers(self._kafka.topic, one, original)]
        try:
            self._write(original.key if original else None, original.value if original else None, headers)
        except MessageSizeTooLargeError:
            self._write(original.key if original else None, None, [*headers, ("penstock.value", b"too_large")])

    def _write(self, key: bytes | None, value: bytes | None, headers: list[Header]) -> None:
        topic = self._kafka.dead_letter_topic
        if key is None and value is None:
            value = b""  # kafka-python sends no record without both
        self._producer.send(topic, value=value, key=key, headers=headers).get(timeout=DELIVERY_TIMEOUT_S)

    def _look_up(self, one: BadRecord) -> Any:
        """The original record; None when retention has removed it meanwhile."""
        if self._consumer is None:
            options = client_config(self._kafka, self._client_id)
            options |= {"group_id": None, "enable_auto_commit": False, "auto_offset_reset": "earliest"}
            self._consumer = KafkaConsumer(**options, isolation_level="read_committed")
        tp = TopicPartition(self._kafka.topic, one.partition)
        if tp not in self._consumer.assignment():
            self._consumer.assign([tp])
        self._consumer.seek(tp, one.offset)
        found = self._consumer.poll(timeout_ms=int(LOOKUP_TIMEOUT_S * 1000), max_records=1).get(tp, [])
        if not found:
            raise KafkaUnavailable(f"partition {one.partition} offset {one.offset} can't be read again for its letter")
        return found[0] if found[0].offset == one.offset else None

    def _close(self) -> None:
        for client in (self._producer, self._consumer):
            if client is not None:
                client.close()
        self._producer = self._consumer = None


def letter_headers(topic: str, one: BadRecord, original: Any) -> list[Header]:
    """What went wrong and where the original stands. The original timestamp becomes a header: on the letter itself
    retention would delete it at once."""
    headers = {
        "__connect.errors.topic": topic,
        "__connect.errors.partition": str(one.partition),
        "__connect.errors.offset": str(one.offset),
        "__connect.errors.connector.name": "penstock",
        "__connect.errors.task.id": "0",
        "__connect.errors.stage": "VALUE_CONVERTER",
        "__connect.errors.class.name": "streaming.records.decode.Decoder",
        "__connect.errors.exception.class.name": one.reason,
        "__connect.errors.exception.message": one.detail,
    }
    if original is not None:
        headers["penstock.original.timestamp_ms"] = str(original.timestamp)
    return [(name, value.encode()) for name, value in headers.items()]
