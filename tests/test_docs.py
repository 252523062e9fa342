"""What the documents say is what the code does: settings, routes, metrics, problems, commands, files."""

import re
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from service import cli, remedies, remote, settings_table
from streaming.demo.cli import app as streaming_app
from streaming.doctor.cli import app as doctor
from streaming.settings_tree import APPLIES
from tests.docs import (
    CONTRACT,
    PACKAGES,
    README,
    ROOT,
    RUNBOOK,
    blocks,
    contract,
    http_problem_types,
    modules,
    problem_types,
    with_blocks,
)

MOST_BYTES = 300_000
THREATS = ROOT / "ops" / "threats.md"
OTHERS = [ROOT / "CHANGELOG.md", ROOT / "ops" / "README.md", *(package / "README.md" for package in PACKAGES)]
PAGES = [README, RUNBOOK, THREATS, *OTHERS]


def test_tables_of_settings_routes_and_metrics_are_those_of_the_code() -> None:
    written = README.read_text()
    assert written == with_blocks(written, blocks()), "run python -m tests.docs"


def test_the_committed_contract_is_what_the_service_offers() -> None:
    assert CONTRACT.read_text() == contract(), "run python -m tests.docs; callers rely on what was there"


def test_every_problem_is_in_the_runbook_and_has_remedies_and_no_other() -> None:
    explained = set(re.findall(r"^### ([a-z-]+)$", RUNBOOK.read_text(), re.MULTILINE))
    assert explained == problem_types() == set(remedies._REMEDIES)


def test_every_refusal_over_http_is_in_the_runbook() -> None:
    text = RUNBOOK.read_text()
    assert [slug for slug in sorted(http_problem_types()) if f"`{slug}`" not in text] == []


def test_every_threat_has_a_test_that_exists() -> None:
    rows = [line for line in THREATS.read_text().splitlines() if line.startswith("| ") and "---" not in line]
    threats = [row for row in rows if not row.startswith("| wants to |")]
    assert len(threats) > 20
    for row in threats:
        file, named = "", re.findall(r"`([\w/]*\.py)?(?:::(test_\w+))?`", row.split(" | ")[-1])
        assert named, row
        for path, test in named:
            file = path or file
            text = (ROOT / "tests" / file).read_text()
            assert not test or f"def {test}(" in text, f"{file}::{test}"


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_every_module_is_on_the_map_of_its_package(package: Path) -> None:
    written = set(re.findall(r"^- `([^`]+\.py)`: ", (package / "README.md").read_text(), re.MULTILINE))
    assert written == {str(file.relative_to(package)) for file in modules(package)}, "run python -m tests.docs"


@pytest.mark.parametrize("page", [README, RUNBOOK, THREATS], ids=lambda page: page.name)
def test_every_command_shown_exists_with_its_options(page: Path) -> None:
    fenced = "".join(re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL))
    shown = re.findall(r"^(?:\w+=\S+ )?penstock (.+)", fenced, re.MULTILINE)
    shown += re.findall(r"`penstock ([^`\n]+)`", page.read_text())
    assert shown
    root = commands()
    for words in map(str.split, shown):
        command, rest = root, words
        while rest and isinstance(command, TyperGroup):
            assert rest[0] in command.commands, f"penstock {' '.join(words)}"
            command, rest = command.commands[rest[0]], rest[1:]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in rest if word.startswith("--")} <= options | {"--help"}, f"penstock {' '.join(words)}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_setting_named_exists(page: Path) -> None:
    groups = {name.partition(".")[0] for name in APPLIES if "." in name}
    named = re.findall(rf"`((?:{'|'.join(groups)})\.[a-z_]+)(?: = [^`]+)?`", page.read_text())
    others = {f"{group}.{suffix}" for group in groups for suffix in ("py", "json")} | {"model.fit"}
    assert set(named) - APPLIES.keys() - others == set()


def commands() -> TyperGroup:
    """The whole command line; `produce`, `demo` and `doctor` are passed on to the other package."""
    app = typer.Typer()
    remote.add_to(app)
    app.add_typer(settings_table.app, name="settings")
    groups = [typer.main.get_command(each) for each in (cli.app, app, streaming_app)]
    assert all(isinstance(group, TyperGroup) for group in groups)
    found = {name: command for group in groups for name, command in group.commands.items()}
    return TyperGroup(commands=found | {"doctor": typer.main.get_command(doctor)})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if "://" in target:
            continue
        name, _, heading = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), target
        headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE) if heading else []
        assert not heading or heading in {re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in headings}


def test_pictures_are_small() -> None:
    pictures = list((ROOT / "ops" / "pictures").iterdir())
    assert [picture.name for picture in pictures if picture.stat().st_size > MOST_BYTES] == []
    assert all(f"ops/pictures/{picture.name}" in README.read_text() for picture in pictures)
