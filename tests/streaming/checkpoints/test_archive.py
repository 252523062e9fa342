"""Checkpoints put aside: all of them, wherever it was cut short."""

from pathlib import Path

import pytest

from streaming.checkpoints.archive import Archive, has_archive
from streaming.checkpoints.durable import LocalFiles
from streaming.checkpoints.store import CheckpointStore
from streaming.errors import CheckpointError
from tests.service.checkpoints import ledger_with, write


class Cut(LocalFiles):
    """Refuses every move after so many."""

    def __init__(self, moves: int) -> None:
        self.left = moves

    def move(self, source: Path, target: Path) -> None:
        if not self.left:
            raise OSError(5, "Input/output error")
        self.left -= 1
        super().move(source, target)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Two checkpoints, one of them labelled; and files that are none of ours."""
    write(tmp_path / "run", ledger_with(trained=range(10)), ledger_with(trained=range(20)))
    store = CheckpointStore(tmp_path / "run")
    store.set_label(store.list()[0].id, "best")
    store.write_evaluation(1, 3, b"images")
    (tmp_path / "run" / ".service").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    return tmp_path / "run"


def archive(run: Path, moves: int = 100) -> Archive:
    return Archive(run, run / ".service" / "archiving.json", Cut(moves))


def test_the_archive_is_a_checkpoint_directory_and_nothing_is_left(run: Path) -> None:
    before = CheckpointStore(run).list()
    assert not has_archive(run)
    one = archive(run)
    one.begin("then")
    one.finish()
    assert sorted(each.name for each in run.iterdir()) == [".archive", ".service", "notes.txt"]
    assert CheckpointStore(one.path("then")).list() == before
    assert CheckpointStore(one.path("then")).newest_valid()[0] is not None
    assert list((one.path("then") / "evaluation").iterdir())
    assert has_archive(run)
    assert list((run / ".service").iterdir()) == []


def test_what_was_cut_short_anywhere_is_finished_by_the_next(run: Path) -> None:
    before = CheckpointStore(run).list()
    with pytest.raises(CheckpointError, match="checkpoints can't be put aside"):
        archive(run, moves=0).begin("never")
    archive(run).finish()
    assert CheckpointStore(run).list() == before
    archive(run).begin("then")
    for _ in range(3):
        with pytest.raises(CheckpointError):
            archive(run, moves=1).finish()
    archive(run).finish()
    assert CheckpointStore(archive(run).path("then")).list() == before
    assert CheckpointStore(run).list() == []
    archive(run).finish()
