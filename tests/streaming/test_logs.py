"""A worker's stdout: events, and nothing else."""

import json
import subprocess
import sys

WORKER = """
import logging, os, sys
import structlog
from streaming import logs

print("before, by nobody")
sys.stdout.flush()
logs.configure("info", "worker", logs.take_stdout())
structlog.get_logger().info("begun", number=1)
print("a user's model says hello")
os.write(1, b"and so does native code\\n")
logging.getLogger("keras").warning("a library warns")
structlog.get_logger().info("ended")
os._exit(0)
"""


def test_what_a_model_prints_goes_to_stderr_and_stdout_keeps_to_events() -> None:
    done = subprocess.run([sys.executable, "-c", WORKER], capture_output=True, text=True, timeout=60, check=True)
    first, *lines = done.stdout.splitlines()
    assert first == "before, by nobody"
    assert [json.loads(line)["event"] for line in lines] == ["begun", "a library warns", "ended"]
    assert done.stderr.splitlines() == ["a user's model says hello", "and so does native code"]
