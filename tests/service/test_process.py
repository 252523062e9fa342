"""The process as the operating system sees it: start, signals, exit codes."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from service.cli import main
from streaming.checkpoints.store import MODEL_FILE
from tests.service.checkpoints import ledger_with, write
from tests.service.conftest import SCRIPTED_WORKER, eventually

SERVE = (
    "import sys; from service.server import serve; from streaming.settings_sources import load_settings;"
    "flags = {{'service': {{'port': 0, 'grace_s': {grace_s}}}, 'checkpoint': {{'directory': {directory!r}}}}};"
    "sys.exit(serve(load_settings(None, flags), command=[sys.executable, {worker!r}, {lives!r}]))"
)


@contextmanager
def process(directory: Path, lives: str, grace_s: float = 5) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A sidecar process and its address, as its log tells it."""
    code = SERVE.format(directory=str(directory / "run"), worker=str(SCRIPTED_WORKER), lives=lives, grace_s=grace_s)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as one:
        assert one.stdout is not None
        try:
            event = json.loads(one.stdout.readline())
            assert event["event"] == "http_listening"
            yield one, event["url"]
        finally:
            one.kill()


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True).stdout


def state(url: str) -> str:
    return str(httpx.get(f"{url}/v1/status").json()["state"])


def test_sigterm_shuts_down_and_exits_0(tmp_path: Path) -> None:
    with process(tmp_path, "well") as (one, url):
        assert httpx.get(f"{url}/livez").status_code == 200
        eventually(lambda: state(url) == "training")
        one.send_signal(signal.SIGTERM)
        output, _ = one.communicate(timeout=10)
        assert one.returncode == 0
        events = [json.loads(line) for line in output.splitlines()]
        assert [event["cause"] for event in events if event["event"] == "checkpoint_committed"] == ["final"]
        assert events[-1]["event"] == "worker_exited"


def test_import_of_service_app_loads_no_tensorflow_and_listening_needs_little() -> None:
    code = (
        "import sys, service.cli, service.server, streaming.settings; print(*sys.modules);"
        "import service.app, service.composition, service.remote; print(*sys.modules)"
    )
    before_listening, all_of_it = (set(line.split()) for line in run(code).splitlines())
    assert "uvicorn" in before_listening
    assert not before_listening & {"fastapi", "structlog", "numpy", "httpx", "prometheus_client"}
    assert "fastapi" in all_of_it
    assert not all_of_it & {"tensorflow", "keras", "tensorflow_io", "kafka"}


def test_wrong_setting_is_one_line_and_exit_2() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "service", "--set", "kafka.topci=x"], capture_output=True, text=True, timeout=30
    )
    expected = 2, "", "penstock: kafka.topci: unknown setting\n"
    assert (answer.returncode, answer.stdout, answer.stderr) == expected


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["--set", "pipeline.batch_size=none"], 2, "pipeline.batch_size"),
        (["--set", "nonsense"], 2, "--set nonsense"),
        (["--config", "/missing.toml"], 2, "/missing.toml"),
        (["--host", "203.0.113.1"], 1, "can't listen on 203.0.113.1:8080"),
    ],
)
def test_what_cannot_work_is_one_line(
    arguments: list[str], code: int, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit:
        main(["serve", *arguments])
    assert exit.value.code == code
    line = capsys.readouterr().err
    assert named in line
    assert line.count("\n") == 1


@pytest.mark.parametrize("work", ["verify", "restore"])
def test_sigterm_does_not_wait_for_a_disk_that_hangs(tmp_path: Path, work: str) -> None:
    identifier, _ = write(tmp_path / "run", ledger_with(trained=range(10)), ledger_with(trained=range(20)))
    model = tmp_path / "run" / identifier / MODEL_FILE
    with process(tmp_path, "well") as (one, url):
        eventually(lambda: state(url) == "training")
        model.unlink()
        os.mkfifo(model)  # who opens it waits for ever
        asked = httpx.post(f"{url}/v1/checkpoints/{identifier}/{work}", json={"accept_loss": True})
        eventually(lambda: httpx.get(url + asked.headers["location"]).json()["state"] == "running")
        one.send_signal(signal.SIGTERM)
        if work == "restore":
            eventually(lambda: state(url) == "stopped")
            one.send_signal(signal.SIGTERM)  # it is waited for, but not after a second signal
        output, _ = one.communicate(timeout=4)
        assert one.returncode == 0
        assert "operation_left_to_the_next_service" in output
    model.unlink()
    with process(tmp_path, "well") as (_, url):
        where = url + asked.headers["location"]
        ended = eventually(lambda: (body := httpx.get(where).json())["state"] == "failed" and body)
        assert ended["problem"]["type"] == "urn:penstock:problem:checkpoint-damaged"


def test_restore_that_hangs_is_left_at_the_end_of_the_grace_time(tmp_path: Path) -> None:
    identifier, _ = write(tmp_path / "run", ledger_with(trained=range(10)), ledger_with(trained=range(20)))
    model = tmp_path / "run" / identifier / MODEL_FILE
    with process(tmp_path, "well", grace_s=1) as (one, url):
        eventually(lambda: state(url) == "training")
        model.unlink()
        os.mkfifo(model)
        asked = httpx.post(f"{url}/v1/checkpoints/{identifier}/restore", json={"accept_loss": True})
        eventually(lambda: httpx.get(url + asked.headers["location"]).json()["state"] == "running")
        one.send_signal(signal.SIGTERM)
        one.communicate(timeout=6)
        assert one.returncode == 0
