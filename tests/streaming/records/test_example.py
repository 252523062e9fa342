import os

import pytest

from streaming.records import example
from streaming.records.example import encode_example, parse_example
from streaming.records.sample import Reject, Sample

JPEG, PNG = b"\xff\xd8 picture", b"\x89PNG mask"


def test_what_is_encoded_is_parsed_again() -> None:
    value = encode_example(image=JPEG, mask=PNG, filename="a.jpg", height=2, width=3, event_time_ms=1_700_000_000_000)
    assert parse_example(value, b"a.jpg") == Sample(JPEG, PNG, 1_700_000_000_000)


def test_a_label_is_the_target_where_there_is_no_mask() -> None:
    assert parse_example(encode_example(image=JPEG, label=0), b"") == Sample(JPEG, 0, None)
    assert parse_example(encode_example(image=JPEG, label=7, mask=PNG), b"") == Sample(JPEG, PNG, None)


def test_equal_arguments_give_equal_bytes() -> None:
    assert len({encode_example(image=JPEG, mask=PNG, filename="a", height=2, width=3) for _ in range(20)}) == 1


@pytest.mark.parametrize("value", [b"", b"\x00", b"not an example at all", JPEG, encode_example(image=JPEG)[:-3]])
def test_malformed_bytes_are_rejected_as_not_an_example(value: bytes) -> None:
    reject = parse_example(value, b"k")
    assert isinstance(reject, Reject)
    assert reject.reason == "not_an_example"
    assert reject.detail


@pytest.mark.parametrize("length", [1, 7, 64, 4096])
def test_random_bytes_never_raise(length: int) -> None:
    for _ in range(300):
        assert isinstance(parse_example(os.urandom(length), b""), Reject)


@pytest.mark.parametrize(
    ("features", "reason", "detail"),
    [
        ({}, "not_an_example", "without features"),
        ({"other": (1,)}, "no_image", "no feature image/encoded"),
        ({example.IMAGE: (b"",), example.MASK: (PNG,)}, "no_image", "is empty"),
        ({example.IMAGE: (JPEG, JPEG), example.MASK: (PNG,)}, "no_image", "2 values"),
        ({example.IMAGE: (1.5,), example.MASK: (PNG,)}, "no_image", "is a float_list, not a bytes_list"),
        ({example.IMAGE: (), example.MASK: (PNG,)}, "no_image", "without a value"),
        ({example.IMAGE: (JPEG,)}, "no_target", "neither"),
        ({example.IMAGE: (JPEG,), example.MASK: (3,)}, "no_target", "is a int64_list, not a bytes_list"),
        ({example.IMAGE: (JPEG,), example.MASK: (b"",)}, "no_target", "is empty"),
        ({example.IMAGE: (JPEG,), example.LABEL: (b"cat",)}, "no_target", "is a bytes_list, not a int64_list"),
        ({example.IMAGE: (JPEG,), example.LABEL: (1, 2)}, "no_target", "2 values"),
    ],
)
def test_missing_or_mistyped_features_are_rejected_by_name(
    features: dict[str, tuple[object, ...]], reason: str, detail: str
) -> None:
    reject = parse_example(_serialized(features), b"k")
    assert isinstance(reject, Reject)
    assert reject.reason == reason
    assert detail in reject.detail


def test_an_event_time_of_the_wrong_type_is_no_event_time() -> None:
    value = _serialized({example.IMAGE: (JPEG,), example.MASK: (PNG,), example.EVENT_TIME: (b"noon",)})
    assert parse_example(value, b"") == Sample(JPEG, PNG, None)


@pytest.mark.tf
def test_bytes_are_the_same_as_those_of_tensorflow() -> None:
    import tensorflow as tf

    ours = encode_example(image=JPEG, mask=PNG, label=-3, filename="ä.jpg", height=2, width=3, event_time_ms=2**40)
    theirs = tf.train.Example.FromString(ours)
    assert theirs.features.feature[example.MASK].bytes_list.value[0] == PNG
    assert theirs.features.feature[example.LABEL].int64_list.value[0] == -3
    assert theirs.features.feature[example.FILENAME].bytes_list.value[0].decode() == "ä.jpg"
    assert theirs.SerializeToString(deterministic=True) == ours
    assert parse_example(theirs.SerializeToString(), b"") == Sample(JPEG, PNG, 2**40)
    parsed = tf.io.parse_single_example(ours, {example.EVENT_TIME: tf.io.FixedLenFeature([], tf.int64)})
    assert int(parsed[example.EVENT_TIME]) == 2**40


def _serialized(features: dict[str, tuple[object, ...]]) -> bytes:
    """An Example whose features hold these values, whatever their types and number."""
    message = example._Example()
    for name, values in features.items():
        feature = message.features.feature[name]
        kinds = {bytes: feature.bytes_list, float: feature.float_list, int: feature.int64_list}
        for value in values:
            kinds[type(value)].value.append(value)
    return bytes(message.SerializeToString())
