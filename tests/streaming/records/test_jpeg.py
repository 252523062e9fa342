"""The size of a JPEG, from its header alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.records.jpeg import jpeg_size
from tests.streaming.pictures import jpeg, progressive_jpeg, smooth, with_orientation

PICTURE = smooth(5, 300)


@pytest.mark.parametrize("encoded", [jpeg(PICTURE), progressive_jpeg(PICTURE), with_orientation(jpeg(PICTURE), 6)])
def test_the_size_is_that_of_the_frame(encoded: bytes) -> None:
    assert jpeg_size(encoded) == (5, 300)


def test_fill_bytes_and_stray_bytes_are_passed_over() -> None:
    assert jpeg_size(jpeg(PICTURE).replace(b"\xff\xdb", b"\x00\x07\xff\xff\xff\xdb", 1)) == (5, 300)


def test_a_thumbnail_inside_a_segment_is_not_the_picture() -> None:
    thumbnail = jpeg(smooth(2, 2))
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2) + thumbnail
    encoded = jpeg(PICTURE)
    assert jpeg_size(encoded[:2] + segment + encoded[2:]) == (5, 300)


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", jpeg(PICTURE)[:30], b"\xff\xd8\xff\xda" + jpeg(PICTURE)[2:]])
def test_no_frame_before_the_first_scan_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="without a frame header"):
        jpeg_size(data)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_give_a_size_or_a_refusal(noise: bytes) -> None:
    try:
        height, width = jpeg_size(b"\xff\xd8\xff" + noise)
    except ValueError:
        return
    assert 0 <= height < 65_536
    assert 0 <= width < 65_536
