"""A process that yields the cores does so however the kernel shares them out."""

import subprocess
import sys

CODE = """
import os
from pathlib import Path
from streaming.parent import yield_the_cores
yield_the_cores(7)
group = Path("/proc/self/autogroup")
print(os.nice(0), group.read_text().split()[-1] if group.exists() else 7)
"""


def test_the_nice_value_is_the_process_and_its_sessions() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, timeout=30, check=True, start_new_session=True
    )
    assert done.stdout.split() == ["7", "7"]
