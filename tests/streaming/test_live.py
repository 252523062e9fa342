"""Live settings in the worker: from the next step on, and told by the checkpoints that come after."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import keras
import pytest

from streaming.checkpoints.manifest import Manifest
from streaming.control.messages import Change
from streaming.errors import UserCodeError
from streaming.live import MOST_CHANGES, Live
from streaming.settings import parse_settings
from streaming.training.trainer import Trainer, build_model
from tests.streaming.test_learning import SIZE
from tests.streaming.test_saving import Scene

pytestmark = pytest.mark.tf
RATE, INTERVAL, LEVEL = "model.learning_rate", "checkpoint.interval_s", "service.log_level"


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path / "checkpoints")


def change(scene: Scene, setting: str, value: float | str, source: str = "api") -> None:
    scene.live.change(Change(setting=setting, value=value, source=source), scene.bench.learning.step)


def told(manifest: Manifest) -> list[tuple[str, object, object, str, int]]:
    return [(each.setting, each.before, each.after, each.source, each.step) for each in manifest.setting_changes]


def later(scene: Scene, tree: dict[str, Any], sources: dict[str, str]) -> Live:
    """What a worker makes of these settings that is started now, with a model of its own."""
    settings = parse_settings({"checkpoint": {"interval_s": 0.001}, **tree})
    tiny = scene.bench.settings()
    live = Live(settings, sources, Trainer(build_model(tiny), tiny), scene.saver, print)
    manifest = scene.store.manifest(scene.store.list()[0].id)
    live._trainer.load(scene.bench.trainer.state())
    live.restored(manifest)
    return live


def test_a_change_counts_from_the_next_step_on_and_stands_in_the_next_checkpoint_alone(scene: Scene) -> None:
    scene.bench.train(1, 2)
    assert told(scene.saved()) == []
    change(scene, RATE, 1e-9)
    change(scene, INTERVAL, 0.002)
    change(scene, LEVEL, "debug")
    before = scene.bench.trainer.state()
    scene.bench.train(1, 2)
    weight = next(name for name in before if name.endswith("kernel"))
    assert abs(scene.bench.trainer.state()[weight] - before[weight]).max() < 1e-8
    saved = scene.saved()
    assert told(saved) == [
        (RATE, 0.003, 1e-9, "api", 1),
        (INTERVAL, 0.001, 0.002, "api", 1),
        (LEVEL, "info", "debug", "api", 1),
    ]
    assert saved.live_settings == {RATE: 1e-9, INTERVAL: 0.002, LEVEL: "debug"}
    assert (scene.saver.interval_s, scene.levels[-1]) == (0.002, "debug")
    scene.bench.train(1, 2)
    assert told(scene.saved()) == []


def test_a_change_without_a_step_is_saved_too_and_a_save_that_fails_forgets_none(scene: Scene) -> None:
    scene.bench.train(1, 2)
    scene.saved()
    scene.disk.full = True
    change(scene, RATE, 0.5)
    scene.until(lambda saving: saving.error)
    change(scene, RATE, 0.25)
    scene.disk.full = False
    scene.until(lambda _: scene.store.manifest(scene.store.list()[0].id).live_settings[RATE] == 0.25)
    assert told(scene.store.manifest(scene.store.list()[0].id)) == [
        (RATE, 0.003, 0.5, "api", 1),
        (RATE, 0.5, 0.25, "api", 1),
    ]


def test_the_account_of_changes_is_bounded_and_joins_on(scene: Scene) -> None:
    for number in range(3 * MOST_CHANGES):
        change(scene, RATE, 0.1 + number)
    assert len(scene.live.changes) == MOST_CHANGES
    steps = [(each.before, each.after) for each in scene.live.changes]
    assert all(after == before for (_, after), (before, _) in pairwise(steps))


def test_a_learning_rate_that_has_changed_since_the_checkpoint_wins_over_the_restored_one(scene: Scene) -> None:
    scene.bench.train(1, 2)
    scene.bench.trainer.learning_rate = 0.7  # as a callback of the model's own might have left it
    scene.saved()
    kept = later(scene, {}, {})
    assert kept._trainer.learning_rate == pytest.approx(0.7)
    assert (kept.rate_from, kept.changes) == ("model", [])
    changed = later(scene, {"model": {"learning_rate": 0.01}}, {RATE: "file"})
    assert changed._trainer.learning_rate == pytest.approx(0.01)
    assert changed.rate_from == "setting"
    assert [(each.before, each.after, each.source, each.step) for each in changed.changes] == [(0.003, 0.01, "file", 1)]


def test_a_schedule_refuses_every_other_learning_rate(scene: Scene) -> None:
    scheduled = keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9))
    for optimizer in (scheduled, keras.optimizers.SGD(lambda: 0.1), keras.optimizers.LossScaleOptimizer(scheduled)):
        model = keras.Sequential([keras.Input((SIZE, SIZE, 3)), keras.layers.Conv2D(3, 1)])
        model.compile(optimizer, "mse")
        trainer = Trainer(model, scene.bench.settings())
        live = Live(scene.bench.settings(), {RATE: "api"}, trainer, scene.saver, print)
        assert live.rate_from == "schedule"
        live.change(Change(setting=RATE, value=0.5, source="api"), 0)
        assert (live.changes, live.settings.model.learning_rate) == ([], 0.003)
        with pytest.raises(UserCodeError, match="schedule"):
            live.begin()


def test_a_new_training_takes_a_learning_rate_that_was_set_over_http(scene: Scene) -> None:
    scene.bench.trainer.learning_rate = 0.7
    settings = parse_settings({"model": {"learning_rate": 0.02}})
    Live(settings, {RATE: "file"}, scene.bench.trainer, scene.saver, print).begin()
    assert scene.bench.trainer.learning_rate == pytest.approx(0.7)  # the model's own function had the setting
    Live(settings, {RATE: "api"}, scene.bench.trainer, scene.saver, print).begin()
    assert scene.bench.trainer.learning_rate == pytest.approx(0.02)
