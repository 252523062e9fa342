"""The store: what is written is what is read, under its name and no other."""

import shutil
from pathlib import Path

import pytest

from streaming.checkpoints.manifest import checkpoint_id
from streaming.checkpoints.store import MODEL_FILE, CheckpointStore
from streaming.errors import CheckpointDamaged, CheckpointError
from tests.streaming.checkpoints.disks import cut
from tests.streaming.checkpoints.samples import commit, contents, fields, ids, ledger


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "checkpoints")


def test_a_checkpoint_is_read_back_as_it_was_written(store: CheckpointStore) -> None:
    manifest = store.write(fields(1), contents(store, ledger(1)))
    reader = CheckpointStore(store.directory)
    assert reader.newest_valid() == (manifest, [])
    assert reader.manifest(manifest.id) == manifest
    assert reader.ledger(manifest.id) == ledger(1)
    assert (reader.path(manifest.id) / MODEL_FILE).read_bytes() == b"weights" * 100
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


def test_an_existing_id_and_one_that_another_writer_has_overtaken_are_refused(store: CheckpointStore) -> None:
    commit(store, 5)
    newest = commit(store, 1, epoch=2)
    before = store.manifest(newest)
    with pytest.raises(CheckpointError, match="exists already"):
        commit(store, 1, epoch=2)
    with pytest.raises(CheckpointError, match="another writer has taken over"):
        commit(store, 6)
    assert store.newest_valid() == (before, [])


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
