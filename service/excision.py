"""Stretches that a restore leaves out for good: what that means for the checkpoint it goes back to."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import NamedTuple

from pyroaring import BitMap64

from service.operation import Stretch
from service.problem_details import details
from service.work_desk import Refused
from streaming.ledger.intervals import add
from streaming.ledger.ledger import Kind, Ledger

OTHER_LIFE = "that checkpoint is about another life of the topic, so there is nothing to leave out; use retrain alone"


class Excision(NamedTuple):
    """Offsets of one partition. excluded: never trained from that checkpoint on. kept: meant to be excluded, but
    trained or held out in that checkpoint already, so that only an older one is without them."""

    partition: int
    excluded: BitMap64
    kept: BitMap64


def excised(ledger: Ledger, stretches: Iterable[Stretch]) -> list[Excision]:
    """What leaving the stretches out does to a checkpoint's ledger, which stays as it is. Pure."""
    found = []
    for partition, wanted in sorted(_by_partition(stretches).items()):
        excluded, kept = wanted, BitMap64()
        if partition in ledger.partitions():
            origin, end = ledger.origin(partition), ledger.highest(partition)
            learnt = (ledger.of_kind(partition, kind, origin, end) for kind in (Kind.TRAINED, Kind.HELD_OUT))
            excluded = wanted & ledger.unsettled(partition, wanted.min(), wanted.max() + 1)
            kept = wanted & BitMap64().union(*learnt)
        found.append(Excision(partition, excluded, kept))
    return found


def leave_out(ledger: Ledger, excisions: Iterable[Excision]) -> Ledger:
    """Record them as excluded, as far as they aren't settled otherwise. Changes the ledger given, and returns it."""
    for each in excisions:
        if each.partition not in ledger.partitions():
            ledger.open_partition(each.partition, 0)  # it appeared after the beginning
        ledger.record(each.partition, Kind.EXCLUDED, each.excluded - ledger.settled(each.partition))
    return ledger


def refuse_what_is_still_to_come(now: Ledger, stretches: Iterable[Stretch], log_ends: Mapping[int, int] | None) -> None:
    """now: the newest ledger. log_ends: None while Kafka is away. Raises Refused."""
    for each in stretches:
        known = now.highest(each.partition) if each.partition in now.partitions() else 0
        if each.stop <= known:
            continue
        if log_ends is None:
            text = f"where partition {each.partition} ends isn't known while Kafka is away"
            raise Refused(details(HTTPStatus.CONFLICT, "kafka-unavailable", text))
        if each.partition not in log_ends:
            text = f"this training knows no partition {each.partition}"
            raise Refused(details(HTTPStatus.CONFLICT, "partition-unknown", text))
        if each.stop > log_ends[each.partition]:
            text = f"partition {each.partition} ends at offset {log_ends[each.partition]}"
            raise Refused(details(HTTPStatus.CONFLICT, "beyond-log-end", f"{text}: what is to come can't be excluded"))


def refuse_what_is_learnt(checkpoint_id: str, excisions: Iterable[Excision]) -> None:
    """Raises Refused."""
    for each in excisions:
        if each.kept:
            text = (
                f"checkpoint {checkpoint_id} has trained or held out {len(each.kept)} of the offsets to be excluded "
                f"in partition {each.partition}, the first one is {each.kept.min()}: restore an older one"
            )
            raise Refused(details(HTTPStatus.CONFLICT, "already-trained", text))


def _by_partition(stretches: Iterable[Stretch]) -> dict[int, BitMap64]:
    found: dict[int, BitMap64] = {}
    for each in stretches:
        add(found.setdefault(each.partition, BitMap64()), each.start, each.stop)
    return found
