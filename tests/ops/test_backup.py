"""The runbook's backup: its commands, run while it trains, make a folder from which the training goes on exactly."""

import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Broker, TopicFactory
from tests.docs import RUNBOOK
from tests.line.line import Service, produce, record, settled

pytestmark = [
    pytest.mark.ops,
    pytest.mark.kafka,
    pytest.mark.tf,
    pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync isn't there: Debian's rsync"),
]
VANISHED = 24  # rsync's code when a file went away meanwhile


def commands() -> str:
    chapter = RUNBOOK.read_text().partition("### Back up and restore checkpoints\n")[2].partition("\n#")[0]
    (block,) = re.findall(r"```sh\n(.*?)```", chapter, re.DOTALL)
    return str(block)


def test_from_a_copy_made_while_it_trains_it_goes_on_and_nothing_is_lost_or_repeated(
    kafka: Broker, topic: TopicFactory, tmp_path: Path
) -> None:
    name, folder = topic(2), tmp_path / "checkpoints" / "pets"
    produced = produce(kafka.bootstrap_servers, name, [record(number) for number in range(400)], 2)
    settings = {"checkpoint.directory": folder, "checkpoint.keep": 1}  # so that some vanish during the copy
    (tmp_path / "backup").mkdir()
    with Service(tmp_path, kafka.bootstrap_servers, name, settings) as service:
        service.until(lambda status: settled(status) >= 50)
        service.checkpoint()
        done = subprocess.run(["bash", "-c", commands()], cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode in (0, VANISHED), done.stderr
        produced += produce(kafka.bootstrap_servers, name, [record(number) for number in range(100)], 2)
        service.settled(produced)
        assert service.signal(signal.SIGTERM) == 0

        folder.rename(tmp_path / "lost")
        (backup,) = (tmp_path / "backup").iterdir()
        backup.rename(folder)
        service.start()
        status = service.settled(produced)
        assert settled(status) == status["records"]["trained"] + status["records"]["held_out"] == produced
        assert status["problems"] == []
        restored = service.events("restored")[-1]
        assert restored["step"] > 0
        assert sum(restored["positions"].values()) <= 400  # the copy's, not what came later
        assert service.signal(signal.SIGTERM) == 0
