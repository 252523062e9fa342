"""Numbered SavedModel directories, `<folder>/<number>/`, as TensorFlow Serving watches them: whole, or not there."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from streaming.checkpoints.disk import entries
from streaming.checkpoints.durable import LOCAL, TEMPORARY, TRASH, Files, make_directory

MANIFEST = Path("assets.extra", "penstock.json")  # assets.extra: for what isn't the graph's, by TensorFlow's rules


class Exports:
    """One writer at a time. Every call blocks, and raises OSError."""

    def __init__(self, directory: Path, files: Files = LOCAL) -> None:
        self._directory = directory
        self._files = files

    def begin(self, now: float) -> int:
        """The number of the next one, with an empty `temporary`; what a killed export has left is removed.

        Greater than every number there is; also than those that were there and are gone, as it is the time. now: Unix
        time.
        """
        make_directory(self._directory, self._files)
        for each in entries(self._directory):
            if each.name.startswith((TEMPORARY, TRASH)):
                shutil.rmtree(each)
        number = max([int(now), *(number + 1 for number in self._numbers())])
        self.temporary(number).mkdir()
        return number

    def temporary(self, number: int) -> Path:
        """Where it is made: no server takes such a name for a number."""
        return self._directory.absolute() / f"{TEMPORARY}{number}"

    def commit(self, number: int, manifest: Mapping[str, Any]) -> Path:
        """Put what was made in its place, with its manifest: durable on return, and not there if this raises."""
        temporary, final = self.temporary(number), self._path(number)
        (temporary / MANIFEST).parent.mkdir(exist_ok=True)
        (temporary / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
        for each in [*temporary.rglob("*"), temporary]:
            self._files.sync(each)
        self._files.move(temporary, final)
        try:
            self._files.sync(self._directory)
        except OSError:
            trash = self._directory / f"{TRASH}{number}"
            with suppress(OSError):
                final.replace(trash)
            shutil.rmtree(trash, ignore_errors=True)
            raise
        return final

    def made_by(self, operation: str, number: int) -> Path | None:
        """The one of that number, if that operation made it."""
        try:
            manifest = json.loads((self._path(number) / MANIFEST).read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None
        return self._path(number) if manifest.get("operation") == operation else None

    def _path(self, number: int) -> Path:
        return self._directory.absolute() / str(number)

    def _numbers(self) -> Iterator[int]:
        return (int(each.name) for each in entries(self._directory) if each.name.isdecimal())
