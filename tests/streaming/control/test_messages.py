"""Every message arrives as it was sent, values that are not finite included."""

import math

import pytest
from pydantic import BaseModel, ValidationError

from streaming.control.messages import (
    Allowance,
    Committed,
    Configure,
    Failed,
    Finished,
    PartitionStatus,
    Pause,
    Picture,
    Pictures,
    Problem,
    Resume,
    Sample,
    Save,
    SaveFailed,
    Score,
    Shutdown,
    Status,
    ToSidecar,
    ToWorker,
    WorkerState,
    decode_to_sidecar,
    decode_to_worker,
    encode,
)

PROBLEM = Problem(type="kafka-unavailable", detail="nobody\nanswers „hier“", since=1.5)
TO_WORKER: list[ToWorker] = [
    Configure(settings={"kafka": {"topic": "p", "sasl_password": None}, "n": [1, 2.5]}, epoch=3, until={0: 7, 11: 0}),
    Pause(),
    Resume(),
    Save(request_id="r1", label="before the change", pinned=True),
    Shutdown(deadline_s=2.5),
]
STATUS = Status(
    state=WorkerState.TRAINING,
    step=7,
    loss=0.25,
    learning_rate=None,
    device="CPU",
    reader="tensorflow-io",
    degraded=PROBLEM,
    problems=[PROBLEM],
    records={"trained": 5},
    partitions=[PartitionStatus(topic="p", partition=0, origin=1, position=2, fetched=3, trained=4, checkpointed=2)],
    scores=[Score(set="1", name="iou", class_="2", value=0.5)],
    newest_event_time_s=1.0,
    counters=[Sample(name="steps_total", value=7), Sample(name="records_total", labels={"reason": "x"}, value=1)],
    observations={"step_duration_seconds": [0.1, 0.2]},
)
TO_SIDECAR: list[ToSidecar] = [
    Allowance(state=WorkerState.RESTORING, seconds=300, doing="building the model"),
    STATUS,
    Committed(
        checkpoint_id="e000001-s000000001",
        cause="request",
        step=7,
        size_bytes=1,
        duration_s=0.1,
        stall_s=0.01,
        positions={0: 2},
        request_ids=["r1", "r2"],
    ),
    SaveFailed(detail="disk full", request_ids=[]),
    Pictures(
        step=7,
        taken_at=1.5,
        colours=["#f4a23a"],
        pictures=[
            Picture(
                partition=0, offset=1, image="data:,", mask="data:,", prediction="data:,", error="data:,", wrong=0.5
            ),
            Picture(partition=0, offset=2, image="data:,", label=1, predicted_label=0, wrong=1.0),
        ],
    ),
    Finished(checkpoint_id="e000001-s000000001"),
    Failed(problem=PROBLEM),
]


@pytest.mark.parametrize("message", TO_WORKER, ids=lambda message: message.kind)
def test_the_worker_gets_what_was_sent(message: ToWorker) -> None:
    assert decode_to_worker(encode(message)) == message


@pytest.mark.parametrize("message", TO_SIDECAR, ids=lambda message: message.kind)
def test_the_sidecar_gets_what_was_sent(message: ToSidecar) -> None:
    assert decode_to_sidecar(encode(message)) == message


@pytest.mark.parametrize("message", [*TO_WORKER, *TO_SIDECAR], ids=lambda message: message.kind)
def test_a_message_is_one_line(message: BaseModel) -> None:
    line = encode(message)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_arrive(value: float) -> None:
    scores = [Score(set="1", name="loss", value=value)]
    sent = STATUS.model_copy(update={"loss": value, "scores": scores, "observations": {"x": [value]}})
    got = decode_to_sidecar(encode(sent))
    assert isinstance(got, Status)
    for arrived in (got.loss, got.scores[0].value, got.observations["x"][0]):
        assert repr(arrived) == repr(value)


@pytest.mark.parametrize(
    "line", [b"", b"{}", b'{"kind": "dance"}', b'{"kind": "pause", "for": 1}', b'{"kind": "status"}']
)
def test_what_is_no_message_is_refused(line: bytes) -> None:
    for decode in (decode_to_worker, decode_to_sidecar):
        with pytest.raises(ValidationError):
            decode(line)
