"""The worker's checkpoints: when one is due, what goes into it, what came of it."""

import math
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import structlog
from pydantic import BaseModel

from streaming.book import Book
from streaming.checkpoints.manifest import Cause, ManifestFields
from streaming.checkpoints.saver import Saved, Saver, Snapshot
from streaming.confirming import Confirmation
from streaming.control.messages import Committed, Save, SaveFailed
from streaming.decided import Decided
from streaming.errors import CheckpointError
from streaming.kafka.mirror import Positions
from streaming.kafka.watch import Watch
from streaming.learning import Learning
from streaming.ledger.ledger import Generation
from streaming.live import Live
from streaming.new_run import new_run_values
from streaming.settings import Settings
from streaming.settings_tree import settings_digest

WAIT_S = 0.5
POLL_S = 0.05

_log = structlog.get_logger()


class Lineage(NamedTuple):
    """Where this worker's checkpoints stand: writer epoch, next sequence, parent."""

    epoch: int
    sequence: int
    parent: str | None


class Saving:
    """Belongs to the main thread. say: to the sidecar. Where it waits it calls `idle`, which keeps the status alive."""

    def __init__(
        self,
        settings: Settings,
        saver: Saver,
        live: Live,
        book: Book,
        learning: Learning,
        say: Callable[[BaseModel], None],
        watch: Watch,
        confirm: Confirmation,
        decided: Decided,
        lineage: Lineage,
    ) -> None:
        self._settings = settings
        self._saver = saver
        self._live = live
        self._book = book
        self._learning = learning
        self._say = say
        self._watch = watch
        self._confirm = confirm
        self._lineage = lineage
        self._decided = decided
        self._pause = threading.Event()
        self._saved: tuple[int, ...] | None = None
        self._failing_since: float | None = None  # monotonic seconds
        self.checkpointed: dict[int, int] = {}
        self.error: str | None = None
        self.damaged: str | None = None

    @property
    def overdue(self) -> bool:
        """Saves have failed for so long that training on would only add to what is lost with this process."""
        since, longest_s = self._failing_since, self._settings.checkpoint.max_age_s
        return since is not None and time.monotonic() - since > longest_s

    def restored(self, positions: dict[int, int], passed_over: list[str]) -> None:
        """The present state is that of the checkpoint the lineage names; newer ones were damaged."""
        self.checkpointed = positions
        self._saved = self._mark()
        self._mirror(self._lineage.parent, self._book.ledger.generation)
        if passed_over:
            self.damaged = f"checkpoint {', '.join(passed_over)} is damaged; restored {self._lineage.parent} instead"

    def adopt(self) -> None:
        """The topic is another one: what is durable of its offsets is nothing."""
        self.checkpointed = {}

    def request(self, save: Save) -> None:
        self._saver.request(save)

    def tick(self) -> None:
        """Announce a save that has ended; begin one that is due."""
        saved = self._saver.finished()
        if saved is not None:
            self._announce(saved)
        cause = self._saver.due(self._mark() != self._saved)
        if cause is not None and self._complete:
            self._saver.begin(self._snapshot, cause)

    def initial(self, idle: Callable[[], None]) -> None:
        """Checkpoint 0: initial weights and origins, durable before the first read. Raises CheckpointError."""
        self._saver.begin(self._snapshot, "start")
        while (saved := self._saver.finished(WAIT_S)) is None:
            idle()
        self._announce(saved)
        if saved.manifest is None:
            raise CheckpointError(f"the first checkpoint can't be written: {saved.error}")

    def final(self, deadline: float, idle: Callable[[], None]) -> str | None:
        """The id of a checkpoint of the present state, by the deadline (monotonic seconds); None if there is none."""
        if math.isfinite(deadline):
            self._confirm.hurry()
        while time.monotonic() < deadline:
            saved = self._saver.finished(min(WAIT_S, deadline - time.monotonic()))
            if saved is not None:
                self._announce(saved)
                if saved.manifest is None and saved.cause == "final":
                    return None
            idle()
            if self._saver.busy:
                continue
            if not self._complete:
                if not self._book.pending:  # bad records wait for a good one, and none comes any more
                    return None
                self._pause.wait(POLL_S)
                self._book.acknowledge()
                continue
            if self._mark() == self._saved and not self._saver.requested:
                return self._lineage.parent
            self._saver.begin(self._snapshot, "final")
        return None

    @property
    def _complete(self) -> bool:
        """The ledger may be saved: in deterministic mode only up to a batch's end, letters and all, so that whoever
        goes on from there cuts the same batches."""
        return self._book.quiet or not self._settings.pipeline.deterministic

    def _mark(self) -> tuple[int, ...]:
        """Differs whenever there is something new to save."""
        return self._learning.step, sum(self._book.ledger.counts().values()), self._decided.taken, self._live.made

    def _snapshot(self, cause: Cause) -> Snapshot:
        began = time.monotonic()
        learning, scoring = self._learning, self._learning.scoring
        ledger = self._book.ledger.copy()
        fields = ManifestFields(
            parent=self._lineage.parent,
            cause=cause,
            step=learning.step,
            created_at=time.time(),
            epoch=self._lineage.epoch,
            sequence=self._lineage.sequence,
            settings_digest=settings_digest(self._live.settings),
            learning_rate=_finite(learning.trainer.learning_rate),
            model_signature=learning.trainer.signature,
            generation=ledger.generation,
            positions={partition: ledger.position(partition) for partition in ledger.partitions()},
            records=ledger.counts(),
            decisions=self._decided.taken,
            live_settings=self._live.values,
            setting_changes=list(self._live.changes),
            scores=scoring.scores(),
            trainer_state={
                "seed": self._settings.pipeline.seed,
                "configured_learning_rate": self._live.settings.model.learning_rate,
                "rate_from": self._live.rate_from,
                "newest_event_time_s": self._book.newest_event_time_s,
                "breaker": self._book.breaker_state(),
                "new_run": new_run_values(self._settings),
                "loss": _finite(learning.loss),
                "scoring": scoring.state(),
            },
        )
        variables = learning.trainer.state()
        self._saved = self._mark()
        self._lineage = self._lineage._replace(sequence=self._lineage.sequence + 1)
        return Snapshot(fields, variables, ledger, scoring.set.frozen(), time.monotonic() - began)

    def _announce(self, saved: Saved) -> None:
        """Tell the sidecar how a save went, and remember what is durable."""
        ids = [request.request_id for request in saved.requests]
        manifest, self.error = saved.manifest, saved.error
        if manifest is None:
            self._saved = None
            self._failing_since = self._failing_since or time.monotonic()
            _log.error("checkpoint_failed", detail=saved.error)
            self._say(SaveFailed(detail=saved.error or "", request_ids=ids))
            return
        self._failing_since = None
        self._live.saved(manifest)
        self._lineage = self._lineage._replace(parent=manifest.id)
        self.checkpointed = dict(manifest.positions)
        self._mirror(manifest.id, manifest.generation)
        unmarked = [request.request_id for request in saved.unmarked]
        if unmarked:
            text = f"checkpoint {manifest.id} was taken, but its label or pin could not be written: {saved.error}"
            self._say(SaveFailed(detail=text, request_ids=unmarked))
        self._say(
            Committed(
                checkpoint_id=manifest.id,
                cause=saved.cause,
                step=manifest.step,
                size_bytes=sum(entry.size for entry in manifest.files.values()),
                duration_s=saved.duration_s,
                stall_s=saved.stall_s,
                positions=self.checkpointed,
                request_ids=[each for each in ids if each not in unmarked],
            )
        )

    def _mirror(self, checkpoint: str | None, generation: Generation) -> None:
        """What is durable, where Kafka's own tools see it."""
        text = f"penstock:{self._settings.name}:{checkpoint}"
        self._watch.mirror(Positions(self.checkpointed, text, generation.topic_id))


def _finite(value: float | None) -> float | None:
    """JSON knows no NaN."""
    return value if value is not None and math.isfinite(value) else None
