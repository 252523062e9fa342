import os
import select
import signal
import subprocess
import sys
from pathlib import Path

from streaming.demo.child import log_tail, start_child, stop_child


def test_output_and_errors_go_to_their_files(tmp_path: Path) -> None:
    log, output = tmp_path / "log", tmp_path / "output"
    script = "import os, sys; print('result'); print('trouble', file=sys.stderr); sys.exit(os.nice(0))"
    child = start_child([sys.executable, "-c", script], log=log, output=output, niceness=7)
    assert child.wait(20) == 7
    assert (log.read_text(), output.read_text()) == ("trouble\n", "result\n")


def test_a_child_has_a_session_of_its_own(tmp_path: Path) -> None:
    child = start_child(["sleep", "60"], log=tmp_path / "log")
    try:
        assert os.getsid(child.pid) == child.pid
    finally:
        assert stop_child(child, 10) == -signal.SIGTERM


def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    script = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    child = start_child([sys.executable, "-c", script], log=tmp_path / "log")
    deaf = _until(lambda: "deaf" in log_tail(tmp_path / "log"), child)
    assert deaf
    assert stop_child(child, 0.1) == -signal.SIGKILL


def test_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    script = (
        "import pathlib, sys; from streaming.demo.child import start_child\n"
        "child = start_child(['sleep', '60'], log=pathlib.Path(sys.argv[1]))\n"
        "print(child.pid, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "log")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
    try:
        assert select.select([child], [], [], 10)[0], "the pidfd becomes readable when the child has ended"
    finally:
        os.close(child)


def test_a_log_tail_leaves_out_stack_frames(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("first\nsecond\n\tat kafka.Kafka.main(Kafka.scala)\n\nthird\n")
    assert log_tail(log, lines=2) == "second\nthird"
    assert log_tail(tmp_path / "none") == ""


def _until(condition: object, child: subprocess.Popen[bytes]) -> bool:
    """Whether the condition comes true within 20 s, while the child lives."""
    assert callable(condition)
    for _ in range(400):
        if condition():
            return True
        try:
            child.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        return bool(condition())
    return False
