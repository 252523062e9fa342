"""What a record does to memory follows from the limits, not from what its bytes inflate to."""

import resource

import pytest

from streaming.arrays import Array
from streaming.records.decode import Decoded, Decoder, Limits
from streaming.records.example import parse_example
from streaming.records.sample import Reject
from tests.faults.bombs import announced_image, announced_mask, inflating_image

MB = 1 << 10  # ru_maxrss counts in KB


def no_fallback(encoded: bytes) -> Array:
    raise ValueError("no decoder can read it")


DECODE = Decoder(Limits(8, 3, 32 << 20, 64_000_000, labels=False), parse_example, no_fallback)


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.parametrize(
    ("value", "reason"),
    [(announced_image(60_000, 60_000), "image_pixels"), (announced_mask(60_000, 60_000), "mask_pixels")],
)
def test_what_announces_too_much_is_not_decoded(value: bytes, reason: str) -> None:
    before = peak()
    found = DECODE(value, b"")
    assert isinstance(found, Reject)
    assert found.reason == reason
    assert peak() - before < 4 * MB


def test_data_behind_the_last_row_is_not_kept() -> None:
    value = inflating_image(128 << 20)
    before = peak()
    assert isinstance(DECODE(value, b""), Decoded)
    assert peak() - before < 32 * MB
