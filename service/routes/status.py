"""GET /v1/status: what the service wants, does and has done."""

import math
import time
from datetime import UTC, datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from service.answers import answers_to
from service.lag import Lag, PartitionLag
from service.remedies import remedies_for
from service.worker_view import Desired, WorkerView
from streaming.control.messages import PartitionStatus, Problem, WorkerState
from streaming.kafka.headroom import Headroom
from streaming.ledger.ledger import Kind


class Degraded(BaseModel):
    """Something outside keeps training from going on; it is tried again until it works."""

    since: datetime
    reason: str
    detail: str


class AnswerBody(BaseModel):
    """What POST /v1/problems/{id}/resolve takes, and what it does."""

    answer: str
    effect: str


class ProblemBody(BaseModel):
    """Something that a person should know. remedies: what can be done, the usual one first."""

    id: str
    type: str
    detail: str
    since: datetime
    remedies: list[str]
    answers: list[AnswerBody]


class RecordsBody(BaseModel):
    """The ledger's counts; `fetched` is this worker's work, repeats included."""

    fetched: int
    trained: int
    held_out: int
    dead_lettered: int
    skipped: int
    absent: int
    lost: int
    excluded: int


class PartitionBody(BaseModel):
    """origin, position, fetched, checkpointed, log_end: offsets, the next one each; trained: a count."""

    topic: str
    partition: int
    origin: int
    position: int
    fetched: int
    trained: int
    checkpointed: int
    log_end: int | None = Field(description="null while the broker hasn't told it.")
    lag: int | None = Field(description="log_end - position.")
    lag_seconds: float | None
    retention_headroom_seconds: float | None = Field(
        description="Until retention may remove the record at the position; null while unknown, or when nothing will."
    )


class WorkerBody(BaseModel):
    """restarts: since this service started. doing: while it isn't training, what it does instead."""

    pid: int | None
    restarts: int
    started_at: datetime | None
    epoch: int | None
    doing: str


class RatesBody(BaseModel):
    records_per_s: float
    steps_per_s: float


class ScoreBody(BaseModel):
    set: str
    name: str
    class_: str | None = Field(None, serialization_alias="class")
    value: float


class StatusBody(BaseModel):
    name: str
    state: WorkerState
    desired_state: Desired
    degraded: Degraded | None
    step: int
    loss: float | None
    learning_rate: float | None
    scores: list[ScoreBody]
    records: RecordsBody
    rates: RatesBody
    newest_event_time: datetime | None
    problems: list[ProblemBody]
    partitions: list[PartitionBody]
    worker: WorkerBody
    device: str | None
    reader: str | None
    log_end_error: str | None = Field(description="Why the log's end isn't known or is old.")


def router(name: str, view: WorkerView, lag: Lag) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["status"])

    @routes.get("/status")
    async def status() -> StatusBody:
        """The whole picture, for people and scripts."""
        return status_body(name, view, lag)

    return routes


def status_body(name: str, view: WorkerView, lag: Lag) -> StatusBody:
    now, status, rates = time.monotonic(), view.status, view.rates()
    scores = status.scores if status else []
    counters = status.counters if status else []
    fetched = int(sum(sample.value for sample in counters if sample.name == "records_fetched_total"))
    event_time = status.newest_event_time_s if status else None
    return StatusBody(
        name=name,
        state=view.state,
        desired_state=view.desired,
        degraded=degraded_of(view),
        step=view.step,
        loss=status.loss if status else None,
        learning_rate=status.learning_rate if status else None,
        scores=[
            ScoreBody(set=each.set, name=each.name, class_=each.class_ or None, value=each.value) for each in scores
        ],
        records=RecordsBody(fetched=fetched, **{str(kind): view.records.get(kind, 0) for kind in Kind}),
        rates=RatesBody(records_per_s=round(rates.records_per_s, 3), steps_per_s=round(rates.steps_per_s, 3)),
        newest_event_time=None if event_time is None else _moment(event_time),
        problems=[problem_body(problem) for problem in view.problems],
        partitions=[_partition(each, lag.of(each, now)) for each in view.partitions],
        worker=_worker(view),
        device=status.device if status else None,
        reader=status.reader if status else None,
        log_end_error=lag.error,
    )


def degraded_of(view: WorkerView) -> Degraded | None:
    problem = view.degraded
    if problem is None:
        return None
    return Degraded(since=_moment(problem.since), reason=problem.type, detail=problem.detail)


def problem_body(problem: Problem) -> ProblemBody:
    return ProblemBody(
        id=problem.type,
        type=problem.type,
        detail=problem.detail,
        since=_moment(problem.since),
        remedies=remedies_for(problem.type),
        answers=[AnswerBody(answer=answer.name, effect=answer.effect) for answer in answers_to(problem.type)],
    )


def _worker(view: WorkerView) -> WorkerBody:
    started_at = None if view.started_at is None else _moment(view.started_at)
    return WorkerBody(pid=view.pid, restarts=view.restarts, started_at=started_at, epoch=view.epoch, doing=view.doing)


def _partition(partition: PartitionStatus, lag: PartitionLag) -> PartitionBody:
    return PartitionBody(
        **partition.model_dump(),
        log_end=lag.log_end,
        lag=lag.records,
        lag_seconds=None if lag.seconds is None else round(lag.seconds, 3),
        retention_headroom_seconds=_headroom_s(lag.headroom),
    )


def _headroom_s(headroom: Headroom | None) -> float | None:
    """JSON knows no infinity."""
    return None if headroom is None or math.isinf(headroom.seconds) else round(headroom.seconds, 3)


def _moment(unix_s: float) -> datetime:
    return datetime.fromtimestamp(unix_s, UTC)
