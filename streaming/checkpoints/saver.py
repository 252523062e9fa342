"""When to take a checkpoint, and the thread that writes it: training stops only while variables are copied."""

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from streaming.arrays import Array
from streaming.checkpoints.manifest import Cause, EvaluationFile, Manifest, ManifestFields
from streaming.checkpoints.store import LEDGER_FILE, MODEL_FILE, CheckpointStore
from streaming.checkpoints.weights import encode
from streaming.control.messages import Save
from streaming.errors import CheckpointError
from streaming.ledger.ledger import Generation, Ledger
from streaming.settings import CheckpointSettings
from streaming.training.evaluation import EvaluationSet

REST = 10  # a periodic save rests at least this many times as long as the last one took


class Snapshot(NamedTuple):
    """All of one instant, in host memory and never changed again. evaluation: the set, unless it is empty."""

    fields: ManifestFields
    variables: dict[str, Array]
    ledger: Ledger
    evaluation: EvaluationSet | None
    stall_s: float


class Saved(NamedTuple):
    """The outcome of a save. error: why there is no manifest, or what failed after it was committed.

    requests: those that it answers; unmarked: those among them whose label or pin could not be written.
    """

    manifest: Manifest | None
    error: str | None
    unmarked: tuple[Save, ...]
    requests: tuple[Save, ...]
    cause: Cause
    duration_s: float
    stall_s: float


class Saver:
    """One save at a time; requests for the same join the running one. Belongs to the main thread.

    interval_s: between periodic saves; may be changed.
    confirm: called on the writing thread with the ledger's generation, before anything is written; it raises
    CheckpointError when the topic is no longer that one.
    """

    def __init__(
        self,
        store: CheckpointStore,
        settings: CheckpointSettings,
        clock: Callable[[], float],
        confirm: Callable[[Generation], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._settings = settings
        self.interval_s = settings.interval_s
        self._clock = clock
        self._confirm = confirm
        self._requests: list[Save] = []
        self._joined: list[Save] = []
        self._thread: threading.Thread | None = None
        self._result: Saved | None = None
        self._rests_since, self._rest_s = clock(), 0.0
        self._known_evaluation: EvaluationFile | None = None
        self._known_records = (0, 0)

    @property
    def busy(self) -> bool:
        return self._thread is not None

    @property
    def requested(self) -> bool:
        """Requests wait for the next save."""
        return bool(self._requests)

    def restored(self, evaluation: EvaluationFile, records: int) -> None:
        """The evaluation set of the restored checkpoint is on disk already, with so many records."""
        self._known_evaluation, self._known_records = evaluation, (evaluation.set, records)

    def request(self, save: Save) -> None:
        """Ask for a checkpoint; while one is written, a request without a label or pin joins it."""
        joins = self.busy and save.label is None and not save.pinned
        (self._joined if joins else self._requests).append(save)

    def due(self, changed: bool) -> Cause | None:
        """Why a save should begin now, if it should. changed: the state has moved since the last one."""
        if self.busy:
            return None
        if self._requests:
            return "request"
        return (
            "periodic" if changed and self._clock() >= self._rests_since + max(self.interval_s, self._rest_s) else None
        )

    def begin(self, take: Callable[[Cause], Snapshot], cause: Cause) -> None:
        """Take a snapshot on this thread and write it on another."""
        assert self._thread is None, "a save is running"
        requests, self._requests = self._requests, []
        self._result = None
        snapshot = take(cause)
        self._thread = threading.Thread(target=self._write, args=(snapshot, requests), name="save", daemon=True)
        self._thread.start()

    def finished(self, timeout_s: float = 0.0) -> Saved | None:
        """The outcome once there is one; waits up to timeout_s."""
        if self._thread is None:
            return None
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            return None
        self._thread = None
        saved, joined, self._joined = self._result, self._joined, []
        assert saved is not None
        self._rests_since, self._rest_s = self._clock(), REST * saved.duration_s
        return saved._replace(requests=(*saved.requests, *joined))

    def _write(self, snapshot: Snapshot, requests: list[Save]) -> None:
        began = time.monotonic()
        manifest, error = None, None
        unmarked = [request for request in requests if request.label is not None or request.pinned]
        try:
            self._confirm(snapshot.ledger.generation)
            manifest = self._commit(snapshot)
            while unmarked:
                self._mark(manifest.id, unmarked[0])
                del unmarked[0]
            self._store.prune(self._settings.keep, self._settings.keep_hourly, self._settings.keep_daily)
        except CheckpointError as failure:
            error = str(failure)
        except MemoryError:
            error = "not enough memory to write a checkpoint"
        duration_s = time.monotonic() - began
        self._result = Saved(
            manifest, error, tuple(unmarked), tuple(requests), snapshot.fields.cause, duration_s, snapshot.stall_s
        )

    def _mark(self, identifier: str, request: Save) -> None:
        if request.label is not None:
            self._store.set_label(identifier, request.label)
        if request.pinned:
            self._store.set_pinned(identifier, pinned=True)

    def _commit(self, snapshot: Snapshot) -> Manifest:
        weights = encode(snapshot.variables)
        evaluation = self._evaluation_file(snapshot)
        history = self._store.write_history(snapshot.ledger)
        fields = snapshot.fields.model_copy(update={"evaluation": evaluation, "history": history})
        return self._store.write(fields, {MODEL_FILE: weights, LEDGER_FILE: snapshot.ledger.dump()})

    def _evaluation_file(self, snapshot: Snapshot) -> EvaluationFile | None:
        if snapshot.evaluation is None:
            return None
        number, records = snapshot.evaluation.number, len(snapshot.evaluation)
        if self._known_evaluation is None or self._known_records != (number, records):
            name, sha256 = self._store.write_evaluation(number, records, snapshot.evaluation.dump())
            self._known_evaluation = EvaluationFile(set=number, file=name, sha256=sha256)
            self._known_records = number, records
        return self._known_evaluation
