"""Odd but legal records are decoded to the right pixels; bad ones leave with the right reason, and none ever raises."""

import os
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kornia_rs.io import decode_image_png_u8

from streaming.records.decode import IGNORE, Decoded, Decoder, Limits, Parse
from streaming.records.example import RAW, encode_example, parse_example
from streaming.records.native import decode_mask
from streaming.records.png import GREY, PALETTE
from streaming.records.sample import Reject, Sample
from tests.streaming.pictures import Array, chunks_of, jpeg, png, png_start, progressive_jpeg, smooth, with_orientation

SIZE = 16
LIMITS = Limits(image_size=SIZE, classes=3, max_bytes=1 << 20, max_pixels=64_000_000, labels=False)
HEIGHT, WIDTH = 40, 48
PICTURE = smooth(HEIGHT, WIDTH)
MASK = (np.indices((HEIGHT, WIDTH)).sum(0) // 8 % 3).astype(np.uint8)
COLOURS = bytes(range(100, 109))
TOLERANCE = 6  # grey levels: two lossy decoders and two ways to shrink


def refuse(encoded: bytes) -> Array:
    """A fallback that can't do any better."""
    raise ValueError("no decoder can read it")


def decoder(parse: Parse = parse_example, **limits: Any) -> Decoder:
    return Decoder(LIMITS._replace(**limits), parse, refuse)


def decoded(image: bytes, mask: bytes | None = None, **limits: Any) -> Decoded:
    if mask is None:
        mask = png(np.zeros((SIZE, SIZE), np.uint8))
    result = decoder(**limits)(encode_example(image=image, mask=mask), b"k")
    assert isinstance(result, Decoded), result
    assert result.image.dtype == np.uint8
    assert result.image.shape == (SIZE, SIZE, 3)
    return result


def raw(image: Array, mask: Array, **other: int | None) -> bytes:
    sides: dict[str, Any] = {"height": image.shape[0], "width": image.shape[1], **other}
    return encode_example(image=image.tobytes(), image_encoding=RAW, mask=mask.tobytes(), mask_encoding=RAW, **sides)


def rejected(value: bytes, parse: Parse = parse_example, **limits: Any) -> Reject:
    result = decoder(parse, **limits)(value, b"k")
    assert isinstance(result, Reject)
    assert result.detail
    assert "\n" not in result.detail
    return result


def shrunk(picture: Array) -> Array:
    """The reference: decoded in full, then the mean of each area."""
    area: Array = cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return area


def assert_close(image: Array, reference: Array) -> None:
    difference = np.abs(image.astype(int) - reference.astype(int))
    assert difference.mean() < TOLERANCE / 2
    assert difference.max() <= 3 * TOLERANCE


GREY_PICTURE = PICTURE[..., :1].copy()
AS_GREY = GREY_PICTURE.repeat(3, axis=2)
OPAQUE = np.full((HEIGHT, WIDTH, 1), 128, np.uint8)
INVERTED_CMYK = np.concatenate([PICTURE, np.full_like(OPAQUE, 255)], 2)  # as Adobe writes it: 255 is no ink
INDEXES = PICTURE[..., 0] // 2
PALETTE_RAMP = bytes(level for index in range(128) for level in (2 * index, 255 - index, index))
RAMPED = np.stack([2 * INDEXES, 255 - INDEXES, INDEXES], -1).astype(np.uint8)


@pytest.mark.parametrize(
    ("encoded", "pixels"),
    [
        pytest.param(jpeg(PICTURE), PICTURE, id="JPEG"),
        pytest.param(progressive_jpeg(PICTURE), PICTURE, id="progressive JPEG"),
        pytest.param(jpeg(GREY_PICTURE, colorspace="GRAY", colorsubsampling="Gray"), AS_GREY, id="grey JPEG"),
        pytest.param(jpeg(PICTURE, colorsubsampling="420"), PICTURE, id="JPEG 4:2:0"),
        pytest.param(jpeg(INVERTED_CMYK, colorspace="CMYK"), INVERTED_CMYK[..., :3], id="CMYK JPEG"),
        pytest.param(png(PICTURE, 2), PICTURE, id="PNG"),
        pytest.param(png(PICTURE, 2, interlaced=True), PICTURE, id="interlaced PNG"),
        pytest.param(png(PICTURE.astype(np.uint16) * 257, 2, 16), PICTURE, id="16-bit PNG"),
        pytest.param(png(np.concatenate([PICTURE, OPAQUE], 2), 6), PICTURE, id="PNG with alpha"),
        pytest.param(png(GREY_PICTURE, GREY), AS_GREY, id="grey PNG"),
        pytest.param(png(np.concatenate([GREY_PICTURE, OPAQUE], 2), 4), AS_GREY, id="grey PNG with alpha"),
        pytest.param(png(INDEXES, PALETTE, PLTE=PALETTE_RAMP), RAMPED, id="palette PNG"),
        pytest.param(png(INDEXES, PALETTE, PLTE=PALETTE_RAMP, tRNS=b"\x00"), RAMPED, id="palette PNG with tRNS"),
    ],
)
def test_a_picture_of_any_legal_kind_gives_its_pixels(encoded: bytes, pixels: Array) -> None:
    assert_close(decoded(encoded).image, shrunk(pixels))


def test_a_picture_of_the_models_size_keeps_every_pixel() -> None:
    picture = smooth(SIZE, SIZE)
    assert (decoded(png(picture, 2)).image == picture).all()


def test_a_picture_of_one_pixel_fills_the_model_with_its_colour() -> None:
    colour = np.array([[[200, 30, 90]]], np.uint8)
    result = decoded(png(colour, 2), png(np.array([[2]], np.uint8)))
    assert (result.image == colour).all()
    assert (np.asarray(result.target) == 2).all()
    assert_close(decoded(jpeg(colour)).image, np.broadcast_to(colour, (SIZE, SIZE, 3)))


def test_a_picture_of_six_megapixels_is_decoded_close_to_an_area_resampling() -> None:
    picture = cv2.resize(smooth(200, 300), (3000, 2000))
    assert_close(decoded(jpeg(picture)).image, shrunk(picture))


@pytest.mark.parametrize("shape", [(17, 17), (24, 31), (32, 32), (200, 20), (9, 300), (5, 7)])
def test_the_native_path_is_close_to_an_area_resampling_at_every_scale(shape: tuple[int, int]) -> None:
    picture = smooth(*shape)
    if max(shape) >= 2 * SIZE:
        assert_close(decoded(jpeg(picture)).image, shrunk(picture))
    assert_close(decoded(jpeg(picture)).image, decoded(png(picture, 2)).image)


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_orientation_is_ignored(orientation: int) -> None:
    turned = decoded(with_orientation(jpeg(PICTURE), orientation)).image
    assert (turned == decoded(jpeg(PICTURE)).image).all()
    exif = with_orientation(jpeg(PICTURE), orientation)[12:38]
    assert (decoded(png(PICTURE, 2, eXIf=exif)).image == decoded(png(PICTURE, 2)).image).all()


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("chunks", [{"PLTE": COLOURS}, {"PLTE": COLOURS, "tRNS": b"\x00\x80"}])
@pytest.mark.parametrize("depth", [2, 4, 8])
def test_a_palette_mask_gives_its_indexes(depth: int, chunks: dict[str, bytes], interlaced: bool) -> None:
    mask = decode_mask(png(MASK, PALETTE, depth, interlaced=interlaced, **chunks), LIMITS.max_pixels)
    assert (mask == MASK).all()


@pytest.mark.parametrize("colour", [GREY, PALETTE])
def test_a_mask_of_one_bit_gives_zeros_and_ones(colour: int) -> None:
    chunks = {"PLTE": COLOURS[:6]} if colour == PALETTE else {}
    assert (decode_mask(png(MASK % 2, colour, 1, **chunks), LIMITS.max_pixels) == MASK % 2).all()


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("depth", [2, 4, 8])
def test_a_grey_mask_is_not_scaled(depth: int, interlaced: bool) -> None:
    highest = (1 << depth) - 1
    mask = np.arange(highest + 1, dtype=np.uint8).reshape(2, -1)
    assert (decode_mask(png(mask, GREY, depth, interlaced=interlaced), LIMITS.max_pixels) == mask).all()


def test_a_mask_is_resized_to_whole_classes() -> None:
    result = decoded(jpeg(PICTURE), png(MASK))
    assert isinstance(result.target, np.ndarray)
    assert result.target.shape == (SIZE, SIZE)
    assert set(np.unique(result.target)) <= {0, 1, 2}
    large = np.zeros((HEIGHT, WIDTH), np.uint8)
    large[:, WIDTH // 2 :] = 2
    halves = np.asarray(decoded(jpeg(PICTURE), png(large)).target)
    assert (halves[:, : SIZE // 2] == 0).all()
    assert (halves[:, SIZE // 2 :] == 2).all()


def test_pixels_of_a_raw_record_are_used_as_they_are() -> None:
    picture, mask = smooth(SIZE, SIZE), np.random.default_rng(0).integers(0, 3, (SIZE, SIZE)).astype(np.uint8)
    result = decoder()(raw(picture, mask), b"k")
    assert isinstance(result, Decoded)
    assert (result.image == picture).all()
    assert (result.target == mask).all()
    large = decoder()(raw(PICTURE, MASK), b"k")
    assert isinstance(large, Decoded)
    assert_close(large.image, shrunk(PICTURE))


def test_a_picture_and_its_mask_may_be_encoded_differently() -> None:
    mask = np.random.default_rng(0).integers(0, 3, (SIZE, SIZE)).astype(np.uint8)
    sides = {"height": HEIGHT, "width": WIDTH, "mask_height": SIZE, "mask_width": SIZE}
    beside_jpeg = decoder()(encode_example(image=jpeg(PICTURE), mask=mask.tobytes(), mask_encoding=RAW, **sides), b"k")
    assert isinstance(beside_jpeg, Decoded)
    assert (beside_jpeg.target == mask).all()
    beside_raw = decoder()(encode_example(image=PICTURE.tobytes(), image_encoding=RAW, mask=png(mask), **sides), b"k")
    assert isinstance(beside_raw, Decoded)
    assert (beside_raw.target == mask).all()
    assert_close(beside_raw.image, shrunk(PICTURE))


def test_a_mask_is_picked_at_the_centres_of_the_models_pixels() -> None:
    rows = ((np.arange(SIZE) + 0.5) * HEIGHT / SIZE).astype(int)
    columns = ((np.arange(SIZE) + 0.5) * WIDTH / SIZE).astype(int)
    assert (np.asarray(decoded(jpeg(PICTURE), png(MASK)).target) == MASK[rows][:, columns]).all()


def test_a_mask_of_exactly_the_models_size_is_taken_as_it_is() -> None:
    mask = np.random.default_rng(0).integers(0, 3, (SIZE, SIZE)).astype(np.uint8)
    mask[0] = IGNORE
    assert (decoded(jpeg(PICTURE), png(mask)).target == mask).all()


def test_a_label_is_the_target_where_labels_are_wanted() -> None:
    for label in (0, 2):
        result = decoder(labels=True)(encode_example(image=jpeg(PICTURE), label=label, event_time_ms=7), b"")
        assert isinstance(result, Decoded)
        assert (result.target, result.event_time_ms) == (label, 7)


def test_arrays_of_a_users_parser_are_used_as_they_are() -> None:
    def parse(value: bytes, key: bytes) -> Sample:
        return Sample(PICTURE[:, ::-1], MASK[:, ::-1], 5)

    result = decoder(parse)(b"v", b"k")
    assert isinstance(result, Decoded)
    assert_close(result.image, shrunk(PICTURE)[:, ::-1])
    assert result.event_time_ms == 5
    labelled = decoder(lambda value, key: Sample(PICTURE, np.int64(2)), labels=True)(b"v", b"k")
    assert isinstance(labelled, Decoded)
    assert labelled.target == 2


GOOD = encode_example(image=jpeg(PICTURE), mask=png(MASK))
BAD: dict[str, tuple[bytes, str]] = {
    "no value": (b"", "empty"),
    "too many bytes": (bytes(LIMITS.max_bytes + 1), "too_large"),
    "no protobuf": (b"not an example at all", "not_an_example"),
    "no picture": (encode_example(image=b"GIF89a", mask=png(MASK)), "image_undecodable"),
    "a mask of another size": (encode_example(image=jpeg(PICTURE), mask=png(MASK[1:])), "mask_size"),
    "a mask turned by 90 degrees": (encode_example(image=jpeg(PICTURE), mask=png(MASK.T)), "mask_size"),
    "a class out of range": (encode_example(image=jpeg(PICTURE), mask=png(MASK + 1)), "mask_range"),
    "a mask scaled to 255": (encode_example(image=jpeg(PICTURE), mask=png(MASK * 127)), "mask_range"),
    "an RGB mask": (encode_example(image=jpeg(PICTURE), mask=png(PICTURE, 2)), "mask_channels"),
    "a 16-bit mask": (encode_example(image=jpeg(PICTURE), mask=png(MASK, GREY, 16)), "mask_channels"),
    "a mask with alpha": (
        encode_example(image=jpeg(PICTURE), mask=png(np.stack([MASK, MASK], 2), 4)),
        "mask_channels",
    ),
    "a JPEG mask": (encode_example(image=jpeg(PICTURE), mask=jpeg(PICTURE)), "mask_undecodable"),
    "a mask too wide for any decoder": (
        encode_example(image=jpeg(PICTURE), mask=png_start(2_000_000, 1, 8, GREY) + png(MASK)[33:]),
        "mask_undecodable",
    ),
    "a mask cut short": (encode_example(image=jpeg(PICTURE), mask=png(MASK)[:-20]), "mask_undecodable"),
    "a huge mask": (
        encode_example(image=jpeg(PICTURE), mask=png_start(20_000, 10_000, 8, GREY) + png(MASK)[33:]),
        "mask_pixels",
    ),
    "a PNG without pixels": (encode_example(image=png_start(0, 0), mask=png(MASK)), "image_undecodable"),
    "a label where masks are wanted": (encode_example(image=jpeg(PICTURE), label=1), "target_kind"),
    "a raw picture of another size": (raw(PICTURE, MASK, height=HEIGHT + 1), "raw_size"),
    "a raw picture of no size": (raw(PICTURE, MASK, height=None), "raw_size"),
    "a raw picture of a negative size": (raw(PICTURE, MASK, height=-HEIGHT, width=-WIDTH), "raw_size"),
    "a raw mask of another size": (raw(PICTURE, MASK, mask_width=SIZE), "raw_size"),
    "a raw mask of neither size": (raw(PICTURE, MASK[1:], mask_height=HEIGHT - 1), "mask_size"),
    "a raw mask with a class out of range": (raw(PICTURE, MASK + 1), "mask_range"),
    "a JPEG that is said to be raw": (
        encode_example(image=jpeg(PICTURE), image_encoding=RAW, mask=png(MASK), height=HEIGHT, width=WIDTH),
        "raw_size",
    ),
    "pixels that aren't said to be raw": (
        encode_example(image=PICTURE.tobytes(), mask=png(MASK), height=HEIGHT, width=WIDTH),
        "image_undecodable",
    ),
    "no target": (encode_example(image=jpeg(PICTURE)), "no_target"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_record_is_rejected_for_its_reason(name: str) -> None:
    value, reason = BAD[name]
    assert rejected(value).reason == reason


def test_a_mask_where_labels_are_wanted_is_rejected() -> None:
    assert rejected(GOOD, labels=True).reason == "target_kind"


@pytest.mark.parametrize("label", [-1, 3, 254, 256, 2**40])
def test_a_label_out_of_range_is_rejected(label: int) -> None:
    assert rejected(encode_example(image=jpeg(PICTURE), label=label), labels=True).reason == "label_range"


@pytest.mark.parametrize("encode", [jpeg, progressive_jpeg, lambda picture: png(picture, 2)])
def test_a_picture_cut_short_anywhere_is_rejected(encode: Callable[[Array], bytes]) -> None:
    encoded = encode(PICTURE)
    for tenth in range(10):
        value = encode_example(image=encoded[: len(encoded) * tenth // 10], mask=png(MASK))
        assert rejected(value).reason == ("no_image" if tenth == 0 else "image_undecodable")


@pytest.mark.parametrize("colour", [GREY, 2, PALETTE])
def test_a_mask_cut_short_anywhere_is_rejected(colour: int) -> None:
    encoded = png(MASK, PALETTE, PLTE=COLOURS) if colour == PALETTE else png(PICTURE if colour == 2 else MASK, colour)
    assert all(
        rejected(encode_example(image=jpeg(PICTURE), mask=encoded[:length])).reason
        in ("mask_channels", "mask_undecodable")
        for length in range(1, len(encoded) - 12, 7)
    )


def test_a_png_that_one_decoder_refuses_goes_to_the_next() -> None:
    """Rust's insists on the checksum of a palette, of which nothing is used."""
    encoded = bytearray(png(MASK, PALETTE, PLTE=COLOURS))
    at = next(at for at, _, name in chunks_of(encoded) if name == b"PLTE")
    encoded[at + 8] ^= 0xFF
    with pytest.raises(Exception, match="CRC"):
        decode_image_png_u8(bytes(encoded), (HEIGHT, WIDTH), "mono")
    assert (decode_mask(bytes(encoded), LIMITS.max_pixels) == MASK).all()


@pytest.mark.parametrize("name", [b"IHDR", b"IDAT"])
def test_a_png_with_a_wrong_checksum_is_rejected(name: bytes) -> None:
    encoded = png(PICTURE, 2)
    at, size = next((at, size) for at, size, found in chunks_of(encoded) if found == name)
    broken = bytearray(encoded)
    broken[at + 8 + size] ^= 0xFF
    assert rejected(encode_example(image=bytes(broken), mask=png(MASK))).reason == "image_undecodable"


def test_the_header_of_a_huge_picture_is_refused_at_once_and_without_memory() -> None:
    value = encode_example(image=png_start(20_000, 10_000) + png(PICTURE, 2)[33:], mask=png(MASK))
    tracemalloc.start()
    began = time.perf_counter()
    reject = rejected(value)
    elapsed_s, (_, peak_bytes) = time.perf_counter() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert reject == Reject("image_pixels", "20000x10000, limit 64000000 pixels")
    assert elapsed_s < 0.1
    assert peak_bytes < 1 << 20


@pytest.mark.parametrize(
    ("image", "target", "reason"),
    [
        (PICTURE.astype(np.float32), MASK, "image_undecodable"),
        (PICTURE[..., 0], MASK, "image_undecodable"),
        (PICTURE[:0], MASK[:0], "image_undecodable"),
        (np.concatenate([PICTURE, OPAQUE], 2), MASK, "image_undecodable"),
        (PICTURE, MASK.astype(np.int64), "mask_undecodable"),
        (PICTURE, MASK[..., None], "mask_undecodable"),
        (PICTURE, MASK[1:], "mask_size"),
        (PICTURE, MASK + 7, "mask_range"),
        (PICTURE, 1, "target_kind"),
        (PICTURE, True, "target_kind"),
        (None, MASK, "parse_error"),
        ("a path", MASK, "parse_error"),
        (PICTURE, None, "parse_error"),
        (PICTURE, 1.0, "parse_error"),
        (PICTURE, "cat", "parse_error"),
    ],
)
def test_a_users_sample_of_wrong_types_is_rejected(image: Any, target: Any, reason: str) -> None:
    assert rejected(b"v", lambda value, key: Sample(image, target)).reason == reason


@pytest.mark.parametrize("time_ms", ["noon", 1.5, 2**63])
def test_a_users_event_time_that_is_no_int64_is_rejected(time_ms: Any) -> None:
    reject = rejected(b"v", lambda value, key: Sample(PICTURE, MASK, time_ms))
    assert reject.reason == "parse_error"
    assert "event_time_ms" in reject.detail


def test_a_parser_that_raises_rejects_its_record_with_type_and_text() -> None:
    def parse(value: bytes, key: bytes) -> Sample:
        raise KeyError("no column\n  'image' in \udcff this row")

    reject = rejected(b"v", parse)
    assert reject.reason == "parse_error"
    assert reject.detail.startswith("KeyError: ")
    assert "no column" in reject.detail
    reject.detail.encode()


@pytest.mark.parametrize("found", [None, (PICTURE, MASK), {"image": PICTURE}, b"", Reject("late", None), Sample])  # type: ignore[arg-type]
def test_a_parser_that_returns_anything_else_rejects_its_record(found: Any) -> None:
    assert rejected(b"v", lambda value, key: found).reason == "parse_error"


def test_a_users_own_reason_is_kept() -> None:
    found = Reject("night", "too dark\nto see")
    assert rejected(b"v", lambda value, key: found) == Reject("night", "too dark to see")


def test_what_native_decoders_refuse_goes_to_the_fallback() -> None:
    untidy = jpeg(PICTURE).replace(b"\xff\xda", b"\x00\x01\xff\xda", 1)
    asked = []

    def fallback(encoded: bytes) -> Array:
        asked.append(encoded)
        return PICTURE

    result = Decoder(LIMITS, parse_example, fallback)(encode_example(image=untidy, mask=png(MASK)), b"k")
    assert isinstance(result, Decoded)
    assert asked == [untidy]
    assert_close(result.image, shrunk(PICTURE))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_never_raise(noise: bytes) -> None:
    decoder()(noise, noise)
    decoder()(encode_example(image=b"\xff\xd8\xff" + noise, mask=png(MASK)), b"k")
    decoder()(encode_example(image=png(PICTURE, 2)[:40] + noise, mask=png(MASK)), b"k")
    decoder()(encode_example(image=jpeg(PICTURE), mask=png(MASK)[:40] + noise), b"k")


@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(1, 255)), min_size=1, max_size=8))
def test_arbitrary_flips_of_a_good_record_never_raise(flips: list[tuple[int, int]]) -> None:
    broken = bytearray(GOOD)
    for at, bits in flips:
        broken[at] ^= bits
    result = decoder()(bytes(broken), b"k")
    assert isinstance(result, Reject) or result.image.shape == (SIZE, SIZE, 3)


def test_random_pictures_never_raise() -> None:
    for signature in (b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n"):
        for length in (1, 40, 4000):
            reject = rejected(encode_example(image=signature + os.urandom(length), mask=png(MASK)))
            assert reject.reason in ("image_undecodable", "image_pixels")
