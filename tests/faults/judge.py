"""Whether every record's effect is in the weights exactly once: the topic, the ledger and the witness's counts.

Topic and ledger are read with nothing of penstock (`tests.line.stock_listing`), the counts with safetensors alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import safetensors.numpy

from streaming.arrays import Array
from tests.faults.witness import CODES, POISON, code_of
from tests.line.line import Service
from tests.line.stock_listing import ledger_of, records_of

Place = tuple[int, int]
UNTRAINED = frozenset({"held_out", "excluded"})  # good records that the weights rightly lack
UNREAD = frozenset({"absent", "lost"})


@dataclass
class Verdict:
    """records: in the topic, or known to have been. trained: by the ledger. lost: good ones missing in the weights,
    each time; repeated: too many. wrong: where topic and ledger disagree, in words."""

    records: int = 0
    trained: int = 0
    lost: int = 0
    repeated: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def exact(self) -> bool:
        return not (self.lost or self.repeated or self.wrong)


def judge(
    service: Service, servers: str, topic: str, checkpoint: str, gone: Mapping[Place, bytes | None] | None = None
) -> Verdict:
    """Compare a durable checkpoint with the whole topic: everything in it must be settled.

    gone: (partition, offset) -> value of records that were acknowledged and that retention may have removed since.
    """
    topical = {(one.partition, one.offset): one.value for one in records_of(servers, topic)}
    found = compare(topical, kinds_of(ledger_of(service.url, checkpoint)), counts_in(service, checkpoint), gone or {})
    print(f"{topic} {checkpoint}: {found}")
    return found


def counts_in(service: Service, checkpoint: str) -> Array:
    """int32[CODES]: what the witness has counted."""
    weights = safetensors.numpy.load_file(service.checkpoints / checkpoint / "model.safetensors")
    return next(values for name, values in weights.items() if name.endswith("counts"))


def kinds_of(ledger: Mapping[int, Mapping[str, list[list[int]]]]) -> dict[Place, str]:
    """(partition, offset) -> kind; `two kinds` where the intervals overlap."""
    found: dict[Place, str] = {}
    for partition, intervals_by_kind in ledger.items():
        for kind, intervals in intervals_by_kind.items():
            for offset in (offset for start, stop in intervals for offset in range(start, stop)):
                found[partition, offset] = "two kinds" if (partition, offset) in found else kind
    return found


def compare(
    topic: Mapping[Place, bytes | None],
    kinds: Mapping[Place, str],
    counts: Array,
    gone: Mapping[Place, bytes | None],
) -> Verdict:
    """The pure part. topic, gone: values by (partition, offset); counts: int32[CODES]."""
    records = {**gone, **topic}
    verdict = Verdict(records=len(records), trained=sum(kind == "trained" for kind in kinds.values()))
    owed = np.zeros(CODES, np.int64)
    for place, value in records.items():
        kind, code = kinds.get(place, "unsettled"), code_of(value)
        if place not in topic and kind in UNREAD:
            continue
        if code is not None and code != POISON and kind not in UNTRAINED:
            owed[code] += 1
        if not _fitting(kind, value, code):
            verdict.wrong.append(f"{place} is {kind}: {value!r:.80}")
    verdict.wrong += [
        f"{place} is {kind}, but there is no such record"
        for place, kind in kinds.items()
        if place not in records and kind not in UNREAD
    ]
    missing = owed - counts
    verdict.lost, verdict.repeated = int(missing[missing > 0].sum()), int(-missing[missing < 0].sum())
    return verdict


def _fitting(kind: str, value: bytes | None, code: int | None) -> bool:
    """A kind that such a record may rightly have while it is in the topic."""
    if kind == "excluded":
        return True
    if not value:
        return kind == "skipped"
    if code is None:
        return kind == "dead_lettered"
    return kind in ("dead_lettered", "held_out") if code == POISON else kind in ("trained", "held_out")
