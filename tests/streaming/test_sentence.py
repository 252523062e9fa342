"""What TensorFlow and AutoGraph say, in one line for people."""

import pytest

from streaming.sentence import sentence

GRAPH = "{{function_node __wrapped__DecodeJpeg_device_/job:localhost/device:CPU:0}} Invalid JPEG data [Op:DecodeJpeg]"
NESTED = "\n{{node a}} {{function_node b}} Failed to consume: Broker: Offset out of range\n\t [[{{node c}}]] [Op:Next]"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (RuntimeError(GRAPH), "Invalid JPEG data"),
        (RuntimeError(NESTED), "Failed to consume: Broker: Offset out of range"),
        (
            ValueError('in user code:\n\n    File "a.py", line 1, in f\n\n    ValueError: no such table\n'),
            "no such table",
        ),
        (ValueError("plain"), "plain"),
        (ValueError("first\nsecond"), "first"),
        (ValueError(), "ValueError"),
        (ValueError(" \n"), "ValueError"),
    ],
)
def test_one_line_says_what_happened(error: Exception, text: str) -> None:
    assert sentence(error) == text
