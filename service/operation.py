"""An operation over HTTP: what was asked for, what came of it, and what whoever takes it up again must know."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from service.problem_details import ProblemDetails


class OperationState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


OPEN = frozenset({OperationState.QUEUED, OperationState.RUNNING})


def _encodable(text: str) -> str:
    """JSON can hold half of a surrogate pair, which no file and no message can."""
    if not text.isprintable():
        raise ValueError("must be printable text")
    return text


Text = Annotated[str, Field(max_length=200), AfterValidator(_encodable)]
Flag = Annotated[bool, Field(strict=True)]
Offset = Annotated[int, Field(ge=0, lt=2**63, strict=True)]
Partition = Annotated[int, Field(ge=0, lt=2**31, strict=True)]


class _Part(BaseModel):
    """rewrites: makes another checkpoint the newest, so that it matters what comes before and after it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    rewrites: ClassVar[bool] = False


class SaveRequest(_Part):
    """What a checkpoint is asked to carry."""

    label: Text | None = None
    pin: Flag = False


class CheckpointRequest(_Part):
    """Which one is to be verified, or exported."""

    checkpoint_id: str


class Stretch(_Part):
    """Offsets `[start, stop)` of one partition."""

    partition: Partition
    start: Offset
    stop: Offset

    @model_validator(mode="after")
    def _half_open(self) -> Self:
        if self.start >= self.stop:
            raise ValueError("a stretch is [start, stop) with start < stop")
        return self


class RestoreRequest(_Part):
    """records: whether what was settled since then is trained again, or left out for good. exclude: left out in any
    case."""

    rewrites: ClassVar[bool] = True
    checkpoint_id: str
    records: Literal["retrain", "skip"]
    accept_loss: Flag
    exclude: list[Stretch] = []


class AdaptRequest(_Part):
    """A changed model is to begin with this checkpoint. init, reset_optimizer: see `streaming.fitting.adapt`."""

    rewrites: ClassVar[bool] = True
    checkpoint_id: str
    init: list[Text]
    reset_optimizer: Flag
    accept_loss: Flag
    dry_run: Flag


class NewRunRequest(_Part):
    """start: where the new run begins to read, by the settings."""

    rewrites: ClassVar[bool] = True
    start: str


class RequeueRequest(_Part):
    """Which dead letters are to be read again: those that meet all conditions given, or all there are."""

    rewrites: ClassVar[bool] = True
    reason: Text | None = None
    partitions: list[Partition] | None = None
    before: Annotated[Offset | None, Field(description="Offsets below this one.")] = None
    all: Flag = False


class PartitionEdit(_Part):
    """position: where it is to stand. exclude: stretches `[start, stop)` of offsets that are never to be trained."""

    partition: Partition
    position: Offset | None = None
    exclude: list[tuple[Offset, Offset]] = []

    @model_validator(mode="after")
    def _stretches(self) -> Self:
        if any(start >= stop for start, stop in self.exclude):
            raise ValueError("each stretch is [start, stop) with start < stop")
        if self.position is None and not self.exclude:
            raise ValueError("give position, exclude or both")
        return self


class EditRequest(_Part):
    rewrites: ClassVar[bool] = True
    partitions: list[PartitionEdit] = Field(min_length=1)

    @model_validator(mode="after")
    def _once(self) -> Self:
        if len({each.partition for each in self.partitions}) < len(self.partitions):
            raise ValueError("name each partition once")
        return self


class SaveResult(_Part):
    checkpoint_id: str


class VerifyResult(_Part):
    integrity: Literal["verified"] = "verified"


class RequeueResult(_Part):
    """records: owed again, with the checkpoint named; there is none if nothing was to be done.

    quarantined: left alone, because decoding them crashes; gone: left alone, because the topic has them no more.
    """

    checkpoint_id: str | None = None
    records: int
    quarantined: int
    gone: int


class EditResult(_Part):
    """Offsets. excluded: never trained now; owed: read again; kept: meant so, but trained or held out already.

    There is no checkpoint if nothing was excluded or owed.
    """

    checkpoint_id: str | None = None
    excluded: int
    owed: int
    kept: int


class AdaptResult(_Part):
    """The model's variables. fresh: how many begin anew, by their names with `dry_run`; kept: come from the checkpoint.

    There is no new checkpoint after a dry run.
    """

    checkpoint_id: str | None = None
    fresh: int
    kept: int
    names: list[str] | None = None


class NewRunResult(_Part):
    """How many checkpoints were put aside, and where they are on the service's machine; nowhere if there were none."""

    archive: str | None = None
    checkpoints: int


class ExportResult(_Part):
    """The SavedModel's version, and where it is on the service's machine."""

    number: int
    directory: str


Request = SaveRequest | CheckpointRequest | RestoreRequest | AdaptRequest | NewRunRequest | RequeueRequest | EditRequest
Result = SaveResult | VerifyResult | RequeueResult | EditResult | AdaptResult | NewRunResult | ExportResult


class Operation(BaseModel):
    """One piece of work: a checkpoint, verify, restore, adapt, new-run, requeue, edit or export.

    result stands once it has succeeded, problem once it has failed."""

    id: str
    kind: str
    state: OperationState
    created_at: datetime
    finished_at: datetime | None = None
    request: Request
    result: Result | None = None
    problem: ProblemDetails | None = None


class Progress(BaseModel):
    """What whoever takes an operation up again must know.

    attempts: how often it was begun. epoch: writer epoch of the checkpoint that it makes: if there is one, it has been
    made. made: its id, which outlives the checkpoint. counts: what its result will say. unpin: the source was pinned
    only for as long as the work takes. number: of the SavedModel that it makes: if there is one of this operation, it
    has been made. archive: where a new run puts the checkpoints; the same holds for it. given_up: why it is not to be
    begun again.
    """

    attempts: int = 0
    epoch: int | None = None
    made: str | None = None
    counts: dict[str, int] = {}
    unpin: Flag = False
    number: int | None = None
    archive: str | None = None
    given_up: ProblemDetails | None = None
