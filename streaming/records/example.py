"""The default wire format, `tf.train.Example` with DeepLab's feature names, without TensorFlow.

The message classes are built from a descriptor of our own in a private pool, so they neither need TensorFlow
nor collide with its classes of the same names when both are loaded.
Numbers and types: tensorflow/core/example/example.proto and feature.proto.
"""

import math
from typing import Any

import numpy as np
from google.protobuf import (  # type: ignore[import-untyped]
    descriptor_pb2,
    descriptor_pool,
    message,
    message_factory,
)

from streaming.arrays import Array
from streaming.records.sample import Reject, Sample

IMAGE = "image/encoded"
MASK = "image/segmentation/class/encoded"
IMAGE_ENCODING, MASK_ENCODING = "image/encoding", "image/segmentation/class/encoding"
LABEL = "image/class/label"
FILENAME = "image/filename"
HEIGHT, WIDTH = "image/height", "image/width"
MASK_HEIGHT, MASK_WIDTH = "image/segmentation/class/height", "image/segmentation/class/width"
EVENT_TIME = "event_time_ms"

JPEG, PNG, RAW = "JPEG", "PNG", "raw"
CHANNELS = 3


def encode_example(
    *,
    image: bytes,
    mask: bytes | None = None,
    label: int | None = None,
    filename: str | None = None,
    height: int | None = None,
    width: int | None = None,
    image_encoding: str | None = None,
    mask_encoding: str | None = None,
    mask_height: int | None = None,
    mask_width: int | None = None,
    event_time_ms: int | None = None,
) -> bytes:
    """The serialized `tf.train.Example`; features that are None are left out. Equal arguments give equal bytes.

    Encodings: `JPEG`, `PNG`, or `raw` for the bytes of uint8[height, width, 3] (a mask's: uint8[height, width]).
    """
    example = _Example()
    feature = example.features.feature
    feature[IMAGE].bytes_list.value.append(image)
    if mask is not None:
        feature[MASK].bytes_list.value.append(mask)
    for name, text in ((FILENAME, filename), (IMAGE_ENCODING, image_encoding), (MASK_ENCODING, mask_encoding)):
        if text is not None:
            feature[name].bytes_list.value.append(text.encode())
    sizes = ((HEIGHT, height), (WIDTH, width), (MASK_HEIGHT, mask_height), (MASK_WIDTH, mask_width))
    for name, number in ((LABEL, label), (EVENT_TIME, event_time_ms), *sizes):
        if number is not None:
            feature[name].int64_list.value.append(number)
    serialized: bytes = example.SerializeToString(deterministic=True)
    return serialized


def parse_example(value: bytes, key: bytes) -> Sample | Reject:
    """A sample from a record's value, or why not: `not_an_example`, `no_image`, `no_target`, `raw_size`. Thread-safe.

    The mask wins over the label. Pictures stay encoded: nothing is said about whether they can be decoded.
    """
    try:
        example = _Example.FromString(value)
    except message.DecodeError:
        return Reject("not_an_example", f"{len(value)} bytes that are no tf.train.Example")
    if not example.HasField("features"):
        return Reject("not_an_example", f"a tf.train.Example without features in {len(value)} bytes")
    features = example.features.feature
    image: Any = _single(features, IMAGE, "bytes_list")
    if isinstance(image, _Unusable):
        return Reject("no_image", image)
    target: Any = _single(features, *((MASK, "bytes_list") if MASK in features else (LABEL, "int64_list")))
    if isinstance(target, _Unusable):
        return Reject("no_target", target if MASK in features or LABEL in features else f"neither {MASK} nor {LABEL}")
    if _single(features, IMAGE_ENCODING, "bytes_list") == _RAW:
        image = _pixels(image, features, IMAGE, (HEIGHT,), (WIDTH,), (CHANNELS,))
    if isinstance(target, bytes) and _single(features, MASK_ENCODING, "bytes_list") == _RAW:
        target = _pixels(target, features, MASK, (MASK_HEIGHT, HEIGHT), (MASK_WIDTH, WIDTH), ())
    for found in (image, target):
        if isinstance(found, _Unusable):
            return Reject("raw_size", found)
    event_time_ms = _single(features, EVENT_TIME, "int64_list")
    return Sample(image, target, None if isinstance(event_time_ms, _Unusable) else event_time_ms)


_RAW = RAW.encode()


class _Unusable(str):
    """Why a feature gives no value."""

    __slots__ = ()


def _single(features: Any, name: str, kind: str) -> Any:
    """The one value of a feature (`kind`: the list it must be in), or `_Unusable`."""
    if name not in features:
        return _Unusable(f"no feature {name}")
    feature = features[name]
    values = getattr(feature, kind).value
    if len(values) == 1:
        value = values[0]
        return value if value != b"" else _Unusable(f"{name} is empty")
    found = feature.WhichOneof("kind")
    if found != kind:
        return _Unusable(f"{name} is a {found or 'feature without a value'}, not a {kind}")
    return _Unusable(f"{name} holds {len(values)} values, not one")


def _pixels(
    content: bytes, features: Any, name: str, heights: tuple[str, ...], widths: tuple[str, ...], rest: tuple[int, ...]
) -> "Array | _Unusable":
    """uint8[height, width, *rest] over the content, which isn't copied. heights, widths: the first that is there."""
    sides = [
        _single(features, next((name for name in names if name in features), names[-1]), "int64_list")
        for names in (heights, widths)
    ]
    for side in sides:
        if isinstance(side, _Unusable):
            return side
    shape = (*sides, *rest)
    if min(shape) < 1 or math.prod(shape) != len(content):
        return _Unusable(f"{name} has {len(content)} bytes, not {'x'.join(map(str, shape))}")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _file() -> Any:
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="penstock/example.proto", package="tensorflow", syntax="proto3")
    lists = {"BytesList": field.TYPE_BYTES, "FloatList": field.TYPE_FLOAT, "Int64List": field.TYPE_INT64}
    for name, scalar in lists.items():
        values = file.message_type.add(name=name).field.add(
            name="value", number=1, label=field.LABEL_REPEATED, type=scalar
        )
        if scalar != field.TYPE_BYTES:
            values.options.packed = True

    def nested(owner: Any, name: str, number: int, kind: str, **more: Any) -> None:
        more = {"label": field.LABEL_OPTIONAL, **more}
        owner.field.add(name=name, number=number, type=field.TYPE_MESSAGE, type_name=f".tensorflow.{kind}", **more)

    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, name in enumerate(("bytes_list", "float_list", "int64_list"), start=1):
        nested(feature, name, number, list(lists)[number - 1], oneof_index=0)
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, label=field.LABEL_OPTIONAL, type=field.TYPE_STRING)
    nested(entry, "value", 2, "Feature")
    nested(features, "feature", 1, "Features.FeatureEntry", label=field.LABEL_REPEATED)
    nested(file.message_type.add(name="Example"), "features", 1, "Features")
    return file


def _message_class() -> Any:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(_file())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.Example"))


_Example: Any = _message_class()
