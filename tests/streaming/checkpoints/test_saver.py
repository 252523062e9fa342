"""One save at a time, on a thread of its own, into a real store whose disk can be held."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from streaming.arrays import Array
from streaming.checkpoints.durable import LocalFiles
from streaming.checkpoints.manifest import Cause, ManifestFields
from streaming.checkpoints.saver import REST, Saved, Saver, Snapshot
from streaming.checkpoints.store import MODEL_FILE, CheckpointStore
from streaming.control.messages import Save
from streaming.ledger.ledger import Generation, Kind, Ledger
from streaming.settings import CheckpointSettings
from streaming.training.evaluation import EvaluationSet

DEADLINE_S = 20.0
INTERVAL_S = 60.0
GENERATION = Generation("c1", "pets", "t1")


class HeldDisk(LocalFiles):
    """A disk that commits nothing while it is held, and may be full."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.free.set()
        self.full = False

    def move(self, source: Path, target: Path) -> None:
        assert self.free.wait(DEADLINE_S)
        if self.full:
            raise OSError(28, "No space left on device")
        super().move(source, target)


class Training:
    """A saver, and the state that it saves."""

    def __init__(self, directory: Path, *, interval_s: float = INTERVAL_S, keep: int = 5) -> None:
        self.disk = HeldDisk()
        self.store = CheckpointStore(directory, self.disk)
        self.now_s = 1000.0
        settings = CheckpointSettings(interval_s=interval_s, keep=keep, keep_hourly=0, keep_daily=0)
        self.saver = Saver(self.store, settings, lambda: self.now_s)
        self.variables: dict[str, Array] = {"dense/kernel": np.ones((2, 3), np.float32), "step": np.array(4)}
        self.evaluation = EvaluationSet(1, 100)
        self.sequence = 0

    def snapshot(self, cause: Cause) -> Snapshot:
        self.sequence += 1
        ledger = Ledger(GENERATION, segment_offsets=2)
        ledger.open_partition(0, 0)
        ledger.record(0, Kind.TRAINED, range(self.sequence))
        fields = ManifestFields(
            parent=None,
            cause=cause,
            step=self.sequence,
            created_at=1_750_000_000.0 + self.sequence,
            epoch=1,
            sequence=self.sequence,
            settings_digest="d",
            learning_rate=0.003,
            model_signature="m",
            generation=GENERATION,
            positions={0: self.sequence},
            records=ledger.counts(),
        )
        return Snapshot(fields, dict(self.variables), ledger, self.evaluation.frozen(), stall_s=0.25)

    def begin(self, cause: Cause = "periodic") -> None:
        self.saver.begin(self.snapshot, cause)

    def finish(self) -> Saved:
        self.disk.free.set()
        saved = self.saver.finished(DEADLINE_S)
        assert saved is not None
        assert not self.saver.busy
        return saved

    def save(self, cause: Cause = "periodic") -> Saved:
        self.begin(cause)
        return self.finish()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Training]]:
    started: list[Training] = []

    def begin(**options: float) -> Training:
        started.append(Training(tmp_path / "checkpoints", **options))  # type: ignore[arg-type]
        return started[-1]

    yield begin
    for training in started:
        training.disk.free.set()
        training.saver.finished(DEADLINE_S)


Start = Callable[..., Training]


def test_what_is_saved_is_what_the_store_holds(start: Start) -> None:
    training = start()
    saved = training.save("start")
    assert saved.manifest is not None
    assert (saved.error, saved.cause, saved.stall_s, saved.requests) == (None, "start", 0.25, ())
    assert training.store.newest_valid() == (saved.manifest, [])
    weights = safetensors.numpy.load_file(training.store.path(saved.manifest.id) / MODEL_FILE)
    assert weights.keys() == training.variables.keys()
    assert all((weights[name] == values).all() for name, values in training.variables.items())
    assert training.store.ledger(saved.manifest.id).position(0) == 1


def test_the_state_may_change_while_it_is_written(start: Start) -> None:
    training = start()
    training.disk.free.clear()
    training.begin()
    assert training.saver.busy
    assert training.saver.finished() is None
    training.variables["step"] = np.array(5)
    manifest = training.finish().manifest
    assert manifest is not None
    assert safetensors.numpy.load_file(training.store.path(manifest.id) / MODEL_FILE)["step"] == 4


def test_plain_requests_join_the_running_save(start: Start) -> None:
    training = start()
    training.saver.request(Save(request_id="first"))
    training.disk.free.clear()
    training.begin("request")
    for number in range(20):
        training.saver.request(Save(request_id=str(number)))
    assert not training.saver.requested
    saved = training.finish()
    assert [request.request_id for request in saved.requests] == ["first", *map(str, range(20))]
    assert training.saver.due(changed=False) is None
    assert len(training.store.list()) == 1


def test_requests_with_a_label_or_a_pin_share_the_next_save(start: Start) -> None:
    training = start()
    training.disk.free.clear()
    training.begin()
    training.saver.request(Save(request_id="named", label="before"))
    training.saver.request(Save(request_id="kept", pinned=True))
    assert training.saver.requested
    assert training.saver.due(changed=True) is None
    first = training.finish()
    assert first.requests == ()
    assert training.saver.due(changed=False) == "request"
    second = training.save("request")
    assert [request.request_id for request in second.requests] == ["named", "kept"]
    newest, oldest = training.store.list()
    assert (newest.label, newest.pinned) == ("before", True)
    assert (oldest.label, oldest.pinned) == (None, False)


def test_a_periodic_save_needs_news_and_the_interval(start: Start) -> None:
    training = start()
    assert training.saver.due(changed=True) is None
    training.now_s += INTERVAL_S
    assert training.saver.due(changed=False) is None
    assert training.saver.due(changed=True) == "periodic"
    training.save()
    training.now_s += INTERVAL_S - 1
    assert training.saver.due(changed=True) is None
    training.now_s += 1
    assert training.saver.due(changed=True) == "periodic"


def test_after_a_save_at_least_ten_times_its_duration_passes(start: Start) -> None:
    training = start(interval_s=1e-9)
    duration_s = training.save().duration_s
    assert REST >= 10
    assert duration_s > 0
    training.now_s += REST * duration_s * 0.99
    assert training.saver.due(changed=True) is None
    training.now_s += REST * duration_s * 0.02
    assert training.saver.due(changed=True) == "periodic"


def test_a_request_does_not_wait_for_the_interval(start: Start) -> None:
    training = start()
    training.save()
    training.saver.request(Save(request_id="now"))
    assert training.saver.due(changed=False) == "request"


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_values_that_are_not_finite_are_refused_by_name(start: Start, value: float, dtype: type) -> None:
    training = start()
    training.variables["dense/bias"] = np.array([0, value, 1], dtype)
    training.saver.request(Save(request_id="r"))
    saved = training.save("request")
    assert saved.manifest is None
    assert saved.error == "variable dense/bias holds values that are not finite; not saved"
    assert [request.request_id for request in saved.requests] == ["r"]
    assert training.store.list() == []


@pytest.mark.parametrize("values", [np.array([1], "S4"), np.array([1], ml_dtypes.float8_e4m3fn)])
def test_a_variable_that_no_file_can_hold_fails_the_save_by_name(start: Start, values: Array) -> None:
    training = start()
    training.variables["lookup/table"] = values
    saved = training.save()
    assert saved.manifest is None
    assert "variable lookup/table is of type" in (saved.error or "")


def test_sealed_history_is_durable_before_the_checkpoint_that_names_it(start: Start) -> None:
    training = start(keep=2)
    for _ in range(5):
        training.save()
    newest = training.store.list()[0]
    manifest = training.store.verify(newest.id)
    assert [one.file.split("-")[1] for one in manifest.history] == ["0000000000000000000", "0000000000000000002"]
    assert training.store.ledger(newest.id).position(0) == 5
    training.disk.full = True
    training.sequence += 2
    assert "history/" in (training.save().error or "")
    assert training.store.list()[0].id == newest.id
    training.disk.full = False
    assert training.save().manifest is not None


def test_a_full_disk_is_told_and_the_next_save_works(start: Start) -> None:
    training = start()
    training.disk.full = True
    saved = training.save()
    assert saved.manifest is None
    assert "No space left" in (saved.error or "")
    training.disk.full = False
    assert training.save().manifest is not None


def test_old_checkpoints_are_pruned_after_a_save(start: Start) -> None:
    training = start(keep=2)
    for _ in range(4):
        training.save()
    assert [info.step for info in training.store.list()] == [4, 3]


def test_an_evaluation_set_is_written_once_each_time_it_has_grown(start: Start) -> None:
    training = start()
    names = []
    for grown in (False, True, False, False, True, False):
        if grown:
            training.evaluation.add(np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.uint8))
        manifest = training.save().manifest
        assert manifest is not None
        names.append(manifest.evaluation)
    assert names[0] is None
    assert len({evaluation.file for evaluation in names[1:] if evaluation}) == 2
    assert names[1] == names[2] == names[3] != names[4] == names[5]
    last = names[-1]
    assert last is not None
    assert training.store.read_evaluation(last.file, last.sha256) == training.evaluation.dump()


def test_the_evaluation_set_of_a_restored_checkpoint_is_not_written_again(start: Start) -> None:
    before = start()
    before.evaluation.add(np.zeros((2, 2, 3), np.uint8), 1)
    manifest = before.save().manifest
    assert manifest is not None
    assert manifest.evaluation is not None
    file = before.store.directory / manifest.evaluation.file
    written_ns = file.stat().st_mtime_ns
    after = start()
    after.sequence, after.evaluation = 1, before.evaluation
    after.saver.restored(manifest.evaluation, 1)
    again = after.save().manifest
    assert again is not None
    assert again.evaluation == manifest.evaluation
    assert file.stat().st_mtime_ns == written_ns
