"""Lag in records and seconds."""

import asyncio

from service.lag import SAMPLES, Lag, PartitionLag
from streaming.control.messages import PartitionStatus
from tests.service.conftest import FakeWatermarks


def at(position: int) -> PartitionStatus:
    return PartitionStatus(
        topic="t", partition=0, origin=0, position=position, fetched=position, trained=0, checkpointed=0
    )


def test_unknown_log_end_is_no_lag_of_zero() -> None:
    assert Lag().of(at(5), now=1.0) == PartitionLag(None, None, None)


def test_seconds_count_from_when_the_log_went_past_the_position() -> None:
    lag = Lag()
    for now, end in ((0.0, 10), (5.0, 20), (8.0, 30)):
        lag.observe({0: end}, now)
    assert lag.of(at(15), now=10.0) == PartitionLag(30, 15, 5.0)
    assert lag.of(at(20), now=10.0) == PartitionLag(30, 10, 2.0)
    assert lag.of(at(30), now=10.0) == PartitionLag(30, 0, 0.0)


def test_log_end_is_never_below_the_position() -> None:
    lag = Lag()
    lag.observe({0: 10}, 0.0)
    assert lag.of(at(12), now=1.0) == PartitionLag(12, 0, 0.0)


def test_history_is_bounded_and_keeps_the_oldest() -> None:
    lag = Lag()
    for second in range(100_000):
        lag.observe({0: second + 1}, float(second))
    assert len(lag._ends[0]) <= SAMPLES
    assert lag.of(at(0), now=100_000.0).seconds == 100_000.0
    recent = lag.of(at(99_990), now=100_000.0).seconds
    assert recent is not None
    assert recent < 20


def test_where_the_log_begins_is_waited_for_until_somebody_has_looked() -> None:
    async def story() -> None:
        lag, kafka = Lag(), FakeWatermarks()
        looking = asyncio.create_task(lag.first_look())
        await asyncio.sleep(0)
        assert not looking.done()
        kafka.starts = {}
        lag.look(kafka, 0.0)
        await asyncio.wait_for(looking, 5)
        assert (lag.starts(), lag.error) == (None, "Kafka is away")

    asyncio.run(story())
