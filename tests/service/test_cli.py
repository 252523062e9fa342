"""The command line against a running service."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from service import remote, settings_table
from streaming.errors import SettingsError
from streaming.flags import flags_tree
from tests.service.checkpoints import ledger_with, write
from tests.service.conftest import Sidecar, SidecarFactory


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


def test_a_script_gets_the_problem_details_of_a_refusal(penstock: typer.Typer, training: Sidecar) -> None:
    for arguments, slug in (
        (["show", "e000009-s000000009"], "checkpoint-not-found"),
        (["create", "--label", "impossible"], "save-failed"),
    ):
        refused = call(penstock, "checkpoints", *arguments, "--json", url=training.url)
        assert refused.exit_code == 1
        assert json.loads(refused.stdout)["type"] == f"urn:penstock:problem:{slug}"


def test_checkpoints_and_dead_letters_are_steered_from_the_command_line(
    penstock: typer.Typer, sidecar: SidecarFactory, tmp_path: Path
) -> None:
    ledger = ledger_with(trained=range(10), dead_lettered=[10])
    (identifier,) = write(tmp_path / "run", ledger)
    one = sidecar("well")
    one.reach("training")
    assert call(penstock, "checkpoints", "verify", identifier, url=one.url).output == "verified\n"
    told = call(penstock, "checkpoints", "restore", identifier, "--dry-run", url=one.url)
    assert "0 records would be trained again" in told.output
    restored = call(penstock, "checkpoints", "restore", identifier, "--accept-loss", url=one.url)
    assert restored.exit_code == 0
    listed = json.loads(call(penstock, "dead-letters", "list", "--json", url=one.url).output)
    assert listed["checkpoint_id"] == restored.output.strip()
    assert "unknown: 1" in call(penstock, "dead-letters", "list", url=one.url).output
    requeued = call(penstock, "dead-letters", "requeue", "--partition", "0", "--before", "11", url=one.url)
    assert requeued.output == "1 records are owed again\n"
    refused = call(penstock, "dead-letters", "requeue", url=one.url)
    assert refused.exit_code == 1
    assert "give reason, partitions or before" in refused.stderr


def test_export_prints_its_folder(penstock: typer.Typer, sidecar: SidecarFactory, tmp_path: Path) -> None:
    (identifier,) = write(tmp_path / "run", ledger_with(trained=range(10)))
    one = sidecar("well", errands="well,refuses")
    done = call(penstock, "checkpoints", "export", identifier, url=one.url)
    (made,) = (tmp_path / "exports").iterdir()
    assert (done.exit_code, done.output) == (0, f"{made}\n")
    failed = call(penstock, "checkpoints", "export", identifier, url=one.url)
    assert (failed.exit_code, failed.stderr) == (1, "penstock: model.build = a:b: no such thing\n")


def test_problem_is_answered_from_the_command_line(penstock: typer.Typer, sidecar: SidecarFactory) -> None:
    one = sidecar("fails,well")
    one.reach("failed")
    assert (
        "penstock problems resolve records-all-bad continue" in call(penstock, "problems", "list", url=one.url).output
    )
    assert "penstock problems list" in call(penstock, "resume", url=one.url).output
    wrong = call(penstock, "problems", "resolve", "records-all-bad", "accept", url=one.url)
    assert (wrong.exit_code, "valid: continue" in wrong.stderr) == (1, True)
    answered = call(penstock, "problems", "resolve", "records-all-bad", "continue", url=one.url)
    assert answered.output.startswith("records-all-bad: continue, now ")
    one.reach("training")


def test_work_that_nobody_waited_for_is_followed_by_its_id(penstock: typer.Typer, training: Sidecar) -> None:
    left = call(penstock, "checkpoints", "create", "--label", "later", "--no-wait", url=training.url)
    assert left.exit_code == 0
    follow = left.output.strip().partition(": penstock ")[2].split()
    training.operation(training.http.post("/v1/checkpoints", json={"label": "later"}))
    shown = call(penstock, *follow, url=training.url)
    assert "succeeded" in shown.output
    assert "result.checkpoint_id" in shown.output
    listed = json.loads(call(penstock, "operations", "list", "--json", url=training.url).output)
    assert follow[-1] in {each["id"] for each in listed["operations"]}


def test_diff_tells_what_was_trained_between_two_checkpoints(
    penstock: typer.Typer, sidecar: SidecarFactory, tmp_path: Path
) -> None:
    older, newer = write(tmp_path / "run", ledger_with(trained=range(10)), ledger_with(trained=range(25)))
    one = sidecar("well")
    told = call(penstock, "checkpoints", "diff", older, "--to", newer, url=one.url)
    assert told.output.splitlines()[1].split() == ["pets", "0", "trained", "10", "25"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["checkpoints", "show", ".."], 2, "'..' is no id"),
        (["checkpoints", "show", ""], 2, "'' is no id"),
        (["checkpoints", "show", "?limit=1"], 1, "no checkpoint ?limit=1"),
        (["checkpoints", "create", "--label", "\udcff"], 2, "isn't text in UTF-8"),
        (["settings", "set", "model.learning_rate=nan"], 1, "model.learning_rate: "),
    ],
)
def test_what_can_not_be_meant_is_one_line(
    penstock: typer.Typer, training: Sidecar, arguments: list[str], code: int, said: str
) -> None:
    answer = call(penstock, *arguments, url=training.url)
    assert (answer.exit_code, said in answer.stderr) == (code, True), answer.stderr


@pytest.mark.parametrize("url", ["service:8080", "localhost", "http://[::1"])
def test_an_address_that_is_none_exits_2(penstock: typer.Typer, url: str) -> None:
    answer = call(penstock, "status", url=url)
    assert (answer.exit_code, "must look like http://host:port" in answer.stderr) == (2, True), answer.stderr


def test_unreachable_service_exits_3(penstock: typer.Typer) -> None:
    answer = call(penstock, "pause", url="http://127.0.0.1:1")
    assert answer.exit_code == 3
    assert answer.stderr.startswith("penstock: no service at http://127.0.0.1:1")


def test_settings_show_masks_secrets_and_names_sources(penstock: typer.Typer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_SERVICE__TOKEN", "s3cret")
    shown = call(penstock, "settings", "show", "--json", "--set", "kafka.topic=cats")
    assert "s3cret" not in shown.output
    rows = {row["name"]: row for row in json.loads(shown.output)["settings"]}
    assert (rows["kafka.topic"]["value"], rows["kafka.topic"]["source"]) == ("cats", "flag")
    assert (rows["service.token"]["source"], rows["service.port"]["source"]) == ("environment", "default")


def test_live_settings_are_set_shown_and_reset_from_the_command_line(
    penstock: typer.Typer, sidecar: SidecarFactory
) -> None:
    one = sidecar("well")
    one.reach("training")
    changed = call(penstock, "settings", "set", "model.learning_rate=0.01", "service.log_level=warning", url=one.url)
    assert [line.split()[:3] for line in changed.output.splitlines()[1:]] == [
        ["model.learning_rate", "0.01", "api"], ["service.log_level", "warning", "api"]
    ]  # fmt: skip
    asked = call(penstock, "settings", "show", "--json", "--url", one.url)
    rows = {row["name"]: row for row in json.loads(asked.output)["settings"]}
    assert (rows["model.learning_rate"]["value"], rows["name"]["value"]) == (0.01, "test")
    assert call(penstock, "settings", "reset", "model.learning_rate", url=one.url).output.split()[5:8] == [
        "model.learning_rate", "0.003", "default"
    ]  # fmt: skip
    refused = call(penstock, "settings", "set", "kafka.topic=b", url=one.url)
    assert (refused.exit_code, "applies at a new run" in refused.stderr) == (1, True)
    assert call(penstock, "settings", "set", "kafka.topic", url=one.url).exit_code == 2


def test_flags_nest_and_refuse_nonsense() -> None:
    assert flags_tree(["a.b=1", "a.c=x=y", "name=n"], host="h", port=1) == {
        "a": {"b": "1", "c": "x=y"}, "name": "n", "service": {"host": "h", "port": 1}
    }  # fmt: skip
    for wrong in (["a"], ["=1"], ["a=1", "a.b=2"]):
        with pytest.raises(SettingsError, match="--set"):
            flags_tree(wrong)


def test_adapt_names_what_begins_anew_and_prints_the_checkpoint(
    penstock: typer.Typer, sidecar: SidecarFactory, tmp_path: Path
) -> None:
    (identifier,) = write(tmp_path / "run", ledger_with(trained=range(10)))
    one = sidecar("well", errands="well,well,misfits")
    one.reach("training")
    adapt = ("checkpoints", "adapt", identifier, "--init", "head/*")
    dry = call(penstock, *adapt, "--dry-run", url=one.url)
    assert dry.output == "begins anew: head/*\nnothing was done: 7 variables kept, 1 begin anew\n"
    done = call(penstock, *adapt, url=one.url)
    newest = one.http.get("/v1/checkpoints").json()["checkpoints"][0]
    assert (newest["cause"], done.output) == ("adapt", f"{newest['id']}: 7 variables kept, 1 begin anew\n")
    failed = call(penstock, *adapt, url=one.url)
    assert (failed.exit_code, "variable head/kernel: another" in failed.stderr) == (1, True)


def test_new_run_prints_where_the_checkpoints_are(
    penstock: typer.Typer, sidecar: SidecarFactory, tmp_path: Path
) -> None:
    write(tmp_path / "run", ledger_with(trained=range(10)))
    one = sidecar("well")
    one.reach("training")
    dry = call(penstock, "new-run", "--dry-run", url=one.url)
    assert dry.output.startswith("1 checkpoints (")
    assert "kafka.start = earliest" in dry.output
    done = call(penstock, "new-run", url=one.url)
    (made,) = (tmp_path / "run" / ".archive").iterdir()
    assert (done.exit_code, done.output) == (0, f"{made}\n")
    assert "no checkpoint" in call(penstock, "new-run", url=one.url).output


@pytest.mark.parametrize(("typed", "wanted"), [("penstock ch", "checkpoints"), ("penstock checkpoints re", "restore")])
def test_the_shell_completes_commands(typed: str, wanted: str) -> None:
    asked = {"_PENSTOCK_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    command = [str(Path(sys.executable).with_name("penstock"))]
    done = subprocess.run(command, env=os.environ | asked, capture_output=True, text=True, timeout=60, check=True)
    assert wanted in done.stdout.split()
