"""Which records retention removed before they were read, beyond those that an operator knows about."""

from typing import Any, NamedTuple

from streaming.decided import Decided
from streaming.ledger.ledger import Kind, Ledger


class Loss(NamedTuple):
    """records: how many; before: partition -> the first offset behind them."""

    records: int
    before: dict[int, int]


class Losses:
    """Answers anew only when losses or decisions have changed, for it is asked with every status frame."""

    def __init__(self, decided: Decided) -> None:
        self._decided = decided
        self._known: tuple[Any, Loss] | None = None

    def of(self, ledger: Ledger) -> Loss:
        """What of the ledger's lost offsets nobody has accepted."""
        lost = {partition: ledger.count(partition, Kind.LOST) for partition in ledger.partitions()}
        key = (ledger.generation, lost, self._decided.losses(ledger.generation.topic_id))
        if self._known is None or self._known[0] != key:
            self._known = key, _beyond(ledger, lost, key[2])
        return self._known[1]


def _beyond(ledger: Ledger, lost: dict[int, int], accepted: dict[int, int]) -> Loss:
    records, before = 0, {}
    for partition in (number for number, count in lost.items() if count):
        first = accepted.get(partition, ledger.origin(partition))
        offsets = ledger.of_kind(partition, Kind.LOST, first, ledger.highest(partition))
        if offsets:
            records += len(offsets)
            before[partition] = int(offsets.max()) + 1
    return Loss(records, before)
