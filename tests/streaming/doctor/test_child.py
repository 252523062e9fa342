"""The examination's process may hang, die or say it all: there is a finding for each check in any case."""

import sys
from pathlib import Path

from streaming.doctor.child import examine
from streaming.doctor.disk import check_room
from streaming.doctor.examination import WITHIN_S
from streaming.doctor.finding import Finding, Verdict
from streaming.settings import parse_settings

BEGIN = """
import json, os, signal, sys
asked = json.loads(sys.stdin.readline())
out = int(sys.argv[-1])
def say(**line): os.write(out, json.dumps(line).encode() + b"\\n")
def ok(check): say(finding={"check": check, "verdict": "ok", "detail": asked["settings"]["name"], "remedy": None})
"""


def findings(tmp_path: Path, script: str) -> dict[str, Finding]:
    file = tmp_path / "child.py"
    file.write_text(BEGIN + script)
    settings = parse_settings({"name": "mine"})
    found = list(examine(settings, [(0, 1, 2)], command=(sys.executable, str(file))))
    assert sorted(each.check for each in found) == sorted(WITHIN_S)
    return {each.check: each for each in found}


def test_each_finding_of_a_child_that_comes_to_its_end_is_passed_on(tmp_path: Path) -> None:
    found = findings(tmp_path, f"for check in {list(WITHIN_S)}: say(begins=check, within_s=9); ok(check)")
    assert {each.verdict for each in found.values()} == {Verdict.OK}
    assert {each.detail for each in found.values()} == {"mine"}


def test_a_check_that_hangs_is_ended_and_told_with_the_rest_left_out(tmp_path: Path) -> None:
    script = 'ok("tensorflow"); ok("model"); say(begins="reader", within_s=0.2); signal.pause()'
    found = findings(tmp_path, script)
    assert found["reader"].verdict is Verdict.FAILED
    assert "kafka.reader = confluent" in str(found["reader"].remedy)
    assert {found[check].verdict for check in ("decode", "batch", "room")} == {Verdict.SKIPPED}


def test_a_check_that_kills_its_process_is_told_with_the_last_words(tmp_path: Path) -> None:
    script = """
ok("tensorflow"); say(begins="model", within_s=9); print("free(): invalid pointer", file=sys.stderr, flush=True)
os.kill(os.getpid(), signal.SIGSEGV)
"""
    found = findings(tmp_path, script)
    assert found["tensorflow"].verdict is Verdict.OK
    assert (found["model"].verdict, found["model"].detail) == (
        Verdict.FAILED,
        "the process died of it (signal SIGSEGV): …free(): invalid pointer",
    )
    assert found["batch"].verdict is Verdict.SKIPPED


def test_a_child_that_gives_up_in_good_order_leaves_the_rest_unchecked(tmp_path: Path) -> None:
    found = findings(tmp_path, 'ok("tensorflow"); say(begins="model", within_s=9); ok("model")')
    assert found["reader"].verdict is Verdict.SKIPPED


def test_room_for_checkpoints_is_compared_with_what_is_kept(tmp_path: Path) -> None:
    settings = parse_settings({"checkpoint": {"directory": str(tmp_path)}, "evaluation": {"fraction": 0}})
    assert check_room(settings, 1000).verdict is Verdict.OK
    assert check_room(settings, 1 << 60).verdict is Verdict.FAILED
