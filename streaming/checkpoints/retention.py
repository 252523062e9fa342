"""Which checkpoints are kept: a pure function of what there is."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from streaming.checkpoints.manifest import SettingChange

HOUR_S = 3600
DAY_S = 86_400
Integrity = Literal["verified", "unverified", "damaged"]


@dataclass(frozen=True)
class CheckpointInfo:
    """One line of the list. created_at: Unix time, seconds; of a damaged one perhaps the directory's.

    parent, step and cause are None where the manifest can't be read. setting_changes: since the parent.
    """

    id: str
    parent: str | None
    step: int | None
    created_at: float
    size_bytes: int
    label: str | None
    pinned: bool
    cause: str | None
    integrity: Integrity
    learning_rate: float | None = None
    setting_changes: tuple[SettingChange, ...] = ()


def retained(infos: Iterable[CheckpointInfo], keep: int, hourly: int, daily: int) -> set[str]:
    """The ids to keep: the last `keep`, the newest of each of the last `hourly` hours and `daily` days that have one.

    Hours and days are UTC's. Always kept are the newest, the pinned, and the damaged, which fill no place of a sound
    one and are evidence. Newest is the greatest id, whatever the clock said.
    """
    newest_first = sorted(infos, key=lambda info: info.id, reverse=True)
    sound = [info for info in newest_first if info.integrity != "damaged"]
    kept = {info.id for info in newest_first if info.pinned or info.integrity == "damaged"}
    kept |= {info.id for info in sound[: max(keep, 1)]}
    kept |= set(_newest_of_each(sound, HOUR_S, hourly))
    kept |= set(_newest_of_each(sound, DAY_S, daily))
    return kept


def _newest_of_each(newest_first: list[CheckpointInfo], period_s: int, periods: int) -> Iterator[str]:
    newest: dict[int, str] = {}
    for info in newest_first:
        newest.setdefault(int(info.created_at // period_s), info.id)
    for period in sorted(newest, reverse=True)[:periods]:
        yield newest[period]
