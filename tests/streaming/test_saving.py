"""Saves that fail are tried again, and make training wait once they have failed for too long."""

import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import BaseModel

from streaming.checkpoints.durable import LocalFiles
from streaming.checkpoints.manifest import Manifest
from streaming.checkpoints.saver import Saver
from streaming.checkpoints.store import CheckpointStore
from streaming.confirming import Confirmation
from streaming.control.decisions import Exclude
from streaming.control.messages import Committed, Save, SaveFailed
from streaming.decided import Decided
from streaming.kafka.watch import Watch
from streaming.live import Live
from streaming.saving import Lineage, Saving
from streaming.settings import parse_settings
from tests.line.line import nap
from tests.streaming.test_learning import Bench

pytestmark = pytest.mark.tf
MAX_AGE_S = 0.3


class Disk(LocalFiles):
    """A file system that can be full."""

    def __init__(self) -> None:
        self.full = False
        self.full_for_notes = False
        self.failed = threading.Event()

    def write(self, path: Path, content: bytes) -> None:
        if self.full:
            self.failed.set()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        super().write(path, content)

    def move(self, source: Path, target: Path) -> None:
        if self.full_for_notes and target.suffix == ".json":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        super().move(source, target)


class Scene:
    """Saving over a tiny model, with periodic saves as often as can be."""

    def __init__(self, directory: Path) -> None:
        settings = parse_settings({"checkpoint": {"interval_s": 0.001, "max_age_s": MAX_AGE_S}})
        self.disk, self.bench = Disk(), Bench()
        self.store = CheckpointStore(directory, self.disk)
        self.saver = Saver(self.store, settings.checkpoint, time.monotonic)
        self.decided = Decided([])
        self.levels: list[str] = []
        self.live = Live(settings, {}, self.bench.trainer, self.saver, self.levels.append)
        self.said: list[BaseModel] = []
        watch = Watch(settings.kafka, "test", group_id="test")  # never started: it only remembers what to mirror
        self.saving = Saving(
            settings,
            self.saver,
            self.live,
            self.bench.book,
            self.bench.learning,
            self.said.append,
            watch,
            Confirmation(watch),
            self.decided,
            Lineage(1, 1, None),
        )

    def until(self, holds: Callable[[Saving], object]) -> None:
        """Tick until it holds."""
        deadline = time.monotonic() + 20
        while not holds(self.saving):
            assert time.monotonic() < deadline, f"never came true; error: {self.saving.error}"
            self.saving.tick()
            nap(0.01)

    def saved(self) -> Manifest:
        """Tick until the newest checkpoint holds everything that there is."""
        records = self.bench.book.ledger.counts()
        self.until(lambda _: (ids := self.store.list()) and self.store.manifest(ids[0].id).records == records)
        self.until(lambda saving: saving.checkpointed and not saving.error)
        return self.store.manifest(self.store.list()[0].id)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path / "checkpoints")


def test_saves_that_fail_for_long_make_training_wait_until_one_works(scene: Scene) -> None:
    scene.bench.train(1, 2)
    scene.disk.full = True
    began = time.monotonic()
    scene.until(lambda saving: saving.overdue)
    assert time.monotonic() - began >= MAX_AGE_S
    assert "No space left" in str(scene.saving.error)
    scene.disk.full = False
    scene.until(lambda saving: not saving.overdue)
    assert scene.saving.error is None
    assert [type(message) for message in (scene.said[0], scene.said[-1])] == [SaveFailed, Committed]
    assert scene.saved().records["trained"] == 2


def test_a_label_that_could_not_be_written_is_told_to_who_asked_for_it(scene: Scene) -> None:
    scene.bench.train(1, 2)
    scene.disk.full_for_notes = True
    scene.saving.request(Save(request_id="plain"))
    scene.saving.request(Save(request_id="named", label="before"))
    scene.saving.request(Save(request_id="kept", pinned=True))
    scene.until(lambda _: len(scene.said) == 2)
    failed, committed = scene.said
    assert isinstance(failed, SaveFailed)
    assert isinstance(committed, Committed)
    assert (failed.request_ids, committed.request_ids) == (["named", "kept"], ["plain"])
    assert f"checkpoint {committed.checkpoint_id} was taken, but its label or pin could not be" in failed.detail
    assert "No space left" in failed.detail


def test_a_periodic_save_that_fails_at_the_end_is_followed_by_the_final_one(scene: Scene) -> None:
    scene.bench.train(1, 2)
    scene.disk.full = True
    scene.until(lambda _: scene.saver.busy)
    scene.disk.failed.wait(20)
    scene.disk.full = False
    last = scene.saving.final(time.monotonic() + 20, lambda: None)
    assert [type(each) for each in scene.said] == [SaveFailed, Committed]
    assert last == scene.store.list()[0].id
    assert scene.store.manifest(last).cause == "final"


def test_a_decision_that_the_ledger_has_taken_in_is_counted_in_the_next_checkpoint(scene: Scene) -> None:
    scene.bench.train(1, 2)
    assert scene.saved().decisions == 0
    scene.decided.add(Exclude(at=0, topic_id="t1", partition=0, start=5, stop=6))
    scene.decided.take_in(scene.bench.book.ledger)
    newest = scene.saved()
    assert (newest.decisions, newest.records["excluded"]) == (1, 1)
    assert newest.trainer_state["breaker"] == scene.bench.book.breaker_state()
