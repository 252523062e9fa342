"""The command line against a running service."""

import json

import pytest
import typer
from typer.testing import CliRunner, Result

from service import remote, settings_table
from service.flags import flags_tree
from streaming.errors import SettingsError
from tests.service.conftest import Sidecar


@pytest.fixture
def penstock() -> typer.Typer:
    app = typer.Typer()
    remote.add_to(app)
    app.add_typer(settings_table.app, name="settings")
    return app


def call(app: typer.Typer, *arguments: str, url: str = "") -> Result:
    return CliRunner().invoke(app, list(arguments), env={"PENSTOCK_URL": url or None})


def test_status_is_a_table_for_people_and_json_for_scripts(penstock: typer.Typer, training: Sidecar) -> None:
    shown = call(penstock, "status", url=training.url)
    assert shown.exit_code == 0
    assert "test: training, step" in shown.output
    assert json.loads(call(penstock, "status", "--json", url=training.url).output)["name"] == "test"


def test_create_waits_and_prints_the_checkpoint(penstock: typer.Typer, training: Sidecar) -> None:
    created = call(penstock, "checkpoints", "create", "--label", "a", url=training.url)
    assert created.exit_code == 0
    assert created.output.startswith("e000001-s")


def test_failed_operation_exits_1_with_its_reason(penstock: typer.Typer, training: Sidecar) -> None:
    refused = call(penstock, "checkpoints", "create", "--label", "impossible", url=training.url)
    assert (refused.exit_code, refused.stderr) == (1, "penstock: disk full\n")
    missing = call(penstock, "checkpoints", "show", "e000009-s000000009", url=training.url)
    assert missing.exit_code == 1


def test_unreachable_service_exits_3(penstock: typer.Typer) -> None:
    answer = call(penstock, "pause", url="http://127.0.0.1:1")
    assert answer.exit_code == 3
    assert answer.stderr.startswith("penstock: no service at http://127.0.0.1:1")


def test_settings_show_masks_secrets_and_names_sources(penstock: typer.Typer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_SERVICE__TOKEN", "s3cret")
    shown = call(penstock, "settings", "show", "--json", "--set", "kafka.topic=cats")
    assert "s3cret" not in shown.output
    rows = {row["name"]: row for row in json.loads(shown.output)}
    assert (rows["kafka.topic"]["value"], rows["kafka.topic"]["source"]) == ("cats", "flag")
    assert (rows["service.token"]["source"], rows["service.port"]["source"]) == ("environment", "default")


def test_flags_nest_and_refuse_nonsense() -> None:
    assert flags_tree(["a.b=1", "a.c=x=y", "name=n"], host="h", port=1) == {
        "a": {"b": "1", "c": "x=y"}, "name": "n", "service": {"host": "h", "port": 1}
    }  # fmt: skip
    for wrong in (["a"], ["=1"], ["a=1", "a.b=2"]):
        with pytest.raises(SettingsError, match="--set"):
            flags_tree(wrong)
