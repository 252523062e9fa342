"""Damage is passed over, loudly, along the parents; a start from scratch is refused."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from streaming.checkpoints.manifest import checkpoint_id
from streaming.checkpoints.store import LEDGER_FILE, MODEL_FILE, CheckpointStore
from streaming.errors import CheckpointDamaged, CheckpointError
from tests.streaming.checkpoints.disks import cut, flip
from tests.streaming.checkpoints.samples import OPTIMIZER_FILE, commit, ids


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
    later = json.loads(path.read_bytes()) | {"format_version": 3}
    del later["sha256"]
    canonical = json.dumps(later, sort_keys=True, separators=(",", ":")).encode()
    path.write_text(json.dumps(later | {"sha256": hashlib.sha256(canonical).hexdigest()}))
    with pytest.raises(CheckpointError, match="upgrade penstock"):
        store.newest_valid()
