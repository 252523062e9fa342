"""Sends records to a topic, each acknowledged by all replicas, at the pace that is asked for."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from kafka import KafkaAdminClient, KafkaProducer
from kafka.errors import KafkaError, MessageSizeTooLargeError, TopicAlreadyExistsError

from streaming.demo.sources import Record
from streaming.errors import KafkaUnavailable, PenstockError
from streaming.kafka.broker import UNKNOWN_TOPIC, client_config, translated
from streaming.settings import KafkaSettings

MAX_RECORD_BYTES = 33 << 20
UNACKNOWLEDGED = 256  # kafka-python 3 has no limit of its own: it would buffer a whole data set
_ACKNOWLEDGED_S = 60.0


class Producer:
    """Sends to `kafka.topic`. A context manager; belongs to one thread.

    kafka: broker, topic and credentials as the service takes them. compression: none, gzip, snappy, lz4 or zstd.
    """

    def __init__(self, kafka: KafkaSettings, *, compression: str = "none") -> None:
        self._kafka = kafka
        self._compression = None if compression == "none" else compression
        self._producer: Any = None
        self._waiting: deque[tuple[Record, Any]] = deque()
        self.records_total = 0
        self.bytes_total = 0

    def __enter__(self) -> Self:
        with translated(f"Kafka at {self._kafka.bootstrap_servers}"):
            self._producer = KafkaProducer(
                **client_config(self._kafka, "penstock-produce"),
                acks="all",
                linger_ms=20,
                batch_size=1 << 20,
                max_request_size=MAX_RECORD_BYTES + (1 << 20),
                max_block_ms=20_000,
                delivery_timeout_ms=int(_ACKNOWLEDGED_S * 1000),
                compression_type=self._compression,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        failed = isinstance(error, PenstockError)  # then nothing more is awaited; an interrupted run still is
        try:
            if not failed:
                self._acknowledge_all()
        finally:
            with suppress(KafkaError):  # what couldn't be sent has been said
                self._producer.close(timeout=1 if failed else _ACKNOWLEDGED_S)

    def send(self, records: Iterable[Record]) -> Iterator[int]:
        """Send and yield the number of acknowledged records so far, once a record.

        Raises KafkaUnavailable, or PenstockError for a record that the topic won't take.
        """
        for record in records:
            with translated(f"topic {self._kafka.topic}"):
                sent = self._producer.send(self._kafka.topic, key=record.key, value=record.value)
            self._waiting.append((record, sent))
            while self._waiting and (len(self._waiting) >= UNACKNOWLEDGED or self._waiting[0][1].is_done):
                self._acknowledge()
            yield self.records_total
        self._acknowledge_all()
        yield self.records_total

    def _acknowledge_all(self) -> None:
        while self._waiting:
            self._acknowledge()

    def _acknowledge(self) -> None:
        record, sent = self._waiting.popleft()
        try:
            sent.get(timeout=_ACKNOWLEDGED_S + 5)
        except MessageSizeTooLargeError as error:
            raise PenstockError(
                f"{record.key.decode(errors='replace')}: {len(record.value or b'')} bytes are more than topic "
                f"{self._kafka.topic} takes; raise its max.message.bytes"
            ) from error
        except KafkaError as error:
            raise KafkaUnavailable(f"topic {self._kafka.topic}: {type(error).__name__}: {error}") from error
        self.records_total += 1
        self.bytes_total += len(record.value or b"")


class Pace:
    """Lets `per_s` items a second through; None: all at once."""

    def __init__(
        self,
        per_s: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._per_s = per_s
        self._clock = clock
        self._sleep = sleep

    def __call__(self, records: Iterable[Record]) -> Iterator[Record]:
        """The same records, each no earlier than it is due. What was late is caught up, within a second."""
        due = self._clock()
        for record in records:
            if self._per_s is not None:
                now = self._clock()
                due = max(due, now - 1.0)
                if due > now:
                    self._sleep(due - now)
                due += 1 / self._per_s
            yield record


def ensure_topic(kafka: KafkaSettings, partitions: int | None) -> bool:
    """Whether the topic had to be created; partitions None: it must exist.

    Raises KafkaUnavailable when the broker can't be reached, or the topic is missing and isn't to be created.
    """
    with translated(f"Kafka at {kafka.bootstrap_servers}"):
        admin = KafkaAdminClient(**client_config(kafka, "penstock-produce"))
    try:
        with translated(f"topic {kafka.topic}"):
            if admin.describe_topics([kafka.topic])[0]["error_code"] != UNKNOWN_TOPIC:
                return False
            if partitions is None:
                raise KafkaUnavailable(f"topic {kafka.topic} does not exist; create it, or pass --create-topic")
            configs = {"max.message.bytes": str(MAX_RECORD_BYTES)}
            options = {"num_partitions": partitions, "configs": configs}
            try:
                admin.create_topics({kafka.topic: options}, wait_for_metadata=True)
            except TopicAlreadyExistsError:
                return False
            return True
    finally:
        admin.close()
