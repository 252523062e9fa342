"""What is removed, and what never is."""

from pathlib import Path

import pytest

from streaming.checkpoints.durable import LocalFiles
from streaming.checkpoints.manifest import checkpoint_id
from streaming.checkpoints.store import MODEL_FILE, CheckpointStore
from streaming.errors import CheckpointError
from tests.streaming.checkpoints.disks import FailingDisk, Killed, flip
from tests.streaming.checkpoints.samples import commit, ids


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "checkpoints")


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
    (store.directory / ".tmp-e000001-s000000002.json-12").write_bytes(b"of a checkpoint that is gone")
    (store.directory / "evaluation" / ".tmp-x-34").write_bytes(b"half")
    store.clean()
    assert sorted(path.name for path in store.directory.iterdir()) == [".service", id, f"{id}.json", "evaluation"]
    assert store.read_evaluation(name, sha256) == b"set"


def test_a_pin_is_set_though_another_process_cleans_up_at_that_moment(store: CheckpointStore) -> None:
    id = commit(store, 1)

    class CleanedMeanwhile(LocalFiles):
        cleaned = False

        def move(self, source: Path, target: Path) -> None:
            if not self.cleaned:
                CheckpointStore(store.directory).clean()
                self.cleaned = True
            super().move(source, target)

    CheckpointStore(store.directory, CleanedMeanwhile()).set_pinned(id, True)
    assert [info.pinned for info in store.list()] == [True]
