"""Exports over HTTP, with real checkpoints and a real process that writes a model of a few bytes."""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.exports import MANIFEST, Exports
from service.folder import ServiceFolder
from streaming.checkpoints.durable import TEMPORARY
from streaming.checkpoints.store import MODEL_FILE, CheckpointStore
from tests.service.conftest import Sidecar, SidecarFactory, eventually
from tests.service.test_http import assert_problem
from tests.streaming.checkpoints.disks import FailingDisk, flip


@pytest.fixture
def exports(tmp_path: Path) -> Path:
    return tmp_path / "exports"


def export(one: Sidecar, identifier: str, **headers: str) -> httpx.Response:
    return one.http.post(f"/v1/checkpoints/{identifier}/export", headers=headers)


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir()) if folder.exists() else []


def errands(tmp_path: Path) -> int:
    """How many processes there were."""
    return (tmp_path / "errands").stat().st_size if (tmp_path / "errands").exists() else 0


def test_export_is_a_numbered_folder_that_tells_its_checkpoint(
    sidecar: SidecarFactory, run: Path, exports: Path, line: list[str]
) -> None:
    one = sidecar("well")
    before = one.reach("training")
    done = [one.operation(export(one, identifier)) for identifier in (line[1], line[0])]
    assert [each["kind"] for each in done] == ["export", "export"]
    numbers = [each["result"]["number"] for each in done]
    assert numbers[0] < numbers[1]
    assert names(exports) == [str(number) for number in numbers]
    for which, position, number in ((1, 20, numbers[0]), (0, 10, numbers[1])):
        folder = exports / str(number)
        assert names(folder) == ["assets.extra", "saved_model.pb", "variables"]
        assert (folder / "variables" / "weights").read_text() == f"weights {which}"
        told = json.loads((folder / MANIFEST).read_text())
        assert (told["checkpoint_id"], told["positions"], told["classes"]) == (line[which], {"0": position}, 3)
    assert done[0]["result"]["directory"] == str(exports / str(numbers[0]))
    after = one.status()
    assert (after["worker"]["pid"], after["state"]) == (before["worker"]["pid"], "training")
    assert after["step"] > before["step"]
    assert not (run / ".service" / "export").exists()


def test_export_of_none_or_a_damaged_one_is_refused(
    sidecar: SidecarFactory, tmp_path: Path, run: Path, exports: Path, line: list[str]
) -> None:
    one = sidecar("well")
    assert_problem(export(one, "e000009-s000000009"), 404, "checkpoint-not-found")
    flip(run / line[0] / MODEL_FILE)
    failed = one.operation(export(one, line[0]))
    assert failed["problem"]["type"] == "urn:penstock:problem:checkpoint-damaged"
    assert MODEL_FILE in failed["problem"]["detail"]
    assert_problem(export(one, line[0]), 409, "checkpoint-damaged")
    assert (errands(tmp_path), names(exports)) == (0, [])


@pytest.mark.parametrize(
    ("errand", "slug", "detail"),
    [
        ("refuses", "user-code-failed", "model.build = a:b: no such thing"),
        ("stumbles", "export-failed", "OSError: no space left"),
        ("dies", "export-failed", "its process ended with exit code 3: terminate called"),
        ("crashes", "export-failed", "its process ended with signal SIGSEGV"),
        ("mumbles", "export-failed", "its process ended with exit code 0"),
        ("deaf", "export-failed", "its process ended with exit code 3"),
    ],
)
def test_what_goes_wrong_is_told_and_leaves_no_number(
    sidecar: SidecarFactory, exports: Path, line: list[str], errand: str, slug: str, detail: str
) -> None:
    one = sidecar("well", errands=f"{errand},well")
    failed = one.operation(export(one, line[1]))
    assert (failed["problem"]["type"], failed["problem"]["detail"]) == (f"urn:penstock:problem:{slug}", detail)
    assert [name for name in names(exports) if not name.startswith(TEMPORARY)] == []
    number = one.operation(export(one, line[1]))["result"]["number"]
    assert names(exports) == [str(number)]


def test_export_that_takes_too_long_is_killed(sidecar: SidecarFactory, line: list[str]) -> None:
    one = sidecar("well", errands="silent", errand_s=0.5)
    failed = one.operation(export(one, line[1]))
    assert failed["problem"]["detail"] == "its process was killed after 0.5 s, export.timeout_s"


def test_folder_that_cannot_be_used_is_named(sidecar: SidecarFactory, exports: Path, line: list[str]) -> None:
    exports.write_text("a file is in the way")
    one = sidecar("well")
    failed = one.operation(export(one, line[1]))
    assert failed["problem"]["type"] == "urn:penstock:problem:export-failed"
    assert str(exports) in failed["problem"]["detail"]


def test_restore_waits_for_no_export_and_takes_no_model_from_it(
    sidecar: SidecarFactory, run: Path, exports: Path, line: list[str]
) -> None:
    one = sidecar("well", errands="silent")
    where = export(one, line[0]).headers["location"]
    eventually(lambda: [each for each in exports.glob(f"{TEMPORARY}*/variables/weights") if each.stat().st_size])
    made = one.operation(one.http.post(f"/v1/checkpoints/{line[1]}/restore"))["result"]["checkpoint_id"]
    assert one.http.get(where).json()["state"] == "running"
    assert not one.http.get(f"/v1/checkpoints/{line[0]}").json()["pinned"]
    assert one.http.delete(f"/v1/checkpoints/{line[0]}").status_code == 204
    assert (run / ".service" / "export" / MODEL_FILE).read_bytes() == b"weights 0"
    assert made > line[1]


def test_export_cut_short_by_the_end_of_the_service_is_begun_again(
    sidecar: SidecarFactory, tmp_path: Path, exports: Path, line: list[str]
) -> None:
    one = sidecar("well", errands="silent")
    asked = export(one, line[1])
    eventually(lambda: list(exports.glob(f"{TEMPORARY}*/variables")))
    one.stop()
    again = sidecar("well", errands="well")
    number = again.operation(asked)["result"]["number"]
    assert names(exports) == [str(number)]
    assert errands(tmp_path) == 2


def test_export_that_was_made_before_the_service_was_killed_is_made_once(
    sidecar: SidecarFactory, tmp_path: Path, run: Path, exports: Path, line: list[str]
) -> None:
    number = made(exports, "op")
    unfinished(run, line[1], number)
    one = sidecar("well")
    ended = eventually(lambda: (body := one.http.get("/v1/operations/op").json())["state"] == "succeeded" and body)
    assert ended["result"] == {"number": number, "directory": str(exports / str(number))}
    assert errands(tmp_path) == 0
    unfinished(run, line[1], made(exports, "another's"))
    again = sidecar_again(one, sidecar)
    eventually(lambda: again.http.get("/v1/operations/op").json()["state"] == "succeeded")
    assert (errands(tmp_path), len(names(exports))) == (1, 3)


def test_export_that_ends_the_service_each_time_is_given_up(
    sidecar: SidecarFactory, tmp_path: Path, run: Path, line: list[str]
) -> None:
    unfinished(run, line[1], None, attempts=3)
    one = sidecar("well")
    ended = eventually(lambda: (body := one.http.get("/v1/operations/op").json())["state"] == "failed" and body)
    assert "begun 3 times" in ended["problem"]["detail"]
    assert errands(tmp_path) == 0


def test_number_is_above_all_that_were_ever_there_and_leftovers_go(tmp_path: Path) -> None:
    exports = Exports(tmp_path / "exports")
    assert exports.begin(1000.9) == 1000
    exports.commit(1000, {})
    (tmp_path / "exports" / "5000").mkdir()
    (tmp_path / "exports" / "notes.txt").write_text("not ours")
    assert exports.begin(1001.0) == 5001
    exports.temporary(5001).joinpath("half").write_text("of a model")
    (tmp_path / "exports" / "5000").rmdir()
    assert exports.begin(2000.0) == 2000
    assert names(tmp_path / "exports") == [f"{TEMPORARY}2000", "1000", "notes.txt"]
    assert names(exports.temporary(2000)) == []


def test_at_whatever_step_the_disk_fails_the_export_is_whole_or_absent(tmp_path: Path) -> None:
    def attempt(failing: int, after: bool) -> bool:
        folder = tmp_path / f"{failing} {after}"
        folder.mkdir()
        disk = FailingDisk(failing, OSError(5, "bad disk"), after)
        exports = Exports(folder, disk)
        number = exports.begin(7.0)
        (exports.temporary(number) / "variables").mkdir()
        (exports.temporary(number) / "variables" / "weights").write_text("w")
        try:
            exports.commit(number, {"operation": "op"})
        except OSError:
            assert exports.made_by("op", number) is None
            assert [name for name in names(folder) if not name.startswith(".")] == []
            return False
        assert names(folder) == ["7"]
        assert (folder / "7" / "variables" / "weights").read_text() == "w"
        return exports.made_by("op", 7) == folder / "7" and exports.made_by("another", 7) is None

    steps = 1
    while not all(attempt(steps, after) for after in (False, True)):
        steps += 1
    assert steps == 8  # fine after two files, two folders, the whole; the move; the folder around it


def test_process_dies_with_the_service(tmp_path: Path, line: list[str]) -> None:
    pid = tmp_path / "pid"
    service = f"""
import asyncio, pathlib, sys
from service.errands import Errands
from streaming.control.errands import Export

script = "import os, pathlib, sys; from streaming.parent import die_with_parent; die_with_parent();" \\
    "pathlib.Path(sys.argv[1]).write_text(str(os.getpid())); sys.stdin.read(); __import__('signal').pause()"
errands = Errands([sys.executable, "-c", script, {str(pid)!r}], dict, 60)
asyncio.run(errands.run(Export(weights="w", directory="d")))
"""
    with subprocess.Popen([sys.executable, "-c", service]) as parent:
        child = int(eventually(lambda: pid.exists() and pid.read_text()))
        descriptor = os.pidfd_open(child)
        parent.send_signal(signal.SIGKILL)
    assert select.select([descriptor], [], [], 10)[0]
    os.close(descriptor)


def made(exports: Path, operation: str) -> int:
    """An export of some operation's."""
    one = Exports(exports)
    number = one.begin(1.0)
    one.commit(number, {"operation": operation})
    return number


def unfinished(run: Path, identifier: str, number: int | None, attempts: int = 1) -> None:
    """What a service that was killed has left of an operation `op`."""
    operation: dict[str, Any] = {
        "id": "op", "kind": "export", "state": "running", "created_at": "2026-11-23T10:00:00Z",
        "request": {"checkpoint_id": identifier},
    }  # fmt: skip
    folder = ServiceFolder(CheckpointStore(run))
    folder.create()
    kept = {"operation": operation, "progress": {"number": number, "attempts": attempts}}
    (folder.path / "operations.json").write_text(json.dumps([kept]))


def sidecar_again(one: Sidecar, sidecar: SidecarFactory) -> Sidecar:
    one.stop()
    return sidecar("well")
