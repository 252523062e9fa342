"""A thread that asks the broker how long retention will leave alone what isn't trained yet.

It needs no worker: positions come from whoever knows them. See `headroom.py` for what the answers mean.
"""

import math
import threading
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import structlog
from kafka import TopicPartition
from kafka.errors import CorruptRecordError, OffsetOutOfRangeError

from streaming.errors import KafkaUnavailable
from streaming.kafka.broker import Broker, translated
from streaming.kafka.consumer import open_consumer
from streaming.kafka.headroom import OVERTAKEN, UNLIMITED, Backlog, Growth, Headroom, Limits, headroom
from streaming.settings import KafkaSettings

INTERVAL_S = 10.0
LIMITS_INTERVAL_S = 60.0
READ_DEADLINE_S = 5.0

_log = structlog.get_logger()


class RetentionWatch:
    """Works out the headroom of every partition that it is told a position of, every `interval_s`.

    The topic's settings and size are looked up every `limits_interval_s`.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        client_id: str,
        *,
        interval_s: float = INTERVAL_S,
        limits_interval_s: float = LIMITS_INTERVAL_S,
    ) -> None:
        self._kafka = kafka
        self._client_id = client_id
        self._interval_s = interval_s
        self._limits_interval_s = limits_interval_s
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="retention", daemon=True)
        self._positions: Mapping[int, int] = {}
        self._headrooms: Mapping[int, Headroom] = {}
        self._records = _Timestamps(kafka, client_id)
        self._growth: dict[int, Growth] = {}
        self._error: str | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread at its next wake-up; doesn't wait for a request under way."""
        self._stopping = True
        self._wake.set()

    def look_at(self, positions: Mapping[int, int]) -> None:
        """From now on these count, partition -> offset; partitions that are new are looked at immediately."""
        news = positions.keys() != self._positions.keys()
        self._positions = positions
        if news:
            self._wake.set()

    def headrooms(self) -> Mapping[int, Headroom]:
        """The newest answers; a partition has none while Kafka is away, or doesn't tell enough."""
        return {} if self.failure() else self._headrooms

    def failure(self) -> str | None:
        """Why nobody asks any more: the thread has ended by a bug."""
        if self._thread.ident is not None and not self._thread.is_alive() and not self._stopping:
            return "the thread that asks Kafka about retention has died, the log has thread_failed: restart the service"
        return None

    def look_once(self, broker: Broker, positions: Mapping[int, int]) -> Mapping[int, Headroom]:
        """The headroom of these positions as `broker` knows it now, without the thread. Raises KafkaUnavailable."""
        try:
            return self._answer(broker, _topic(broker), positions)
        finally:
            self._records.close()

    def _run(self) -> None:
        while not self._stopping:
            try:
                with Broker(self._kafka, self._client_id) as broker:
                    self._poll(broker)
            except KafkaUnavailable as error:
                self._headrooms = {}
                if self._error != str(error):
                    _log.warning("retention_unknown", detail=str(error))
                self._error = str(error)
                self._wait()
            finally:
                self._records.close()

    def _poll(self, broker: Broker) -> None:
        looked_at = -math.inf
        while not self._stopping:
            if time.monotonic() - looked_at >= self._limits_interval_s:
                topic, looked_at = _topic(broker), time.monotonic()
            self._headrooms = self._answer(broker, topic, self._positions)
            self._error = None
            self._wait()

    def _answer(self, broker: Broker, topic: "_Topic", positions: Mapping[int, int]) -> dict[int, Headroom]:
        there = {p: position for p, position in positions.items() if p in topic.partitions}
        if topic.limits == Limits(None, None):
            return dict.fromkeys(there, UNLIMITED)
        return self._look(broker, topic.limits, topic.record_bytes, there)

    def _look(
        self, broker: Broker, limits: Limits, record_bytes: Mapping[int, float], positions: Mapping[int, int]
    ) -> dict[int, Headroom]:
        starts, ends = broker.log_starts(positions), broker.log_ends(positions)
        found = {}
        for partition, position in positions.items():
            end, size = ends[partition], record_bytes.get(partition)
            rate = self._growth.setdefault(partition, Growth()).observe(end, time.monotonic())
            if position >= end:
                found[partition] = UNLIMITED
            elif position < starts[partition]:
                found[partition] = OVERTAKEN
            else:
                backlog = Backlog(
                    self._records.timestamp_s(partition, position, end),
                    None if size is None else size * (end - position),
                    None if size is None or rate is None else size * rate,
                )
                room = headroom(limits, backlog, time.time())
                if room is not None:
                    found[partition] = room
        return found

    def _wait(self) -> None:
        self._wake.wait(self._interval_s)
        self._wake.clear()


class _Topic(NamedTuple):
    """record_bytes: mean bytes from one offset to the next, by partition; empty where nobody needs them."""

    limits: Limits
    partitions: tuple[int, ...]
    record_bytes: dict[int, float]


def _topic(broker: Broker) -> _Topic:
    limits, partitions = broker.retention(), broker.topic().partitions
    return _Topic(limits, partitions, _record_bytes(broker, partitions) if limits.size_bytes is not None else {})


def _record_bytes(broker: Broker, partitions: tuple[int, ...]) -> dict[int, float]:
    """Mean bytes on disk from one offset to the next, of each partition that has a size and records."""
    starts, tops, sizes = broker.log_starts(partitions), broker.high_watermarks(partitions), broker.sizes(partitions)
    if not sizes:
        _log.warning("retention_size_unknown", detail="grant Describe on the cluster to see how full the topic is")
    return {p: size / (tops[p] - starts[p]) for p, size in sizes.items() if p in tops and tops[p] > starts[p]}


class _Timestamps:
    """Reads back the record at a position, once for each position. Belongs to one thread."""

    def __init__(self, kafka: KafkaSettings, client_id: str) -> None:
        self._kafka = kafka
        self._client_id = client_id
        self._consumer: Any = None
        self._known: dict[int, tuple[int, float | None]] = {}

    def timestamp_s(self, partition: int, position: int, log_end: int) -> float | None:
        """Of the first record at or behind the position, Unix seconds; inf if there is none below the log's end, None
        for a record without a timestamp, or a damaged one. Raises KafkaUnavailable."""
        known = self._known.get(partition)
        if known is not None and known[0] == position:
            return known[1]
        with translated(f"reading topic {self._kafka.topic}"):
            found = self._read(TopicPartition(self._kafka.topic, partition), position, log_end)
        if found != math.inf:
            self._known[partition] = position, found
        return found

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def _read(self, tp: Any, position: int, log_end: int) -> float | None:
        consumer = self._open()
        consumer.assign([tp])
        consumer.seek(tp, position)
        deadline = time.monotonic() + READ_DEADLINE_S
        try:
            while time.monotonic() < deadline:
                for record in consumer.poll(timeout_ms=200, max_records=1).get(tp, []):
                    return record.timestamp / 1000 if record.timestamp >= 0 else None
                if consumer.position(tp, timeout_ms=1000) >= log_end:
                    return math.inf
        except OffsetOutOfRangeError:
            return -math.inf  # removed just now
        except CorruptRecordError as error:
            _log.warning("retention_record_unreadable", partition=tp.partition, offset=position, detail=str(error))
            self.close()
            return None
        raise KafkaUnavailable(f"partition {tp.partition} of {tp.topic}: no answer about offsets from {position}")

    def _open(self) -> Any:
        """Aborted records are records, too: they tell as well how old the log is here."""
        if self._consumer is None:
            options: dict[str, Any] = {"isolation_level": "read_uncommitted", "max_partition_fetch_bytes": 1 << 16}
            self._consumer = open_consumer(self._kafka, self._client_id, **options)
        return self._consumer
