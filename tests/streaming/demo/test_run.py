import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Broker


@pytest.mark.kafka
@pytest.mark.tf
def test_ctrl_c_ends_every_child(kafka: Broker, tmp_path: Path) -> None:
    directory = tmp_path / "run"
    command = [sys.executable, "-m", "streaming", "demo", "--bootstrap-servers", kafka.bootstrap_servers]
    with subprocess.Popen([*command, "--directory", str(directory)], stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        assert any("training" in line for line in demo.stdout)
        assert _processes_that_name(directory), "service and producer run"
        demo.send_signal(signal.SIGINT)
        rest = demo.stdout.read()
    assert demo.returncode == 130, rest
    assert "stopping everything" in rest
    assert _processes_that_name(directory) == []


def _processes_that_name(directory: Path) -> list[str]:
    """Command lines of the processes whose environment holds this folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(directory).encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue  # it ended, or isn't ours
    return found
