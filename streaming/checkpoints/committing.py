"""The one road of a checkpoint into its folder: a temporary, its files, the manifest last, rename, fsync."""

import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from streaming.checkpoints.disk import measure, os_errors
from streaming.checkpoints.durable import TEMPORARY, TRASH, Files, make_directory
from streaming.checkpoints.manifest import MANIFEST_FILE, FileEntry, Manifest, ManifestFields
from streaming.errors import CheckpointDamaged, CheckpointError


class Linked(NamedTuple):
    """A file of another checkpoint, as that one's manifest describes it."""

    source: Path
    entry: FileEntry


Content = bytes | Linked


def commit(directory: Path, disk: Files, fields: ManifestFields, files: Mapping[str, Content]) -> Manifest:
    """Put a checkpoint into a directory; it is durable on return, and if this raises there is none.

    A crash between any two steps leaves a temporary, which no reader sees, or a whole checkpoint. Raises as
    `CheckpointStore.write` does.
    """
    temporary = directory / f"{TEMPORARY}{fields.name}"
    final = directory / fields.name
    try:
        with os_errors(f"checkpoint {fields.name} can't be written"):
            _make_directories(directory, temporary, disk)
            written = {name: _write_file(temporary, name, content, disk) for name, content in files.items()}
            manifest = Manifest.seal(fields, written)
            disk.write(temporary / MANIFEST_FILE, manifest.encode())
            disk.sync(temporary)
            disk.move(temporary, final)
            disk.sync(directory)
    except Exception:
        _withdraw(final, temporary)
        raise
    return manifest


def entry_of(path: Path) -> FileEntry:
    """A file's size and hash. Raises as `measure` does."""
    size, sha256 = measure(path)
    return FileEntry(size=size, sha256=sha256)


def _make_directories(directory: Path, temporary: Path, disk: Files) -> None:
    make_directory(directory, disk)
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()


def _write_file(directory: Path, name: str, content: Content, disk: Files) -> FileEntry:
    path = directory / name
    if name == MANIFEST_FILE or path.parent != directory:
        raise CheckpointError(f"{name!r} can't be a checkpoint's file")
    if isinstance(content, bytes):
        disk.write(path, content)
        return FileEntry.of(content)
    if content.source.is_file():
        disk.link(content.source, path)
    if not path.exists() or entry_of(path) != content.entry:
        raise CheckpointDamaged(f"{content.source} does not match its size and sha256")
    disk.sync(path)
    return content.entry


def _withdraw(final: Path, temporary: Path) -> None:
    """Undo a failed write: after a rename that may not be durable, too, for its writer goes on without it."""
    trash = final.with_name(f"{TRASH}{final.name}")
    with suppress(OSError):
        final.replace(trash)
    for remains in (temporary, trash):
        shutil.rmtree(remains, ignore_errors=True)
