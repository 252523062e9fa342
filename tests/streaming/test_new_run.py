"""Settings that need a new run are known by name."""

from streaming.new_run import changed, held_to, new_run_values
from streaming.settings import parse_settings


def test_a_changed_setting_of_a_new_run_is_named_with_both_values() -> None:
    before = new_run_values(parse_settings({"pipeline": {"seed": 3}, "kafka": {"topic": "a"}}))
    now = parse_settings({"pipeline": {"seed": 4, "batch_size": 7}, "kafka": {"topic": "a"}})
    assert changed(before, now) == {"pipeline.seed": (3, 4)}
    assert {"name", "kafka.topic", "evaluation.fraction", "pipeline.image_size", "model.classes"} <= before.keys()


def test_a_setting_that_an_older_checkpoint_does_not_know_has_not_changed() -> None:
    assert changed({}, parse_settings({})) == {}
    assert changed({"pipeline.forgotten": 1}, parse_settings({})) == {}


def test_a_training_keeps_to_what_it_began_with() -> None:
    before = new_run_values(parse_settings({"pipeline": {"seed": 3}, "evaluation": {"fraction": 0.1}}))
    now = parse_settings({"pipeline": {"seed": 4, "batch_size": 7}, "model": {"classes": 9}})
    held = held_to(before, now)
    assert (held.pipeline.seed, held.evaluation.fraction) == (3, 0.1)
    assert (held.pipeline.batch_size, held.model.classes) == (7, 9)  # the model says itself what doesn't fit
