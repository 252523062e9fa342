"""Before a checkpoint becomes durable: the topic still is the one that the ledger is about."""

import threading
import time

import structlog

from streaming.decided import same_life
from streaming.errors import CheckpointError
from streaming.kafka.watch import Watch
from streaming.ledger.ledger import Generation

PATIENCE_S = 15.0  # a broker that is frozen makes the watch fail within 10 s
RECONNECT_S = 3.0  # a topic can be recreated during an outage: the first answer after it is waited for
HURRY_S = 2.0
POLL_S = 0.02

_log = structlog.get_logger()


class Confirmation:
    """Called on the thread that writes a checkpoint; `hurry` belongs to the main thread."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._patience_s = PATIENCE_S
        self._pause = threading.Event()

    def hurry(self) -> None:
        """The process is to end: from now on nobody waits for long."""
        self._patience_s = HURRY_S

    def __call__(self, generation: Generation) -> None:
        """Ask the broker. Raises CheckpointError if the topic is another one; while Kafka is away nobody can know."""
        began, number = time.monotonic(), self._watch.ask()
        while (view := self._watch.view).answered < number:
            patience_s = self._patience_s if view.error is None else min(self._patience_s, RECONNECT_S)
            if time.monotonic() - began > patience_s:
                _log.warning("topic_not_confirmed", detail=view.error or "no answer in time")
                return
            self._pause.wait(POLL_S)
        if view.facts is not None and not same_life(generation, view.facts.generation):
            raise CheckpointError(
                f"topic {generation.topic} has id {view.facts.generation.topic_id} now, the ledger is about "
                f"{generation.topic_id}: what was trained since the last checkpoint may be of either"
            )
