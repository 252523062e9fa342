"""How much room the checkpoints' file system has, looked at on a thread: a mount that hangs must hold up no probe."""

import shutil
import threading
from pathlib import Path

from service.worker_view import WorkerView

LOOK_S = 15.0


class FreeSpace:
    """Keeps `view.free_bytes`; None while it can't be told."""

    def __init__(self, directory: Path, view: WorkerView, every_s: float = LOOK_S) -> None:
        self._directory = directory
        self._view = view
        self._every_s = every_s
        self._over = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._run, name="free-space", daemon=True).start()

    def stop(self) -> None:
        """The thread isn't waited for: it may hang with the mount."""
        self._over.set()

    def _run(self) -> None:
        while True:
            try:
                self._view.free_bytes = shutil.disk_usage(self._directory).free
            except OSError:
                self._view.free_bytes = None
            if self._over.wait(self._every_s):
                return
