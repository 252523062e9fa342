"""However inventive a parser is, its reasons stay few and short, and what it said isn't lost."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.records.breaker import BadRecord
from streaming.records.reasons import LONGEST, MOST, OTHER, Reasons, slug


def bad(reason: str, detail: str = "24 bytes") -> BadRecord:
    return BadRecord(2, 7, reason, detail)


@pytest.mark.parametrize("reason", ["mask_size", "a.b-c_9", "x" * LONGEST])
def test_a_slug_stays_what_it_is(reason: str) -> None:
    assert Reasons().named(bad(reason)) == (bad(reason), True)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("Too dark!", "too_dark"), ("größe", "gr_e"), ("x" * 70, "x" * LONGEST), ("", OTHER), ("???", OTHER)],
)
def test_another_text_becomes_a_slug_and_stands_in_the_detail(reason: str, expected: str) -> None:
    assert Reasons().named(bad(reason)) == (bad(expected, f"{reason}: 24 bytes"), True)


@given(st.text())
def test_a_slug_is_one_whatever_it_comes_from(reason: str) -> None:
    assert re.fullmatch(r"[a-z0-9_.-]{1,64}", slug(reason))
    assert slug(slug(reason)) == slug(reason)


def test_a_reason_is_new_once_and_never_when_the_ledger_has_it() -> None:
    reasons = Reasons(["mask_size"])
    assert [reasons.named(bad(reason))[1] for reason in ("mask_size", "no_image", "no_image")] == [False, True, False]


def test_after_so_many_reasons_the_rest_is_one() -> None:
    reasons = Reasons()
    for number in range(MOST):
        assert reasons.named(bad(f"reason_{number}")) == (bad(f"reason_{number}"), True)
    assert reasons.named(bad("one_more")) == (bad(OTHER, "one_more: 24 bytes"), True)
    assert reasons.named(bad("yet_another")) == (bad(OTHER, "yet_another: 24 bytes"), False)
    assert reasons.named(bad("reason_3")) == (bad("reason_3"), False)
