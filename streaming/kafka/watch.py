"""A thread that keeps what the broker says of the topic fresh, so that nobody else has to wait for Kafka.

It also proves missing tails (`tails.py`) and mirrors positions (`mirror.py`), which wait for Kafka, too.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from streaming.errors import BrokerUntrusted, KafkaUnavailable, RightMissing
from streaming.kafka.broker import Broker, TopicFacts, start_offsets
from streaming.kafka.contact import Names, check_group
from streaming.kafka.mirror import Mirror, Positions
from streaming.kafka.tails import Tail, TailProofs
from streaming.settings import KafkaSettings

LEVEL_INTERVAL_S = 0.05
FACTS_INTERVAL_S = 2.0


class View(NamedTuple):
    """The newest answers. log_starts, log_ends (last stable), high_watermarks, origins: partition -> offset;
    group_texts: what the consumer group has beside its positions, looked up once; error: why there is no newer view.
    answered: the latest `Watch.ask` that facts, log starts and high watermarks come after. untrusted: the error is that
    a broker couldn't show who it is."""

    facts: TopicFacts | None = None
    log_starts: Mapping[int, int] = {}
    log_ends: Mapping[int, int] = {}
    high_watermarks: Mapping[int, int] = {}
    answered: int = 0
    origins: Mapping[int, int] = {}
    group_texts: Mapping[int, str] = {}
    error: str | None = None
    untrusted: bool = False


class Watch:
    """Polls the watermarks every interval_s (50 ms when level, so that new records are seen at once).

    group_id: where positions are mirrored. start: kafka.start, resolved to numbers at the first contact; both None in
    a process that only looks. names: whether the name of every broker is checked, for a reader that doesn't.
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
        names: bool = False,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._kafka = kafka
        self._client_id = client_id
        self._interval_s = interval_s
        self._group_id = group_id
        self._start = start
        self._on_change = on_change
        self._mirror = None if group_id is None else Mirror(group_id)
        self._tails = TailProofs(kafka, client_id)
        self._names = Names(kafka, client_id) if names else None
        self._wake = threading.Event()
        self._asking = threading.Lock()
        self._asked = 0
        self._stopping = False
        self._level = False
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

    def log_starts(self) -> Mapping[int, int]:
        return self.view.log_starts

    def error(self) -> str | None:
        """Why there is no newer view; what is known grows old for good when the thread has ended by a bug."""
        if self._thread.ident is not None and not self._thread.is_alive() and not self._stopping:
            return "the thread that asks Kafka has died, the log has thread_failed: restart the service"
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
        self._tails.ask(tail)
        self._wake.set()

    def proofs(self) -> Iterator[tuple[Tail, int | None]]:
        """See `TailProofs.answers`."""
        return self._tails.answers()

    def mirror(self, positions: Positions) -> None:
        """Put durable positions into the consumer group, soon and at best: see `Mirror`."""
        assert self._mirror is not None, "this one only looks"
        self._mirror.put(positions)
        self._wake.set()

    def mirror_error(self) -> str | None:
        """Why the newest positions aren't, or won't be, in the consumer group; None when they are, or may be."""
        return None if self._mirror is None else self._mirror.error

    def _run(self) -> None:
        while not self._stopping:
            try:
                with Broker(self._kafka, self._client_id) as broker:
                    self._poll(broker)
            except KafkaUnavailable as error:
                self.view = self.view._replace(error=str(error), untrusted=isinstance(error, BrokerUntrusted))
                self._on_change()
                self._wait(self._interval_s)
            finally:
                self._tails.close()

    def _poll(self, broker: Broker) -> None:
        facts_at = float("-inf")
        view = self.view
        while not self._stopping:
            asked = self._asked
            if asked > view.answered or time.monotonic() - facts_at >= FACTS_INTERVAL_S:
                facts = broker.topic()
                if self._names is not None:
                    self._names.check(broker.addresses())
                starts, tops = broker.log_starts(facts.partitions), broker.high_watermarks(facts.partitions)
                if view.facts is None or view.facts.generation != facts.generation:
                    view = self._first_view(broker, facts)
                view = view._replace(facts=facts, log_starts=starts, high_watermarks=tops, answered=asked)
                view = view._replace(error=None, untrusted=False)
                facts_at = time.monotonic()
            known = view.facts
            assert known is not None
            view = view._replace(log_ends=broker.log_ends(known.partitions))
            self.view = view
            self._on_change()
            if self._mirror is not None:
                self._mirror.work(broker, known.generation.topic_id)
            while not self._stopping and self._tails.answer_next():
                self._on_change()
            self._wait(LEVEL_INTERVAL_S if self._level else self._interval_s)

    def _first_view(self, broker: Broker, facts: TopicFacts) -> View:
        texts: Mapping[int, str] = {}
        if self._mirror is not None and self._group_id is not None:
            texts = self._texts(broker, self._mirror, self._group_id)
        origins = {} if self._start is None else start_offsets(broker, facts, self._start)
        return View(facts, origins=origins, group_texts=texts)

    def _texts(self, broker: Broker, mirror: Mirror, group_id: str) -> Mapping[int, str]:
        """Describe is needed for them; Read only to write positions, later."""
        missing: RightMissing | None = None
        try:
            check_group(self._kafka, self._client_id, group_id)
        except RightMissing as error:
            missing = error
            mirror.doubt(str(error))
        try:
            return broker.mirrored(group_id)
        except KafkaUnavailable as error:
            raise missing or error from error

    def _wait(self, seconds: float) -> None:
        self._wake.wait(seconds)
        self._wake.clear()
