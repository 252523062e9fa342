"""The order of a deterministic round: one, whatever was settled before."""

from hypothesis import given
from hypothesis import strategies as st

from streaming.ledger.in_order import BLOCK, OrderedPlanner
from streaming.ledger.ledger import Generation, Kind, Ledger

Record = tuple[int, int]


def new_ledger(*partitions: int) -> Ledger:
    ledger = Ledger(Generation("c1", "pets", "t1"))
    for partition in partitions:
        ledger.open_partition(partition, 0)
    return ledger


def order(ledger: Ledger, ends: dict[int, int]) -> list[Record]:
    """Every record in the order in which it is planned; checks each range on the way."""
    planner, planned = OrderedPlanner(ledger, first_id=7), []
    left = planner.available(ends)
    while (found := planner.next_range(ends)) is not None:
        assert found.start // BLOCK == (found.stop - 1) // BLOCK
        assert (found.wanted.min(), found.wanted.max()) == (found.start, found.stop - 1)
        planned += [(found.partition, offset) for offset in found.wanted]
        left -= len(found.wanted)
        assert planner.available(ends) == left
    assert left == 0
    return planned


def test_blocks_go_round_the_partitions_lowest_first() -> None:
    ends = {1: 300, 0: 600}
    planner = OrderedPlanner(new_ledger(0, 1), first_id=0)
    ranges = [found[:4] for found in iter(lambda: planner.next_range(ends), None)]
    assert ranges == [(0, 0, 0, 256), (1, 1, 0, 256), (2, 0, 256, 512), (3, 1, 256, 300), (4, 0, 512, 600)]


@given(
    ends=st.fixed_dictionaries({0: st.integers(0, 700), 2: st.integers(0, 700), 5: st.integers(0, 700)}),
    batch=st.integers(1, 60),
    crashes=st.lists(st.integers(0, 40), max_size=4),
)
def test_a_ledger_of_whole_batches_goes_on_with_the_batches_that_would_have_come(
    ends: dict[int, int], batch: int, crashes: list[int]
) -> None:
    uninterrupted = order(new_ledger(*ends), ends)
    ledger, seen = new_ledger(*ends), []
    for batches in crashes:
        part = order(ledger, ends)[: batches * batch]
        seen += part
        for partition, offset in part:
            ledger.record(partition, Kind.TRAINED, [offset])
    assert seen + order(ledger, ends) == uninterrupted


def test_what_is_settled_far_ahead_leaves_a_gap() -> None:
    ledger = new_ledger(0)
    ledger.record(0, Kind.HELD_OUT, range(256, 520))
    assert order(ledger, {0: 530}) == [(0, offset) for offset in [*range(256), *range(520, 530)]]


def test_a_log_that_grows_goes_on_inside_its_block() -> None:
    planner = OrderedPlanner(new_ledger(0), first_id=0)
    assert planner.next_range({0: 100})[2:4] == (0, 100)
    assert planner.next_range({0: 100}) is None
    assert planner.next_range({0: 300})[2:4] == (100, 256)
