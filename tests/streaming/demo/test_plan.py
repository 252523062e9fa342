from pathlib import Path

import pytest

from streaming.demo.plan import (
    BROKEN_EVERY,
    Wishes,
    child_environment,
    make_empty,
    produce_command,
    score_command,
    topics,
)
from streaming.demo.synthetic import synthetic
from streaming.errors import PenstockError
from streaming.settings_sources import load_settings


def test_the_environment_holds_valid_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment = child_environment("127.0.0.1:9092", "pets", tmp_path, 8080)
    for name, value in environment.items():
        if name.startswith("PENSTOCK_"):
            monkeypatch.setenv(name, value)
    settings = load_settings()
    assert (settings.kafka.topic, settings.kafka.dead_letter_topic) == ("pets", "pets.dead-letters")
    assert settings.checkpoint_directory == tmp_path
    assert (settings.service.host, settings.service.port) == ("127.0.0.1", 8080)
    assert list(topics(environment)) == ["pets", "pets.dead-letters"]


def test_of_the_callers_settings_only_credentials_are_inherited(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PENSTOCK_MODEL__BUILD", "mine:model")
    monkeypatch.setenv("PENSTOCK_CONFIG", "/mine.toml")
    monkeypatch.setenv("PENSTOCK_KAFKA__SASL_USERNAME", "alice")
    monkeypatch.setenv("PENSTOCK_KAFKA__TOPIC", "production")
    environment = child_environment("broker:9092", "pets-demo", tmp_path, 8080)
    assert "PENSTOCK_MODEL__BUILD" not in environment
    assert "PENSTOCK_CONFIG" not in environment
    assert environment["PENSTOCK_KAFKA__SASL_USERNAME"] == "alice"
    assert environment["PENSTOCK_KAFKA__TOPIC"] == "pets-demo"
    assert "PATH" in environment


def test_what_is_scored_is_of_a_seed_that_nobody_trained_on(tmp_path: Path) -> None:
    environment = child_environment("b:1", "pets", tmp_path, 1)
    wishes = Wishes(seed=7)
    scored, produced = score_command(wishes, environment, "e1-s1"), produce_command(wishes)
    assert scored[scored.index("--seed") + 1] != produced[produced.index("--seed") + 1] == "7"


def test_forever_has_a_rate_and_no_end() -> None:
    command = produce_command(Wishes(forever=True))
    assert "--rate" in command
    assert "--count" not in command


@pytest.mark.parametrize("count", [200, 799])
def test_broken_records_are_as_many_as_the_report_expects(count: int) -> None:
    keys = [index for index in range(count) if (index + 1) % BROKEN_EVERY == 0]
    assert len(keys) == count // BROKEN_EVERY
    assert next(iter(synthetic(1, keys[0], 1, BROKEN_EVERY, clock=lambda: 0))) != next(
        iter(synthetic(1, keys[0], 1, 0, clock=lambda: 0))
    )


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    make_empty(tmp_path / "new" / "folder")
    (tmp_path / "file").touch()
    with pytest.raises(PenstockError, match="isn't empty"):
        make_empty(tmp_path)
    with pytest.raises(PenstockError, match="--directory"):
        make_empty(tmp_path / "file" / "below")
