"""Checkpoints put aside so that a training begins anew: `<directory>/.archive/<name>/`, a checkpoint directory itself.

Each is moved on its own, and a service may be killed in between: what is to be moved is written down first, and who
finds that finishes it before anything else is read or written. Nothing is removed.
"""

import json
from pathlib import Path

from streaming.checkpoints import evaluations, history
from streaming.checkpoints.disk import entries, os_errors
from streaming.checkpoints.durable import LOCAL, Files, make_directory, write_durably
from streaming.checkpoints.manifest import is_id

FOLDER = ".archive"
_SHARED = (evaluations.FOLDER, history.FOLDER)


class Archive:
    """For the one that holds the directory's lock, while no worker runs. plan: the file that says what is under way.

    Every call blocks.
    """

    def __init__(self, directory: Path, plan: Path, files: Files = LOCAL) -> None:
        self._directory = directory
        self._plan = plan
        self._files = files

    @property
    def folder(self) -> Path:
        """Of all archives."""
        return self._directory / FOLDER

    def path(self, name: str) -> Path:
        return self.folder / name

    def begin(self, name: str) -> None:
        """From now on `finish` moves everything there. Raises CheckpointError; then it may have begun all the same."""
        with os_errors("checkpoints can't be put aside"):
            write_durably(self._plan, json.dumps({"name": name}).encode(), self._files)

    def finish(self) -> None:
        """Move what a plan names, if there is one; done when this returns. Raises CheckpointError: ask again."""
        with os_errors("checkpoints can't be put aside"):
            if not self._plan.exists():
                return
            target = self.path(json.loads(self._plan.read_bytes())["name"])
            make_directory(target, self._files)
            for entry in entries(self._directory):
                if _ours(entry):
                    self._files.move(entry, target / entry.name)
            for folder in (target, self._directory):
                self._files.sync(folder)
            self._plan.unlink()
            self._files.sync(self._plan.parent)


def has_archive(directory: Path) -> bool:
    """An earlier training was put aside here: no accident, then, that nothing is left. Raises CheckpointError."""
    with os_errors("archives can't be listed"):
        return any(entry.is_dir() for entry in entries(directory / FOLDER))


def _ours(entry: Path) -> bool:
    """A checkpoint, its label, or what checkpoints share."""
    return is_id(entry.name) or (entry.suffix == ".json" and is_id(entry.stem)) or entry.name in _SHARED
