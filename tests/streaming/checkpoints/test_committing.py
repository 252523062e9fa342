"""A save, with the disk failing at every step of it: whole checkpoints or none, and an error that names the path."""

import errno
import os
from pathlib import Path

import pytest

from streaming.checkpoints.committing import Linked
from streaming.checkpoints.manifest import EvaluationFile, checkpoint_id
from streaming.checkpoints.store import LEDGER_FILE, MODEL_FILE, CheckpointStore
from streaming.errors import CheckpointDamaged, CheckpointError
from tests.streaming.checkpoints.disks import FailingDisk, Killed, flip
from tests.streaming.checkpoints.samples import SEGMENT_OFFSETS, commit, fields, ids, ledger

OLD, NEW = ledger(1), ledger(2 * SEGMENT_OFFSETS + 3)
SHARED_STEPS = 4 + 1 + 4 * 3  # a folder and a file of an evaluation set; a folder, two files of history, their spares
# write model, link a file and sync it, write ledger, write manifest, sync, move, sync
STEPS = SHARED_STEPS + 8
RENAME = STEPS - 1


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "checkpoints")


def save(store: CheckpointStore, sequence: int) -> str:
    """All that a save writes: an evaluation set, sealed history, a checkpoint; then what is old is removed."""
    file, sha256 = store.write_evaluation(1, 10 * sequence, b"set")
    id = commit(store, sequence, book=NEW, evaluation=EvaluationFile(set=1, file=file, sha256=sha256))
    store.prune(2, 0, 0)
    return id


def test_a_save_takes_as_many_steps_as_the_tests_here_let_fail(store: CheckpointStore) -> None:
    commit(store, 1, book=OLD)
    disk = FailingDisk(0, Killed())
    save(CheckpointStore(store.directory, disk), 2)
    assert disk.operations == STEPS


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("failing", range(1, STEPS + 1))
def test_a_crash_at_any_step_leaves_the_old_checkpoint_or_a_whole_new_one(
    store: CheckpointStore, failing: int, after: bool
) -> None:
    old = commit(store, 1, book=OLD)
    with pytest.raises(Killed):
        save(CheckpointStore(store.directory, FailingDisk(failing, Killed(), after)), 2)
    survivor = CheckpointStore(store.directory)
    newest, passed_over = survivor.newest_valid()
    renamed = failing > RENAME or (failing == RENAME and after)
    assert newest is not None
    assert passed_over == []
    assert ids(survivor) == ([checkpoint_id(1, 2), old] if renamed else [old])
    assert survivor.ledger(newest.id) == (NEW if renamed else OLD)
    survivor.clean()
    assert not [path for path in store.directory.rglob("*") if path.name.startswith(".")]
    third = save(survivor, 3)
    assert survivor.ledger(third) == NEW
    named = {entry.file for id in ids(survivor) for entry in survivor.manifest(id).history}
    there = {f"history/{path.name}" for path in (store.directory / "history").iterdir()}
    assert there == named | {f"{name}.spare" for name in named}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("failing", range(1, STEPS + 1))
def test_an_error_at_any_step_names_the_path_and_the_older_checkpoint_stays_the_newest(
    store: CheckpointStore, failing: int, after: bool, code: int
) -> None:
    old = commit(store, 1, book=OLD)
    disk = FailingDisk(failing, OSError(code, os.strerror(code)), after)
    broken = CheckpointStore(store.directory, disk)
    with pytest.raises(CheckpointError, match=os.strerror(code)) as failed:
        save(broken, 2)
    assert str(disk.path) in str(failed.value)
    newest, passed_over = CheckpointStore(store.directory).newest_valid()
    assert (newest and newest.id, passed_over) == (old, [])
    folders = {"evaluation", "history"}
    assert {path.name for path in store.directory.iterdir()} - folders == {old}
    assert not [path for path in store.directory.rglob("*") if path.name.startswith(".")]
    second = save(broken, 2)  # the disk is well again, and the same process goes on
    assert broken.ledger(second) == NEW
    assert CheckpointStore(store.directory).verify(second).id == second


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
