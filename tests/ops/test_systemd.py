"""The unit: systemd reads it, and says how much it leaves open."""

import re
import shutil
import subprocess

import pytest

from streaming.settings import Settings
from tests.docs import ROOT

UNIT = ROOT / "ops" / "systemd" / "penstock.service"
MOST_EXPOSED = 1.5  # of 10, as `systemd-analyze security` counts
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd isn't there")


@needs_systemd
def test_systemd_calls_it_well_confined() -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    (score,) = re.findall(r"Overall exposure level for penstock.service: ([\d.]+)", done.stdout)
    assert float(score) <= MOST_EXPOSED


@needs_systemd
def test_systemd_understands_every_line() -> None:
    command = ["systemd-analyze", "verify", "--man=no", str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    complaints = [
        line for line in done.stderr.splitlines() if "/opt/penstock/bin/penstock is not executable" not in line
    ]
    assert complaints == []


def test_it_is_given_time_for_its_last_checkpoint() -> None:
    (stop_s,) = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT.read_text(), re.MULTILINE)
    assert int(stop_s) >= Settings().service.grace_s + 10
