import itertools

import pytest

from streaming.demo.synthetic import BROKEN, synthetic
from streaming.records.decode import Decoded, Decoder, Limits
from streaming.records.example import parse_example
from streaming.records.sample import Reject, Sample

REASONS = {
    "cut_jpeg": "image_undecodable",
    "random_bytes": "image_undecodable",
    "mask_size": "mask_size",
    "mask_range": "mask_range",
    "bomb": "image_pixels",
    "not_an_example": "not_an_example",
}


def test_the_same_seed_gives_the_same_records() -> None:
    first, again = (list(synthetic(3, 5, 10, broken_every=3, clock=lambda: 7)) for _ in range(2))
    assert first == again
    assert [record.key for record in first] == [f"pet-3-{index:07d}.jpg".encode() for index in range(5, 15)]
    assert first[3:] == list(synthetic(3, 8, 7, broken_every=3, clock=lambda: 7))


def test_without_a_count_it_is_endless() -> None:
    assert len(list(itertools.islice(synthetic(1), 12))) == 12


def test_event_times_follow_the_clock() -> None:
    ticks = itertools.count(100)
    samples = [parse_example(record.value or b"", b"") for record in synthetic(1, 0, 3, clock=lambda: next(ticks))]
    assert [sample.event_time_ms for sample in samples if isinstance(sample, Sample)] == [100, 101, 102]


def test_every_kind_of_broken_record_comes_in_its_turn_and_is_refused_for_its_reason() -> None:
    records = list(synthetic(2, 0, 2 * len(BROKEN), broken_every=2, clock=lambda: 0))
    limits = Limits(image_size=64, classes=3, max_bytes=1 << 20, max_pixels=64_000_000, labels=False)
    decoder = Decoder(limits, parse_example, _refuse)
    assert all(isinstance(decoder(record.value or b"", b""), Decoded) for record in records[::2])
    for kind, record in zip(BROKEN, records[1::2], strict=True):
        if kind == "tombstone":
            assert record.value is None
        else:
            decoded = decoder(record.value or b"", b"")
            assert isinstance(decoded, Reject), kind
            assert decoded.reason == REASONS[kind]


@pytest.mark.parametrize("kind", ["bomb"])
def test_a_bomb_is_small(kind: str) -> None:
    record = list(synthetic(2, 0, len(BROKEN), broken_every=1))[BROKEN.index(kind)]
    assert len(record.value or b"") < 10_000


def _refuse(encoded: bytes) -> object:
    raise ValueError("the last decoder refuses as well")
