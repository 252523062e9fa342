"""What a check has found: one line each for people, the same as data for scripts. Pure."""

from enum import StrEnum
from typing import Any, NamedTuple


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


class Finding(NamedTuple):
    """check: a short stable name; detail: one clause; remedy: what to do, unless all is well."""

    check: str
    verdict: Verdict
    detail: str
    remedy: str | None = None

    def told(self) -> dict[str, Any]:
        """As JSON values."""
        return self._asdict()


def ok(check: str, detail: str) -> Finding:
    return Finding(check, Verdict.OK, detail)


def warning(check: str, detail: str, remedy: str) -> Finding:
    return Finding(check, Verdict.WARNING, detail, remedy)


def failed(check: str, detail: str, remedy: str) -> Finding:
    return Finding(check, Verdict.FAILED, detail, remedy)


def skipped(check: str, why: str) -> Finding:
    return Finding(check, Verdict.SKIPPED, f"not checked: {why}")
