"""The fallback: more lenient than the native decoders, and no less clear about what it refuses."""

import numpy as np
import pytest

from streaming.records.decode import Decoded, Decoder, Limits
from streaming.records.example import encode_example, parse_example
from streaming.records.sample import Reject
from streaming.records.tensorflow_decode import decode_image
from tests.streaming.pictures import jpeg, png, progressive_jpeg, smooth

pytestmark = pytest.mark.tf
PICTURE = smooth(40, 48)
MASK = png(np.zeros((40, 48), np.uint8))
UNTIDY = jpeg(PICTURE).replace(b"\xff\xda", b"\x00\x01\x02\xff\xda", 1)
LIMITS = Limits(16, 3, 1 << 20, 1 << 20, labels=False)


def decoded(image: bytes) -> Decoded | Reject:
    return Decoder(LIMITS, parse_example, decode_image)(encode_example(image=image, mask=MASK), b"k")


@pytest.mark.parametrize("encoded", [jpeg(PICTURE), progressive_jpeg(PICTURE), png(PICTURE, 2)])
def test_it_gives_the_pixels_of_what_native_decoders_read_too(encoded: bytes) -> None:
    image = decode_image(encoded)
    assert (image.shape, image.dtype) == (PICTURE.shape, "uint8")
    assert np.abs(image.astype(int) - PICTURE).max() < 12


def test_what_only_the_fallback_reads_is_trained() -> None:
    untidy, tidy = decoded(UNTIDY), decoded(jpeg(PICTURE))
    assert isinstance(untidy, Decoded)
    assert isinstance(tidy, Decoded)
    assert np.abs(untidy.image.astype(int) - tidy.image).max() < 12


def test_a_cmyk_jpeg_gives_its_colours() -> None:
    cmyk = jpeg(np.concatenate([PICTURE, np.full((40, 48, 1), 255, np.uint8)], 2), colorspace="CMYK")
    native = decoded(cmyk)
    assert isinstance(native, Decoded)
    assert np.abs(decode_image(cmyk).astype(int) - PICTURE).max() < 16


@pytest.mark.parametrize(
    "encoded",
    [
        *(jpeg(PICTURE)[: len(jpeg(PICTURE)) * tenth // 10] for tenth in range(1, 10)),
        png(PICTURE, 2)[:-100],
        png(PICTURE, 2)[:33],
        b"\xff\xd8\xff" + bytes(500),
        b"\x89PNG\r\n\x1a\n" + bytes(500),
    ],
)
def test_what_no_decoder_reads_is_rejected_in_one_clean_line(encoded: bytes) -> None:
    reject = decoded(encoded)
    assert isinstance(reject, Reject)
    assert reject.reason == "image_undecodable"
    for noise in ("{{", "[Op:", "\n", "/job:"):
        assert noise not in reject.detail
    with pytest.raises(ValueError) as caught:
        decode_image(encoded)
    assert "{{" not in str(caught.value)
    assert str(caught.value)
