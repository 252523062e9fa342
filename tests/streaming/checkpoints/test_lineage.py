"""Damage is passed over, loudly, along the parents; a start from scratch is refused."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from streaming.checkpoints.manifest import FORMAT_VERSION, EvaluationFile, Manifest, checkpoint_id
from streaming.checkpoints.store import LEDGER_FILE, MODEL_FILE, CheckpointStore
from streaming.errors import CheckpointDamaged, CheckpointError
from tests.streaming.checkpoints.disks import cut, flip
from tests.streaming.checkpoints.samples import OPTIMIZER_FILE, SEGMENT_OFFSETS, commit, ids, ledger


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "checkpoints")


@pytest.mark.parametrize("harm", [flip, cut, Path.unlink])
@pytest.mark.parametrize("name", [MODEL_FILE, OPTIMIZER_FILE, LEDGER_FILE, "manifest.json"])
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
    later = json.loads(path.read_bytes()) | {"format_version": FORMAT_VERSION + 1}
    del later["sha256"]
    canonical = json.dumps(later, sort_keys=True, separators=(",", ":")).encode()
    path.write_text(json.dumps(later | {"sha256": hashlib.sha256(canonical).hexdigest()}))
    with pytest.raises(CheckpointError, match="upgrade penstock"):
        store.newest_valid()


def tree(store: CheckpointStore) -> set[str]:
    return {str(path.relative_to(store.directory)) for path in store.directory.rglob("*") if path.is_file()}


def whole(store: CheckpointStore) -> Manifest:
    """The newest of two checkpoints, with sealed history and an evaluation set."""
    commit(store, 1, book=ledger(3))
    file, sha256 = store.write_evaluation(1, 10, b"set")
    evaluation = EvaluationFile(set=1, file=file, sha256=sha256)
    return store.manifest(commit(store, 2, book=ledger(2 * SEGMENT_OFFSETS + 3), evaluation=evaluation))


FILES_OF_A_CHECKPOINT = 7  # manifest, model, optimizer, ledger, two segments of history, evaluation set


@pytest.mark.parametrize("harm", [flip, cut, Path.unlink])
@pytest.mark.parametrize("number", range(FILES_OF_A_CHECKPOINT))
def test_whichever_file_is_harmed_training_goes_on_without_it_and_nothing_is_deleted(
    store: CheckpointStore, harm: Callable[[Path], None], number: int
) -> None:
    newest = whole(store)
    assert newest.evaluation is not None
    own = [f"{newest.id}/{name}" for name in ("manifest.json", *newest.files)]
    names = [*own, *(one.file for one in newest.history), newest.evaluation.file]
    assert len(names) == FILES_OF_A_CHECKPOINT
    victim = names[number]
    harm(store.directory / victim)
    before = tree(store)

    successor = CheckpointStore(store.directory)
    found, passed_over = successor.newest_valid()
    assert found is not None
    if victim == newest.evaluation.file:  # scores begin anew, and nothing else is lost
        assert (found, passed_over) == (newest, [])
        with pytest.raises(CheckpointDamaged, match=victim):
            successor.read_evaluation(victim, newest.evaluation.sha256)
    elif victim in {one.file for one in newest.history}:  # it has a spare
        assert (found, passed_over) == (newest, [])
        assert successor.verify(newest.id) == newest
    else:
        assert (found.id, passed_over) == (checkpoint_id(1, 1), [newest.id])
        with pytest.raises(CheckpointDamaged, match=f"{newest.id}.*{Path(victim).name}"):
            successor.verify(newest.id)
    commit(successor, 1, epoch=2, parent=found.id, book=ledger(5), cause="restore")
    successor.prune(9, 0, 0)
    successor.clean()
    assert tree(store) >= before


@pytest.mark.parametrize("harm", [flip, cut, Path.unlink])
def test_a_refused_start_leaves_every_file_as_it_is(store: CheckpointStore, harm: Callable[[Path], None]) -> None:
    newest = whole(store)
    harm(store.path(checkpoint_id(1, 1)) / LEDGER_FILE)
    for ending in ("", ".spare"):
        harm(store.directory / f"{newest.history[0].file}{ending}")
    before = tree(store)
    successor = CheckpointStore(store.directory)
    with pytest.raises(CheckpointError, match=r"refusing to start from scratch.*s000000002, .*s000000001 are damaged"):
        successor.newest_valid()
    successor.prune(1, 0, 0)
    successor.clean()
    assert tree(store) == before


def test_a_folder_that_cannot_be_read_is_no_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CheckpointError, match="Not a directory"):
        CheckpointStore(tmp_path / "file").newest_valid()
