"""Evaluation sets beside the checkpoints."""

from pathlib import Path

import pytest

from streaming.checkpoints.manifest import EvaluationFile
from streaming.checkpoints.store import CheckpointStore
from streaming.errors import CheckpointDamaged, CheckpointError
from tests.streaming.checkpoints.disks import cut
from tests.streaming.checkpoints.samples import commit


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "checkpoints")


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
