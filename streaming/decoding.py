"""The record decoder that the settings describe; TensorFlow is imported only when it must help."""

from streaming.arrays import Array
from streaming.hooks import load_hook
from streaming.records.decode import Decoder, Limits
from streaming.records.example import parse_example
from streaming.settings import Settings


def build_decoder(settings: Settings, *, labels: bool) -> Decoder:
    """labels: the model learns from class numbers, not masks. Raises UserCodeError for a parser that isn't there."""
    records = settings.records
    limits = Limits(
        settings.pipeline.image_size, settings.model.classes, records.max_bytes, records.max_pixels, labels=labels
    )
    parse = load_hook(records.parse, "records.parse") if records.parse else parse_example
    return Decoder(limits, parse, _tensorflow)


def _tensorflow(encoded: bytes) -> Array:
    from streaming.records.tensorflow_decode import decode_image

    return decode_image(encoded)
