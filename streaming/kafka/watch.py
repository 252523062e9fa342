"""A thread that keeps what the broker says of the topic fresh, so that nobody else has to wait for Kafka.

It also proves missing tails: records that a range did not deliver at its end are absent only when a read_committed
consumer has itself passed them, for a lagging new leader looks just the same.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import structlog
from kafka import KafkaConsumer, TopicPartition

from streaming.errors import KafkaUnavailable
from streaming.kafka.broker import Broker, TopicFacts, client_config, start_offsets, translated
from streaming.settings import KafkaSettings

_log = structlog.get_logger()

LEVEL_INTERVAL_S = 0.05
FACTS_INTERVAL_S = 2.0
TAIL_DEADLINE_S = 5.0


class View(NamedTuple):
    """The newest answers. log_starts, log_ends (last stable), high_watermarks, origins: partition -> offset;
    group_texts: what the consumer group has beside its positions, looked up once; error: why there is no newer view.
    answered: the latest `Watch.ask` that facts, log starts and high watermarks come after."""

    facts: TopicFacts | None = None
    log_starts: Mapping[int, int] = {}
    log_ends: Mapping[int, int] = {}
    high_watermarks: Mapping[int, int] = {}
    answered: int = 0
    origins: Mapping[int, int] = {}
    group_texts: Mapping[int, str] = {}
    error: str | None = None


class Tail(NamedTuple):
    """Offsets [start, stop) that a range did not deliver, though nothing behind them proves their absence."""

    partition: int
    start: int
    stop: int


class Watch:
    """Polls the watermarks every interval_s (50 ms when level, so that new records are seen at once).

    group_id: where positions are mirrored. start: kafka.start, resolved to numbers at the first contact; both None in
    a process that only looks.
    on_change is called on this thread after each poll and each proof.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        client_id: str,
        *,
        interval_s: float = 1.0,
        group_id: str | None = None,
        start: str | None = None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._kafka = kafka
        self._client_id = client_id
        self._interval_s = interval_s
        self._group_id = group_id
        self._start = start
        self._on_change = on_change
        self._to_mirror: tuple[Mapping[int, int], str] | None = None
        self._tails: queue.Queue[Tail] = queue.Queue()
        self._proofs: queue.Queue[tuple[Tail, int | None]] = queue.Queue()
        self._wake = threading.Event()
        self._asking = threading.Lock()
        self._asked = 0
        self._stopping = False
        self._level = False
        self._consumer: Any = None
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self.view = View()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread at its next wake-up; doesn't wait for a request under way."""
        self._stopping = True
        self._wake.set()

    def log_ends(self) -> Mapping[int, int]:
        return self.view.log_ends

    def error(self) -> str | None:
        return self.view.error

    def set_level(self, level: bool) -> None:
        """Level: everything known is read, so look for new records every 50 ms."""
        if level and not self._level:
            self._wake.set()
        self._level = level

    def ask(self) -> int:
        """Ask for facts anew; they are there as soon as `view.answered` has reached the number returned. Any thread."""
        with self._asking:
            self._asked += 1
            number = self._asked
        self._wake.set()
        return number

    def prove(self, tail: Tail) -> None:
        """Ask whether a missing tail exists; `proofs` has the answer."""
        self._tails.put(tail)
        self._wake.set()

    def proofs(self) -> Iterator[tuple[Tail, int | None]]:
        """Answers since the last call: the tail, and the first of its offsets that does exist, or None."""
        with suppress(queue.Empty):
            while True:
                yield self._proofs.get_nowait()

    def mirror(self, positions: Mapping[int, int], text: str) -> None:
        """Put durable positions into the consumer group, soon and at best: a newer call replaces one that waits."""
        self._to_mirror = positions, text
        self._wake.set()

    def _run(self) -> None:
        while not self._stopping:
            try:
                with Broker(self._kafka, self._client_id) as broker:
                    self._poll(broker)
            except KafkaUnavailable as error:
                self.view = self.view._replace(error=str(error))
                self._on_change()
                self._wait(self._interval_s)
            finally:
                self._close_consumer()

    def _poll(self, broker: Broker) -> None:
        facts_at = float("-inf")
        view = self.view
        while not self._stopping:
            asked = self._asked
            if asked > view.answered or time.monotonic() - facts_at >= FACTS_INTERVAL_S:
                facts = broker.topic()
                starts, tops = broker.log_starts(facts.partitions), broker.high_watermarks(facts.partitions)
                if view.facts is None:
                    view = self._first_view(broker, facts)
                view = view._replace(facts=facts, log_starts=starts, high_watermarks=tops, answered=asked, error=None)
                facts_at = time.monotonic()
            assert view.facts is not None
            view = view._replace(log_ends=broker.log_ends(view.facts.partitions))
            self.view = view
            self._on_change()
            self._prove_tails()
            self._mirror(broker)
            self._wait(LEVEL_INTERVAL_S if self._level else self._interval_s)

    def _first_view(self, broker: Broker, facts: TopicFacts) -> View:
        texts = {} if self._group_id is None else broker.mirrored(self._group_id)
        origins = {} if self._start is None else start_offsets(broker, facts, self._start)
        return View(facts, origins=origins, group_texts=texts)

    def _mirror(self, broker: Broker) -> None:
        """Best effort: the checkpoint is the truth, this is for people's tools."""
        if self._to_mirror is not None and self._group_id is not None:
            (positions, text), self._to_mirror = self._to_mirror, None
            try:
                broker.mirror(self._group_id, positions, text)
            except KafkaUnavailable as error:
                _log.warning("mirror_failed", group_id=self._group_id, detail=str(error))

    def _wait(self, seconds: float) -> None:
        self._wake.wait(seconds)
        self._wake.clear()

    def _prove_tails(self) -> None:
        while not self._tails.empty() and not self._stopping:
            tail = self._tails.get()
            try:
                with translated(f"reading topic {self._kafka.topic}"):
                    found = self._first_record(tail)
            except KafkaUnavailable:
                self._tails.put(tail)  # asked again once Kafka is there
                raise
            self._proofs.put((tail, found))
            self._on_change()

    def _first_record(self, tail: Tail) -> int | None:
        """Offset of the first record in the tail; None when the consumer passed it all. Raises on the deadline."""
        consumer, tp = self._open_consumer(), TopicPartition(self._kafka.topic, tail.partition)
        consumer.assign([tp])
        consumer.seek(tp, tail.start)
        deadline = time.monotonic() + TAIL_DEADLINE_S
        while time.monotonic() < deadline:
            for record in consumer.poll(timeout_ms=200, max_records=1).get(tp, []):
                return int(record.offset) if record.offset < tail.stop else None
            if consumer.position(tp, timeout_ms=1000) >= tail.stop:
                return None
        raise KafkaUnavailable(
            f"partition {tail.partition} of {self._kafka.topic}: no answer about offsets from {tail.start}"
        )

    def _open_consumer(self) -> Any:
        if self._consumer is None:
            self._consumer = KafkaConsumer(
                **client_config(self._kafka, self._client_id),
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="none",
                isolation_level="read_committed",
                max_partition_fetch_bytes=1 << 16,
            )
        return self._consumer

    def _close_consumer(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None
