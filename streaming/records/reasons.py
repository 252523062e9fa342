"""Reasons become labels of a metric, so they are short slugs, and there are only so many. Pure."""

import re
from collections.abc import Iterable

from streaming.records.breaker import BadRecord

LONGEST = 64  # characters
MOST = 64
OTHER = "other"  # the reason of all that come after so many

_SLUG = re.compile(r"[a-z0-9_.-]+")
_FOREIGN = re.compile(r"[^a-z0-9_.-]+")


class Reasons:
    """The reasons of one training. known: those that its ledger has."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._known = set(known)

    def named(self, one: BadRecord) -> tuple[BadRecord, bool]:
        """The record under a reason that may be a label, and whether that one is new. A reason that had to be changed
        stands in the detail."""
        reason = slug(one.reason)
        if reason not in self._known and len(self._known - {OTHER}) >= MOST:
            reason = OTHER
        new = reason not in self._known
        self._known.add(reason)
        if reason != one.reason:
            one = one._replace(reason=reason, detail=f"{one.reason}: {one.detail}")
        return one, new


def slug(reason: str) -> str:
    """The reason itself where it is a slug, else what a slug can keep of it."""
    if len(reason) <= LONGEST and _SLUG.fullmatch(reason):
        return reason
    return _FOREIGN.sub("_", reason.lower()).strip("_")[:LONGEST].rstrip("_") or OTHER
