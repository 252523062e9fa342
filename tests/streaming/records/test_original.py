"""Headers and nulls survive the way through the chain."""

from hypothesis import given
from hypothesis import strategies as st

from streaming.records.original import Header, Original, envelope, opened

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
headers_of_a_record = st.lists(st.tuples(names, st.none() | st.binary(max_size=300)), max_size=6)


@given(st.none() | st.binary(), st.none() | st.binary(), headers_of_a_record, st.integers(-1, 2**62))
def test_whatever_kafka_holds_comes_back(
    value: bytes | None, key: bytes | None, headers: list[Header], timestamp_ms: int
) -> None:
    original = Original(value, key, headers, timestamp_ms)
    assert opened(envelope(value, key, headers), value or b"", key or b"", timestamp_ms) == original


def test_a_record_without_headers_costs_a_byte() -> None:
    assert len(envelope(b"value", b"key", [])) == 1


def test_a_name_may_repeat_and_a_header_may_be_null() -> None:
    headers: list[Header] = [("camera", b"7"), ("camera", None), ("camera", b"")]
    original = opened(envelope(b"v", None, headers), b"v", b"", -1)
    assert original == Original(b"v", None, headers, -1)


def test_no_envelope_is_no_knowledge() -> None:
    assert opened(b"", b"value", b"key", 5) is None
