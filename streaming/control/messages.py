"""What sidecar and worker say to each other: one JSON object a line over a socketpair.

Sidecar to worker: Configure (first, and after Parked), Pause, Resume, Save, Decide, Change, Drain, Park, Shutdown.
Worker to sidecar: Greeting, Allowance, Status, Committed, SaveFailed, Quarantined, Pictures, Parked, Finished,
Failed. End of file means death.
"""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from streaming.control.decisions import Decision


class WorkerState(StrEnum):
    """What the service is doing; the sidecar itself adds restarting, stopped and failed."""

    STARTING = "starting"
    RESTORING = "restoring"
    TRAINING = "training"
    WAITING = "waiting"
    PAUSED = "paused"
    DRAINING = "draining"
    RESTARTING = "restarting"
    STOPPED = "stopped"
    FAILED = "failed"


RateFrom = Literal["setting", "model", "schedule"]


class _Message(BaseModel):
    # Without "constants" a loss of NaN goes out as null, and the other end refuses the frame.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class Configure(_Message):
    """The first message: everything a worker needs, secrets included. sources: of the live settings, by name."""

    kind: Literal["configure"] = "configure"
    settings: dict[str, Any]
    sources: dict[str, str] = {}
    epoch: int = Field(description="Writer epoch of this worker, greater than any before.")
    until: dict[int, int] | None = Field(None, description="Bounded run: partition -> first offset not wanted.")
    paused: bool = False
    decisions: Annotated[list[Decision], Field(description="All that were ever made here, the oldest first.")] = []
    crashed: Annotated[str | None, Field(description="The signal of which the last worker died natively.")] = None


class Pause(_Message):
    kind: Literal["pause"] = "pause"


class Resume(_Message):
    kind: Literal["resume"] = "resume"


class Save(_Message):
    """Take a checkpoint; answered by Committed or SaveFailed that name the request."""

    kind: Literal["save"] = "save"
    request_id: str
    label: str | None = None
    pinned: bool = False


class Decide(_Message):
    """A decision made while the worker runs: it comes after those of Configure and earlier ones of these."""

    kind: Literal["decide"] = "decide"
    decision: Decision


class Change(_Message):
    """A live setting has another value from now on. setting: its dotted name; source: where the value comes from."""

    kind: Literal["change"] = "change"
    setting: str
    value: float | str
    source: str


class Drain(_Message):
    """Train what is read already, read nothing more, then go as after Shutdown."""

    kind: Literal["drain"] = "drain"
    deadline_s: float = Field(description="For the final checkpoint alone.")


class Park(_Message):
    """As Shutdown, but keep process, device and model, say Parked, and wait for another Configure."""

    kind: Literal["park"] = "park"
    deadline_s: float


class Shutdown(_Message):
    """Finish the step, take the final checkpoint if it fits into deadline_s, exit 0."""

    kind: Literal["shutdown"] = "shutdown"
    deadline_s: float


class Problem(_Message):
    """Something a person should know. type: a stable slug such as kafka-unavailable.

    facts: what it is about, and what an answer's decision is made of. data-lost: topic_id, before {partition: first
    offset still there}; topic-recreated: topic_id (the new one's); log-truncated: topic_id, ends {partition: log end};
    retention-near, transaction-open: partitions.
    """

    type: str
    detail: str
    since: float = Field(description="Unix time, seconds.")
    facts: dict[str, Any] = {}


class PartitionStatus(_Message):
    """Offsets of one partition. fetched, position, checkpointed: the next offset; trained: a count."""

    topic: str
    partition: int
    origin: int
    position: int
    fetched: int
    trained: int
    checkpointed: int


class Sample(_Message):
    """A counter's value since this worker started. name: without prefix, as in `steps_total`."""

    name: str
    labels: dict[str, str] = {}
    value: float


class Score(_Message):
    """set: `prequential` or the number of the evaluation set; name: loss, mean_iou or iou; class_: for iou."""

    set: str
    name: str
    class_: str = ""
    value: float


class Allowance(_Message):
    """Silence of up to `seconds` is fine now, because of what is being done."""

    kind: Literal["allowance"] = "allowance"
    state: WorkerState
    seconds: float
    doing: str


class Greeting(_Message):
    """The worker's first word, before TensorFlow is imported: whether Kafka was there, and what else is known of it.

    warning: what doesn't keep training from going on.
    """

    kind: Literal["greeting"] = "greeting"
    degraded: Problem | None
    warning: Problem | None = None


class Status(_Message):
    """Sent after a step (at most every 50 ms), and every second when idle, paused or saving."""

    kind: Literal["status"] = "status"
    state: WorkerState
    step: int
    loss: float | None
    learning_rate: float | None
    rate_from: RateFrom = Field("setting", description="What the learning rate follows.")
    device: str
    reader: str
    degraded: Problem | None
    problems: list[Problem]
    records: dict[str, int] = Field(description="The ledger's counts by kind.")
    partitions: list[PartitionStatus]
    scores: list[Score]
    newest_event_time_s: float | None
    counters: list[Sample]
    observations: dict[str, list[float]] = Field(description="Histogram observations since the last status.")


class Committed(_Message):
    """A checkpoint is durable. request_ids: the Save requests that it answers."""

    kind: Literal["committed"] = "committed"
    checkpoint_id: str
    cause: str
    step: int
    size_bytes: int
    duration_s: float
    stall_s: float
    positions: dict[int, int]
    request_ids: list[str]


class SaveFailed(_Message):
    kind: Literal["save_failed"] = "save_failed"
    detail: str
    request_ids: list[str]


class Quarantined(_Message):
    """A record that crashed the process which decoded it was found.

    The sidecar makes it a decision, and sends that back (Decide) once it is durable.
    """

    kind: Literal["quarantined"] = "quarantined"
    topic_id: str
    partition: Annotated[int, Field(ge=0)]
    offset: Annotated[int, Field(ge=0)]
    detail: str


class Picture(_Message):
    """A record as the model saw it, and what it made of it; pictures are data URLs of the same size.

    image: JPEG. mask, prediction: PNG whose samples are classes, 255 = ignore; error: 1 where they differ. label and
    predicted_label in place of those where the model classifies. wrong: share of what is known that is wrong.
    """

    partition: int
    offset: int
    image: str
    mask: str | None = None
    prediction: str | None = None
    error: str | None = None
    label: int | None = None
    predicted_label: int | None = None
    wrong: float | None = None


class Pictures(_Message):
    """A few of a batch that was scored before it is trained, every few seconds at most. colours: by class, #rrggbb."""

    kind: Literal["pictures"] = "pictures"
    step: int
    taken_at: float = Field(description="Unix time, seconds.")
    colours: list[str]
    pictures: list[Picture]


class Parked(_Message):
    """Nothing is under way any more; the next Configure begins from the newest checkpoint."""

    kind: Literal["parked"] = "parked"


class Finished(_Message):
    """The bounded run is over: everything up to `until` is settled and in the checkpoint named."""

    kind: Literal["finished"] = "finished"
    checkpoint_id: str


class Failed(_Message):
    """The worker gives up for a reason that a restart can't mend."""

    kind: Literal["failed"] = "failed"
    problem: Problem


ToWorker = Annotated[
    Configure | Pause | Resume | Save | Decide | Change | Drain | Park | Shutdown, Field(discriminator="kind")
]
ToSidecar = Annotated[
    Greeting | Allowance | Status | Committed | SaveFailed | Quarantined | Pictures | Parked | Finished | Failed,
    Field(discriminator="kind"),
]
_TO_WORKER: TypeAdapter[ToWorker] = TypeAdapter(ToWorker)
_TO_SIDECAR: TypeAdapter[ToSidecar] = TypeAdapter(ToSidecar)


def encode(message: BaseModel) -> bytes:
    """One line of JSON, newline included."""
    return message.model_dump_json().encode() + b"\n"


def decode_to_worker(line: bytes) -> ToWorker:
    return _TO_WORKER.validate_json(line)


def decode_to_sidecar(line: bytes) -> ToSidecar:
    return _TO_SIDECAR.validate_json(line)
