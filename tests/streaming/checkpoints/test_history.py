"""Sealed history on disk: written once, shared, checked, and removed when nobody names it any more."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from pyroaring import BitMap64

from streaming.checkpoints.derive import derive
from streaming.checkpoints.manifest import checkpoint_id
from streaming.checkpoints.store import LEDGER_FILE, CheckpointStore
from streaming.errors import CheckpointDamaged, CheckpointError
from streaming.ledger.ledger import Kind, Ledger
from streaming.ledger.segment import SEGMENT_OFFSETS as FULL_SIZE
from tests.streaming.checkpoints.disks import cut, flip
from tests.streaming.checkpoints.samples import GENERATION, SEGMENT_OFFSETS, commit, fields, ids, ledger

TWO, THREE = ledger(2 * SEGMENT_OFFSETS + 3), ledger(3 * SEGMENT_OFFSETS + 1)


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "checkpoints")


def files(store: CheckpointStore) -> list[str]:
    names = sorted(f"history/{path.name}" for path in (store.directory / "history").iterdir())
    firsts = [name for name in names if not name.endswith(".spare")]
    assert names == sorted([*firsts, *(f"{name}.spare" for name in firsts)])
    return firsts


def named(store: CheckpointStore, id: str) -> list[str]:
    return [one.file for one in store.manifest(id).history]


def test_a_segment_is_written_once_and_named_by_every_later_checkpoint(store: CheckpointStore) -> None:
    first = commit(store, 1, book=TWO)
    written_ns = {name: (store.directory / name).stat().st_mtime_ns for name in files(store)}
    second = commit(store, 2, book=THREE)
    assert named(store, second)[:2] == named(store, first) == list(written_ns)
    assert len(files(store)) == 3
    assert {name: (store.directory / name).stat().st_mtime_ns for name in written_ns} == written_ns
    reader = CheckpointStore(store.directory)
    assert (reader.ledger(first), reader.ledger(second)) == (TWO, THREE)


def test_a_writer_that_read_its_ledger_here_does_not_write_its_history_again(store: CheckpointStore) -> None:
    first = commit(store, 1, book=TWO)
    before = {name: (store.directory / name).stat().st_ino for name in files(store)}
    successor = CheckpointStore(store.directory)
    successor.write_history(successor.ledger(first))
    assert {name: (store.directory / name).stat().st_ino for name in files(store)} == before


def test_lines_that_parted_at_a_rollback_keep_their_own_history(store: CheckpointStore) -> None:
    origin = commit(store, 1, book=ledger(3))
    trained = commit(store, 2, book=TWO)
    other = ledger(3)
    other.record(0, Kind.ABSENT, range(3, 2 * SEGMENT_OFFSETS + 3))
    rolled_back = commit(store, 1, epoch=2, parent=origin, book=other)
    assert set(named(store, trained)).isdisjoint(named(store, rolled_back))
    assert (store.ledger(trained), store.ledger(rolled_back)) == (TWO, other)
    store.prune(1, 0, 0)
    assert files(store) == named(store, rolled_back)


def test_what_is_owed_again_changes_no_other_segment(store: CheckpointStore) -> None:
    def requeue(ledger: Ledger) -> Ledger:
        ledger.unsettle(0, BitMap64([SEGMENT_OFFSETS + 1]))
        return ledger

    first = commit(store, 1, book=THREE)
    owed = derive(store, first, epoch=2, cause="requeue", change=requeue)
    assert [one.file for one in owed.history] == [
        name for name in named(store, first) if "-0000000000000000008-" not in name
    ]
    again = store.ledger(owed.id)
    assert (again.position(0), again.highest(0)) == (SEGMENT_OFFSETS + 1, 3 * SEGMENT_OFFSETS + 1)
    again.record(0, Kind.TRAINED, [SEGMENT_OFFSETS + 1])
    third = commit(store, 3, epoch=2, book=again)
    assert named(store, third) == named(store, first)
    assert len(files(store)) == 3


@pytest.mark.parametrize("harm", [flip, cut, Path.unlink])
@pytest.mark.parametrize("ending", ["", ".spare"])
def test_damaged_history_is_read_from_its_spare_and_mended_by_the_next_writer(
    store: CheckpointStore, harm: Callable[[Path], None], ending: str
) -> None:
    id = commit(store, 1, book=TWO)
    name = named(store, id)[0]
    whole = (store.directory / name).read_bytes()
    harm(store.directory / f"{name}{ending}")
    successor = CheckpointStore(store.directory)
    newest, passed_over = successor.newest_valid()
    assert newest is not None
    assert (newest.id, passed_over) == (id, [])
    assert successor.verify(id).id == id
    assert successor.ledger(id) == TWO
    if ending and harm is flip:
        return  # nobody reads a spare while the first one is whole
    successor.write_history(TWO)
    assert [(store.directory / f"{name}{end}").read_bytes() for end in ("", ".spare")] == [whole, whole]


@pytest.mark.parametrize("harm", [flip, cut, Path.unlink])
@pytest.mark.parametrize("segment", [0, 1])
def test_history_damaged_twice_damages_every_checkpoint_that_names_it_and_no_other(
    store: CheckpointStore, harm: Callable[[Path], None], segment: int
) -> None:
    whole = commit(store, 1, book=ledger(3))
    one = commit(store, 2, book=ledger(SEGMENT_OFFSETS + 3))
    two = commit(store, 3, book=TWO)
    name = named(store, two)[segment]
    for ending in ("", ".spare"):
        harm(store.directory / f"{name}{ending}")
    reader = CheckpointStore(store.directory)
    newest, passed_over = reader.newest_valid()
    assert newest is not None
    assert (newest.id, passed_over) == ((whole, [two, one]) if segment == 0 else (one, [two]))
    for act in (reader.verify, reader.ledger):
        with pytest.raises(CheckpointDamaged, match=f"{two}.*{name}"):
            act(two)
    commit(reader, 4, book=ledger(4))
    reader.prune(1, 0, 0)
    reader.clean()
    assert set(passed_over) < set(ids(reader))
    assert all((store.directory / file).exists() for file in set(named(reader, two)) - {name})


def test_history_that_was_lost_under_a_running_writer_is_written_again(store: CheckpointStore) -> None:
    for sequence, harm in enumerate((cut, Path.unlink), start=1):
        damaged = named(store, commit(store, sequence, book=TWO))[0]
        harm(store.directory / damaged)
    whole = commit(store, 3, book=TWO)
    assert CheckpointStore(store.directory).verify(whole).id == whole


def test_history_goes_when_nobody_names_it_but_not_while_it_is_on_its_way_into_a_checkpoint(
    store: CheckpointStore,
) -> None:
    first = commit(store, 1, book=ledger(2 * SEGMENT_OFFSETS, Kind.LOST))
    second = commit(store, 2, book=TWO)
    upcoming = store.write_history(THREE)
    abandoned = named(store, first)
    assert store.prune(1, 0, 0) == [first]
    assert files(store) == sorted(one.file for one in upcoming)
    assert set(named(store, second)) < set(files(store))
    assert set(abandoned).isdisjoint(files(store))
    CheckpointStore(store.directory).prune(1, 0, 0)
    assert files(store) == named(store, second)


def test_nothing_is_removed_while_a_manifest_cannot_be_read(store: CheckpointStore) -> None:
    first = commit(store, 1, book=ledger(2 * SEGMENT_OFFSETS, Kind.LOST))
    commit(store, 2, book=TWO)
    before = files(store)
    manifest = store.path(first) / "manifest.json"
    content = manifest.read_bytes()
    flip(manifest)
    store.prune(1, 0, 0)
    assert files(store) == before
    manifest.write_bytes(content)
    assert store.verify(first).id == first


def test_cleaning_removes_half_written_history(store: CheckpointStore) -> None:
    commit(store, 1, book=TWO)
    (store.directory / "history" / ".tmp-00000-x-1234").write_bytes(b"half")
    store.clean()
    assert files(store) == named(store, checkpoint_id(1, 1))


def test_a_ledger_whose_history_the_manifest_does_not_name_is_damaged(store: CheckpointStore) -> None:
    store.write(fields(1), {LEDGER_FILE: TWO.dump()})
    with pytest.raises(CheckpointDamaged, match=r"sealed history .* is missing"):
        store.ledger(checkpoint_id(1, 1))


def test_no_name_of_history_leads_out_of_its_folder() -> None:
    with pytest.raises(ValueError, match="pattern"):
        fields(1, history=[{"file": "history/../../secret", "size": 1, "sha256": "0" * 64}])


def test_a_full_disk_is_told_by_the_path_and_leaves_no_half_a_segment(tmp_path: Path) -> None:
    (tmp_path / "history").write_bytes(b"a file where the folder should be")
    with pytest.raises(CheckpointError, match=rf"history/00000-.* can't be written.*{tmp_path}/history"):
        CheckpointStore(tmp_path).write_history(TWO)


def test_a_save_writes_as_much_after_ten_million_more_offsets_and_all_stays_in_the_milliseconds(
    store: CheckpointStore,
) -> None:
    """The figures are printed (pytest -s). Each save comes 5,000 offsets after a segment's end, a hole every ten."""
    book = Ledger(GENERATION)
    book.open_partition(0, 0)
    written: list[int] = []
    for sequence, stop in enumerate((FULL_SIZE + 5000, FULL_SIZE * 4 + 5000, FULL_SIZE * 7 + 5000), start=1):
        settle(book, stop)
        id = commit(store, sequence, book=book)
        written.append(sum(path.stat().st_size for path in store.path(id).iterdir()))
        reader = CheckpointStore(store.directory)
        acts = [book.copy, partial(store.write_history, book), book.dump, partial(reader.ledger, id)]
        copy, names, dump, load = map(elapsed_ms, acts)
        assert reader.ledger(id) == book
        print(
            f"\n{stop} offsets: copy {copy:.2f} ms, names of history {names:.2f} ms, dump {dump:.2f} ms, load with "
            f"history {load:.1f} ms; {written[-1]} bytes a save, "
            f"{sum((store.directory / name).stat().st_size for name in files(store))} bytes once"
        )
    assert max(written) - min(written) < 6 * 400  # six names with their hashes, in manifest and ledger


def settle(book: Ledger, stop: int) -> None:
    for start in range(book.position(0), stop, 500_000):
        end = min(start + 500_000, stop)
        book.record(0, Kind.ABSENT, BitMap64(range(start, end, 10)))
        book.record_range(0, Kind.TRAINED, start, end)


def elapsed_ms(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return (time.perf_counter() - begun) * 1000
