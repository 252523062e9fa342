"""The chain over a topic in memory: every record once, whatever is abandoned, and batches of their real size."""

import random

import cv2
import numpy as np
import pytest

from streaming.book import bad_records
from streaming.demo.pets import draw_pet, encode_pet
from streaming.demo.profiles import Profile, Shape, encode_record
from streaming.errors import UserCodeError
from streaming.ledger.ledger import Kind
from streaming.records.augment import stateless_hash
from streaming.records.batch import Batch
from streaming.records.breaker import BadRecord
from streaming.records.example import parse_example
from streaming.records.original import Original
from streaming.records.sample import Reject, Sample
from streaming.round import HOLD_OUT_BLOCK
from tests.streaming import user_code
from tests.streaming.chain import SIZE, Loop
from tests.streaming.memory import HEADERS, TIME_MS, MemoryTopic

pytestmark = pytest.mark.tf


def full(count: int, partitions: int = 1) -> MemoryTopic:
    """Records without holes; the value tells the level of the picture."""
    records = {p: {offset: bytes([offset % 200]) for offset in range(count)} for p in range(partitions)}
    return MemoryTopic(records, dict.fromkeys(records, count))


def odd(count: int, seed: int) -> MemoryTopic:
    """Two partitions with holes in the middle, at the beginning and at the end, tombstones and bad records."""
    rng = random.Random(seed)
    records: dict[int, dict[int, bytes]] = {0: {}, 1: {}}
    for partition, held in records.items():
        for offset in range(rng.randrange(5), count - rng.randrange(1, 25)):
            if rng.random() < 0.9 and not 40 <= offset < 40 + 25 * partition:
                held[offset] = rng.choice([b"", b"bad"]) if rng.random() < 0.1 else bytes([offset % 200])
    return MemoryTopic(records, {0: count, 1: count})


def test_every_record_comes_once_in_batches_of_their_real_size() -> None:
    loop = Loop(full(130))
    loop.run_until_settled()
    assert set(loop.seen.values()) == {1}
    assert len(loop.seen) == 130
    assert sorted(len(batch.offset) for batch in loop.batches) == [2, *[16] * 8]
    for batch in loop.batches:
        assert (batch.images.shape, batch.images.dtype) == ((len(batch.offset), SIZE, SIZE, 3), "uint8")
        assert (batch.targets.shape, batch.targets.dtype) == ((len(batch.offset), SIZE, SIZE), "uint8")
        assert (np.asarray(batch.images)[:, 0, 0, 0] == batch.offset % 200).all()
        assert (batch.event_time_ms == -1).all()


def test_records_of_all_profiles_may_be_mixed_in_one_topic() -> None:
    pets = [draw_pet(7, number, width=100, height=80) for number in range(24)]
    shapes = [Shape(profile, SIZE) for profile in Profile]
    values = {
        offset: encode_record(shapes[offset % 4], *encode_pet(pet), filename="", event_time_ms=offset)
        for offset, pet in enumerate(pets)
    }
    areas = np.stack([cv2.resize(pet.image, (SIZE, SIZE), interpolation=cv2.INTER_AREA) for pet in pets]).astype(int)
    loop = Loop(MemoryTopic({0: values}, {0: len(values)}), parser=parse_example, max_bytes=1 << 20)
    loop.run_until_settled()
    assert len(loop.seen) == len(values)
    assert sum(len(batch.rejected.offset) for batch in loop.batches) == 0
    for batch in loop.batches:
        assert (batch.event_time_ms == batch.offset).all()
        for offset, image, mask in zip(batch.offset, np.asarray(batch.images), np.asarray(batch.targets), strict=True):
            assert np.abs(areas - image).mean(axis=(1, 2, 3)).argmin() == offset  # its own pet, not another's
            picked = cv2.resize(pets[offset].trimap, (SIZE, SIZE), interpolation=cv2.INTER_NEAREST_EXACT)
            assert (mask == picked).all()


def test_records_are_shuffled() -> None:
    loop = Loop(full(200))
    loop.run_round()
    order = np.concatenate([batch.offset for batch in loop.batches])
    assert (np.diff(order) < 0).sum() > 50


@pytest.mark.parametrize("seed", range(3))
def test_rounds_abandoned_anywhere_settle_every_record_exactly_once(seed: int) -> None:
    topic = odd(230, seed)
    loop = Loop(topic, fraction=0.2, shuffle_buffer=30)
    rng = random.Random(seed)
    rounds = iter([rng.choice([0, 0, 1, 2, 5]) for _ in range(12)])
    loop.run_until_settled(lambda: next(rounds, None))
    counts = loop.ledger.counts()
    assert set(loop.seen.values()) == {1}
    assert counts[Kind.ABSENT] == 460 - sum(map(len, topic.records.values()))
    assert counts[Kind.TRAINED] + counts[Kind.DEAD_LETTERED] == len(loop.seen)
    assert len(loop.seen) + counts[Kind.HELD_OUT] == sum(map(len, topic.records.values()))
    assert all(topic.records[p][offset] for p, start, stop in trained(loop) for offset in range(start, stop))


def trained(loop: Loop) -> list[tuple[int, int, int]]:
    return [(p, *pair) for p in loop.ledger.partitions() for pair in loop.ledger.kind_intervals(p, Kind.TRAINED)]


def test_bad_records_leave_their_batch_with_reason_and_place() -> None:
    topic = full(40)
    for offset, value in ((3, b""), (17, b"two bytes"), (18, b"")):
        topic.records[0][offset] = value  # type: ignore[index]
    loop = Loop(topic)
    loop.run_until_settled()
    rejected = {
        (offset, reason.decode())
        for batch in loop.batches
        for offset, reason in zip(batch.rejected.offset.tolist(), batch.rejected.reason, strict=True)
    }
    assert rejected == {(3, "empty"), (17, "not_one_byte"), (18, "empty")}
    sizes = [len(batch.offset) + len(batch.rejected.offset) for batch in loop.batches]
    assert sorted(sizes) == [8, 16, 16]


def test_what_the_reader_tells_of_a_bad_record_leaves_with_it() -> None:
    loop = Loop(MemoryTopic({0: {0: b"\x01", 1: b"bad"}}, {0: 2}, tells_all=True))
    loop.run_until_settled()
    (batch,) = loop.batches
    assert bad_records(batch.rejected) == [
        BadRecord(0, 1, "not_one_byte", "3 bytes", Original(b"bad", b"1", HEADERS, TIME_MS + 1))
    ]
    assert batch.event_time_ms.tolist() == [TIME_MS], "Kafka's timestamp stands in for an event time"


def test_bad_records_of_a_reader_that_tells_less_travel_without_their_bytes() -> None:
    loop = Loop(MemoryTopic({0: {0: b"\x01", 1: b"bad"}}, {0: 2}))
    loop.run_until_settled()
    (batch,) = loop.batches
    assert batch.rejected.value.tolist() == [b""]
    assert bad_records(batch.rejected) == [BadRecord(0, 1, "not_one_byte", "3 bytes")]


def test_a_batch_of_bad_records_alone_has_no_pictures() -> None:
    loop = Loop(MemoryTopic({0: dict.fromkeys(range(5), b"bad")}, {0: 5}), preprocess=user_code.invert)
    loop.run_until_settled()
    assert [tuple(batch.images.shape) for batch in loop.batches] == [(0, SIZE, SIZE, 3)]


def test_what_a_parser_says_may_be_any_text() -> None:
    def odd_words(value: bytes, key: bytes) -> Reject:
        return Reject("night", "too \udcff dark\n" * 1000)

    loop = Loop(full(3), parser=odd_words)
    loop.run_until_settled()
    details = [detail.decode() for detail in loop.batches[0].rejected.detail]
    assert len(details) == 3
    assert all("\n" not in detail and len(detail) <= 300 for detail in details)


def test_a_records_own_event_time_wins_over_kafkas_timestamp() -> None:
    def dated(value: bytes, key: bytes) -> Sample:
        return Sample(np.zeros((SIZE, SIZE, 3), np.uint8), np.zeros((SIZE, SIZE), np.uint8), 5 if value[0] else None)

    loop = Loop(MemoryTopic({0: {0: b"\x00", 1: b"\x01"}}, {0: 2}, tells_all=True), parser=dated)
    loop.run_until_settled()
    (batch,) = loop.batches
    assert dict(zip(batch.offset.tolist(), batch.event_time_ms.tolist(), strict=True)) == {0: TIME_MS, 1: 5}


def test_held_out_records_never_arrive_in_batches() -> None:
    loop = Loop(full(20 * HOLD_OUT_BLOCK, partitions=2), fraction=0.3)
    loop.run_until_settled()
    counts = loop.ledger.counts()
    assert counts[Kind.HELD_OUT] + counts[Kind.TRAINED] == 40 * HOLD_OUT_BLOCK
    assert counts[Kind.HELD_OUT] % HOLD_OUT_BLOCK == 0
    assert counts[Kind.HELD_OUT] > 0
    for partition, offset in loop.seen:
        assert not loop.hold_out.chosen(partition, np.array([offset]))[0]


def test_a_topic_of_holes_is_settled_without_a_batch() -> None:
    loop = Loop(MemoryTopic({0: {}}, {0: 90}))
    loop.run_until_settled()
    assert loop.batches == []
    assert loop.ledger.counts()[Kind.ABSENT] == 90


def half_dark(value: bytes, key: bytes) -> Sample:
    """Left half dark, right half bright, in the mask, too."""
    picture, mask = np.zeros((SIZE, SIZE, 3), np.uint8), np.zeros((SIZE, SIZE), np.uint8)
    picture[:, SIZE // 2 :], mask[:, SIZE // 2 :] = 200, 1
    return Sample(picture, mask)


def test_a_record_is_mirrored_the_same_way_whenever_it_is_read() -> None:
    loop = Loop(full(100), augment=True, parser=half_dark)
    loop.run_until_settled()
    for batch in loop.batches:
        images, masks = np.asarray(batch.images), np.asarray(batch.targets)
        flipped = stateless_hash(0, batch.partition, batch.offset) & np.uint64(1)
        assert (images[:, 0, 0, 0] == 200 * flipped).all()
        assert ((images[..., 0] == 200) == (masks == 1)).all()


def test_labels_come_as_numbers() -> None:
    def labelled(value: bytes, key: bytes) -> Sample:
        return Sample(np.zeros((SIZE, SIZE, 3), np.uint8), value[0] % 3, 1_700_000_000_000)

    loop = Loop(full(20), parser=labelled, labels=True, augment=True)
    loop.run_until_settled()
    for batch in loop.batches:
        assert (np.asarray(batch.targets) == batch.offset % 3).all()
        assert batch.targets.dtype == "int64"
        assert (batch.event_time_ms == 1_700_000_000_000).all()


def test_a_users_preprocessing_sees_whole_batches_and_its_output_is_used() -> None:
    loop = Loop(full(40), preprocess=user_code.invert)
    loop.run_until_settled()
    assert sorted(len(batch.offset) for batch in loop.batches) == [8, 16, 16]
    for batch in loop.batches:
        images = np.asarray(batch.images)
        assert images.dtype == np.uint8
        assert (images[:, 0, 0, 0] == 255 - batch.offset % 200).all()
        assert (np.asarray(batch.targets) == len(batch.offset)).all()


@pytest.mark.parametrize(
    ("preprocess", "text"),
    [
        (user_code.broken, "pipeline.preprocess: RuntimeError: no such table"),
        (
            user_code.crop,
            "pipeline.preprocess: ValueError: gives (None, 7, 8, 3) where the model takes (None, 8, 8, 3)",
        ),
    ],
)
def test_a_preprocessing_that_can_not_work_is_told_at_once(preprocess: object, text: str) -> None:
    with pytest.raises(UserCodeError) as caught:
        Loop(full(1), preprocess=preprocess)
    assert str(caught.value) == text


def test_no_more_is_read_ahead_than_the_buffers_hold() -> None:
    topic = full(2000)
    loop = Loop(topic, batch_size=4, shuffle_buffer=20, range_records=10)
    loop.begin()
    first = loop.take()
    assert isinstance(first, Batch)
    # shuffle buffer 20, ranges open 2 x 10 and one being unbatched, and 1 + 2 + 2 + 2 batches of 4 behind them
    assert topic.ranges_read * 10 <= 20 + 30 + 7 * 4 + 10
    loop.retire()
