"""The store: whole checkpoints or none, whatever fails; damage passed over; nothing needed is removed."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streaming.checkpoints.committing import Linked
from streaming.checkpoints.durable import LocalFiles
from streaming.checkpoints.manifest import EvaluationFile, FileEntry, ManifestFields, checkpoint_id
from streaming.checkpoints.store import LEDGER_FILE, MODEL_FILE, CheckpointStore
from streaming.errors import CheckpointDamaged, CheckpointError
from streaming.ledger.ledger import Generation, Kind, Ledger

GENERATION = Generation("c1", "pets", "t1")
MOMENTS_SHA256 = hashlib.sha256(b"moments" * 40).hexdigest()


class Killed(BaseException):
    """The process ends here; no handler of the program runs."""


class FailingDisk(LocalFiles):
    """A disk whose n-th operation fails with `error`: before it happens, halfway if it is a write, or just after."""

    def __init__(self, failing: int, error: BaseException, after: bool = False) -> None:
        self.failing = failing
        self.error = error
        self.after = after
        self.operations = 0

    def write(self, path: Path, content: bytes) -> None:
        self._do(lambda: LocalFiles.write(self, path, content), lambda: path.write_bytes(content[: len(content) // 2]))

    def link(self, source: Path, target: Path) -> None:
        self._do(lambda: LocalFiles.link(self, source, target))

    def sync(self, path: Path) -> None:
        self._do(lambda: LocalFiles.sync(self, path))

    def move(self, source: Path, target: Path) -> None:
        self._do(lambda: LocalFiles.move(self, source, target))

    def _do(self, operation: Callable[[], object], half: Callable[[], object] = lambda: None) -> None:
        self.operations += 1
        if self.operations != self.failing:
            operation()
            return
        operation() if self.after else half()
        raise self.error


OPERATIONS = 8  # write model, link a file and sync it, write ledger, write manifest, sync, move, sync


def fields(sequence: int, epoch: int = 1, parent: str | None = None, **changes: Any) -> ManifestFields:
    content: dict[str, Any] = {
        "parent": parent or (checkpoint_id(epoch, sequence - 1) if sequence > 1 else None),
        "cause": "periodic",
        "step": sequence * 10,
        "created_at": 1_750_000_000.0 + sequence,
        "epoch": epoch,
        "sequence": sequence,
        "settings_digest": "d",
        "learning_rate": 0.003,
        "model_signature": "m",
        "generation": GENERATION,
        "positions": {0: sequence},
        "records": {Kind.TRAINED: sequence},
    }
    return ManifestFields(**content | changes)


def ledger(sequence: int) -> Ledger:
    book = Ledger(GENERATION)
    book.open_partition(0, 0)
    book.record(0, Kind.TRAINED, range(sequence))
    return book


def contents(store: CheckpointStore, sequence: int) -> dict[str, bytes | Linked]:
    moments = store.directory.parent / "moments"
    moments.unlink(missing_ok=True)  # a name of earlier checkpoints' files as well
    moments.write_bytes(b"moments" * 40)
    return {
        MODEL_FILE: b"weights %d" % sequence * 100,
        "optimizer.safetensors": Linked(moments, FileEntry(size=280, sha256=MOMENTS_SHA256)),
        LEDGER_FILE: ledger(sequence).dump(),
    }


def commit(store: CheckpointStore, sequence: int, epoch: int = 1, parent: str | None = None, **changes: Any) -> str:
    return store.write(fields(sequence, epoch, parent, **changes), contents(store, sequence)).id


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "checkpoints")


def ids(store: CheckpointStore) -> list[str]:
    return [info.id for info in store.list()]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def test_a_checkpoint_is_read_back_as_it_was_written(store: CheckpointStore) -> None:
    manifest = store.write(fields(1), contents(store, 1))
    reader = CheckpointStore(store.directory)
    assert reader.newest_valid() == (manifest, [])
    assert reader.manifest(manifest.id) == manifest
    assert reader.ledger(manifest.id) == ledger(1)
    assert (reader.path(manifest.id) / MODEL_FILE).read_bytes() == b"weights 1" * 100
    assert sorted(path.name for path in store.directory.iterdir()) == [manifest.id]


def test_the_list_is_newest_first_by_epoch_then_sequence_never_by_time_or_step(store: CheckpointStore) -> None:
    first = commit(store, 8, created_at=9e9, step=900)
    second = commit(store, 9)
    third = commit(store, 2, epoch=2, parent=first)
    assert ids(store) == [third, second, first]
    assert store.highest() == (2, 2)
    newest = store.list()[0]
    assert (newest.parent, newest.step, newest.cause, newest.integrity) == (first, 20, "periodic", "unverified")
    assert newest.size_bytes == sum(
        path.stat().st_size for path in store.path(third).iterdir() if path.name != "manifest.json"
    )


def test_without_a_directory_there_are_no_checkpoints(store: CheckpointStore) -> None:
    assert store.list() == []
    assert store.newest_valid() == (None, [])
    assert store.highest() == (0, 0)
    store.clean()
    assert store.prune(1, 0, 0) == []


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("failing", range(1, OPERATIONS + 1))
def test_a_crash_at_any_step_of_a_write_leaves_the_old_checkpoints_or_a_whole_new_one(
    store: CheckpointStore, failing: int, after: bool
) -> None:
    old = commit(store, 1)
    disk = FailingDisk(failing, Killed(), after)
    with pytest.raises(Killed):
        commit(CheckpointStore(store.directory, disk), 2)
    survivor = CheckpointStore(store.directory)
    newest, passed_over = survivor.newest_valid()
    assert newest is not None
    assert passed_over == []
    renamed = failing > 7 or (failing == 7 and after)
    assert ids(survivor) == ([checkpoint_id(1, 2), old] if renamed else [old])
    assert survivor.ledger(newest.id) == ledger(2 if renamed else 1)
    survivor.clean()
    assert sorted(path.name for path in store.directory.iterdir()) == sorted(ids(survivor))
    assert commit(survivor, 3) == checkpoint_id(1, 3)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("failing", range(1, OPERATIONS + 1))
def test_an_error_at_any_step_of_a_write_leaves_no_trace_and_says_why(
    store: CheckpointStore, failing: int, after: bool
) -> None:
    old = commit(store, 1)
    disk = FailingDisk(failing, OSError(errno.ENOSPC, "No space left on device", "/somewhere"), after)
    with pytest.raises(CheckpointError, match=r"e000001-s000000002 .*/somewhere: No space left on device"):
        commit(CheckpointStore(store.directory, disk), 2)
    assert [path.name for path in store.directory.iterdir()] == [old]
    assert commit(store, 2) == checkpoint_id(1, 2)


def test_a_write_takes_as_many_steps_as_the_failure_tests_try(store: CheckpointStore) -> None:
    commit(store, 1)
    disk = FailingDisk(0, Killed())
    commit(CheckpointStore(store.directory, disk), 2)
    assert disk.operations == OPERATIONS


def test_a_file_in_the_place_of_the_directory_is_an_error_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"")
    store = CheckpointStore(tmp_path / "taken" / "checkpoints")
    with pytest.raises(CheckpointError, match=r"taken/checkpoints.*Not a directory"):
        store.write(fields(1), {MODEL_FILE: b"weights"})


@pytest.mark.parametrize("name", ["../evil", "a/b", "manifest.json", ".hidden", ""])
def test_a_file_cannot_leave_its_checkpoint_or_replace_the_manifest(store: CheckpointStore, name: str) -> None:
    with pytest.raises(CheckpointError):
        store.write(fields(1), {name: b"x"})
    assert list(store.directory.iterdir()) == []


def test_a_file_of_another_checkpoint_is_linked_and_never_a_damaged_one(store: CheckpointStore) -> None:
    first = commit(store, 1)
    source, entry = store.path(first) / MODEL_FILE, store.manifest(first).files[MODEL_FILE]
    second = store.write(fields(2), {MODEL_FILE: Linked(source, entry), LEDGER_FILE: b"x"})
    assert second.files[MODEL_FILE] == entry
    assert source.stat().st_nlink == 2
    for harm in (flip, Path.unlink):
        harm(source)
        with pytest.raises(CheckpointDamaged, match=rf"{first}/{MODEL_FILE} does not match"):
            store.write(fields(3), {MODEL_FILE: Linked(source, entry)})
    assert ids(store) == [second.id, first]


def test_an_existing_id_and_one_that_another_writer_has_overtaken_are_refused(store: CheckpointStore) -> None:
    commit(store, 5)
    newest = commit(store, 1, epoch=2)
    before = store.manifest(newest)
    with pytest.raises(CheckpointError, match="exists already"):
        commit(store, 1, epoch=2)
    with pytest.raises(CheckpointError, match="another writer has taken over"):
        commit(store, 6)
    assert store.newest_valid() == (before, [])


@pytest.mark.parametrize("harm", [flip, cut, Path.unlink])
@pytest.mark.parametrize("name", [MODEL_FILE, "optimizer.safetensors", LEDGER_FILE, "manifest.json"])
def test_a_damaged_checkpoint_is_passed_over_and_named(
    store: CheckpointStore, harm: Callable[[Path], None], name: str
) -> None:
    for sequence in (1, 2, 3):
        commit(store, sequence)
    third, second = checkpoint_id(1, 3), checkpoint_id(1, 2)
    harm(store.path(third) / name)
    reader = CheckpointStore(store.directory)
    newest, passed_over = reader.newest_valid()
    assert newest == store.manifest(second)
    assert passed_over == [third]
    with pytest.raises(CheckpointDamaged, match=rf"{third}.*{name}"):
        reader.verify(third)
    assert [(info.id, info.integrity) for info in reader.list()] == [
        (third, "damaged"),
        (second, "verified"),
        (checkpoint_id(1, 1), "unverified"),
    ]


def test_a_damaged_rollback_leads_to_its_parent_not_to_what_was_rolled_back(store: CheckpointStore) -> None:
    good, rolled_back = commit(store, 1), commit(store, 2)
    restored = commit(store, 3, epoch=2, parent=good, cause="restore")
    flip(store.path(restored) / MODEL_FILE)
    newest, passed_over = store.newest_valid()
    assert newest is not None
    assert (newest.id, passed_over) == (good, [restored])
    assert rolled_back in ids(store)


def test_where_the_parent_is_gone_or_unknown_the_next_older_is_taken(store: CheckpointStore) -> None:
    for sequence in (1, 2, 3, 4):
        commit(store, sequence)
    shutil.rmtree(store.path(checkpoint_id(1, 3)))
    flip(store.path(checkpoint_id(1, 4)) / MODEL_FILE)
    cut(store.path(checkpoint_id(1, 2)) / "manifest.json")
    newest, passed_over = store.newest_valid()
    assert newest is not None
    assert newest.id == checkpoint_id(1, 1)
    assert passed_over == [checkpoint_id(1, 4), checkpoint_id(1, 2)]


def test_with_checkpoints_but_no_valid_one_it_refuses_to_start_from_scratch(store: CheckpointStore) -> None:
    for sequence in (1, 2):
        flip(store.path(commit(store, sequence)) / MODEL_FILE)
    with pytest.raises(CheckpointError, match=r"refusing to start from scratch.*s000000002, .*s000000001 are damaged"):
        store.newest_valid()


def test_a_checkpoint_of_a_later_release_stops_the_start_instead_of_being_passed_over(store: CheckpointStore) -> None:
    commit(store, 1)
    path = store.path(commit(store, 2)) / "manifest.json"
    later = json.loads(path.read_bytes()) | {"format_version": 3}
    del later["sha256"]
    canonical = json.dumps(later, sort_keys=True, separators=(",", ":")).encode()
    path.write_text(json.dumps(later | {"sha256": hashlib.sha256(canonical).hexdigest()}))
    with pytest.raises(CheckpointError, match="upgrade penstock"):
        store.newest_valid()


def test_foreign_names_are_ignored(store: CheckpointStore) -> None:
    id = commit(store, 1)
    for name in (f".tmp-{checkpoint_id(1, 2)}", ".service", "lost+found", f"{id}.old", "e1-s2", "evaluation"):
        (store.directory / name).mkdir()
    (store.directory / checkpoint_id(1, 7)).write_bytes(b"a file")
    assert ids(store) == [id]
    assert store.highest() == (1, 1)


def test_a_directory_copied_under_another_name_is_damaged(store: CheckpointStore) -> None:
    shutil.copytree(store.path(commit(store, 1)), store.path(checkpoint_id(1, 9)))
    with pytest.raises(CheckpointDamaged, match=f"that of {checkpoint_id(1, 1)}"):
        store.verify(checkpoint_id(1, 9))


@pytest.mark.parametrize("id", ["../../etc", "/etc", "", ".service", "e000001-s000000001/../x"])
def test_no_id_leads_out_of_the_directory(store: CheckpointStore, id: str) -> None:
    commit(store, 1)
    for act in (store.path, store.manifest, store.ledger, store.verify, store.delete):
        with pytest.raises(CheckpointError, match="is no checkpoint's name"):
            act(id)
    with pytest.raises(CheckpointError, match="is no checkpoint's name"):
        store.set_label(id, "x")


def test_an_unknown_checkpoint_is_an_error_and_no_damage(store: CheckpointStore) -> None:
    missing = checkpoint_id(1, 5)
    for act in (store.manifest, store.ledger, store.verify, store.delete):
        with pytest.raises(CheckpointError, match="there is no checkpoint") as refused:
            act(missing)
        assert not isinstance(refused.value, CheckpointDamaged)
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        store.set_pinned(missing, True)
    assert not store.directory.exists()


def test_labels_and_pins_lie_beside_the_checkpoint_and_leave_it_alone(store: CheckpointStore) -> None:
    id = commit(store, 1)
    before = store.manifest(id)
    store.set_label(id, "before the new camera")
    store.set_pinned(id, True)
    info = CheckpointStore(store.directory).list()[0]
    assert (info.label, info.pinned) == ("before the new camera", True)
    store.set_label(id, None)
    store.set_pinned(id, False)
    assert (store.list()[0].label, store.list()[0].pinned) == (None, False)
    assert store.verify(id) == before


def test_an_unreadable_label_file_keeps_its_checkpoint(store: CheckpointStore) -> None:
    id = commit(store, 1)
    store.set_label(id, "x")
    cut(store.directory / f"{id}.json")
    for sequence in (2, 3):
        commit(store, sequence)
    assert store.prune(1, 0, 0) == [checkpoint_id(1, 2)]
    assert ids(store) == [checkpoint_id(1, 3), id]


def test_the_newest_valid_one_cannot_be_deleted(store: CheckpointStore) -> None:
    first, second, third = (commit(store, sequence) for sequence in (1, 2, 3))
    with pytest.raises(CheckpointError, match="newest valid one"):
        store.delete(third)
    flip(store.path(third) / MODEL_FILE)
    with pytest.raises(CheckpointError, match="newest valid one"):
        CheckpointStore(store.directory).delete(second)
    store.set_label(first, "gone soon")
    CheckpointStore(store.directory).delete(first)
    CheckpointStore(store.directory).delete(third)
    assert sorted(path.name for path in store.directory.iterdir()) == [second]


def test_pruning_removes_what_retention_does_not_keep(store: CheckpointStore) -> None:
    for sequence in range(1, 7):
        commit(store, sequence)
    store.set_pinned(checkpoint_id(1, 2), True)
    gone = store.prune(keep=2, hourly=0, daily=0)
    assert gone == [checkpoint_id(1, sequence) for sequence in (4, 3, 1)]
    assert ids(store) == [checkpoint_id(1, sequence) for sequence in (6, 5, 2)]
    assert store.prune(keep=2, hourly=0, daily=0) == []


def test_a_crash_while_removing_leaves_nothing_that_looks_like_a_checkpoint(store: CheckpointStore) -> None:
    first, second = commit(store, 1), commit(store, 2)
    store.set_label(first, "x")
    killed = CheckpointStore(store.directory, FailingDisk(1, Killed(), after=True))
    with pytest.raises(Killed):
        killed.prune(1, 0, 0)
    assert ids(store) == [second]
    store.clean()
    assert [path.name for path in store.directory.iterdir()] == [second]


def test_cleaning_removes_remains_and_nothing_else(store: CheckpointStore) -> None:
    id = commit(store, 1)
    store.set_label(id, "x")
    name, sha256 = store.write_evaluation(1, 5, b"set")
    (store.directory / ".service").mkdir()
    (store.directory / ".tmp-e000001-s000000002").mkdir()
    (store.directory / ".tmp-e000001-s000000002" / "model").write_bytes(b"half")
    (store.directory / ".trash-e000001-s000000003").mkdir()
    (store.directory / ".tmp-x.json-12").write_bytes(b"half")
    (store.directory / "evaluation" / ".tmp-x-34").write_bytes(b"half")
    store.clean()
    assert sorted(path.name for path in store.directory.iterdir()) == [".service", id, f"{id}.json", "evaluation"]
    assert store.read_evaluation(name, sha256) == b"set"


def test_an_evaluation_set_is_read_back_and_its_damage_noticed(store: CheckpointStore) -> None:
    name, sha256 = store.write_evaluation(3, 120, b"pictures")
    assert name.startswith("evaluation/0003-000120-")
    assert store.read_evaluation(name, sha256) == b"pictures"
    with pytest.raises(CheckpointDamaged, match="0003-000120"):
        store.read_evaluation(name, "0" * 64)
    cut(store.directory / name)
    with pytest.raises(CheckpointDamaged, match="0003-000120"):
        store.read_evaluation(name, sha256)
    (store.directory / name).unlink()
    with pytest.raises(CheckpointDamaged, match="0003-000120"):
        store.read_evaluation(name, sha256)
    with pytest.raises(CheckpointError, match="no name of a file in evaluation/"):
        store.read_evaluation("../secret", sha256)


def test_pruning_removes_evaluation_sets_that_no_manifest_names_but_none_that_one_may_name_next(
    store: CheckpointStore,
) -> None:
    def evaluation(count: int, content: bytes) -> EvaluationFile:
        name, sha256 = store.write_evaluation(1, count, content)
        return EvaluationFile(set=1, file=name, sha256=sha256)

    sets = [evaluation(count, b"set %d" % count) for count in (10, 20, 30)]
    for sequence, named in enumerate(sets, start=1):
        commit(store, sequence, evaluation=named)
    forgotten = evaluation(25, b"never named")
    upcoming = evaluation(40, b"on its way into a checkpoint")
    store.prune(keep=2, hourly=0, daily=0)
    left = {f"evaluation/{path.name}" for path in (store.directory / "evaluation").iterdir()}
    assert left == {sets[1].file, sets[2].file, upcoming.file}
    assert forgotten.file not in left


def test_an_evaluation_set_that_grew_differently_after_a_rollback_does_not_replace_the_other(
    store: CheckpointStore,
) -> None:
    one, other = store.write_evaluation(1, 10, b"one line"), store.write_evaluation(1, 10, b"another line")
    assert store.read_evaluation(*one) == b"one line"
    assert store.read_evaluation(*other) == b"another line"
