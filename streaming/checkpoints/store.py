"""The checkpoints' folder: the one road into it, and every way to read it.

    <directory>/e000003-s000000042/     a committed checkpoint: its files, and manifest.json, written last
                e000003-s000000042.json its label and pin
                evaluation/             evaluation sets, named by manifests
                .tmp-…  .trash-…        unfinished and half-removed; readers ignore them, `clean` removes them
                .service/               the sidecar's; not ours

A crash between any two steps of `write` leaves a temporary, which no reader sees, or a whole checkpoint.
"""

import hashlib
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from streaming.checkpoints.disk import entries, measure, os_errors, read
from streaming.checkpoints.durable import LOCAL, TEMPORARY, Files
from streaming.checkpoints.evaluations import FOLDER, EvaluationSets
from streaming.checkpoints.manifest import MANIFEST_FILE, FileEntry, Manifest, ManifestFields, parse_id
from streaming.checkpoints.notes import read_note, write_note
from streaming.checkpoints.retention import CheckpointInfo, Integrity, retained
from streaming.errors import CheckpointDamaged, CheckpointError
from streaming.ledger.ledger import Ledger

LEDGER_FILE = "ledger.safetensors"
MODEL_FILE = "model.safetensors"
_TRASH = ".trash-"


class Linked(NamedTuple):
    """A file of another checkpoint, as that one's manifest describes it."""

    source: Path
    entry: FileEntry


Content = bytes | Linked
_Ids = list[str]  # inside the class, `list` is the method


class CheckpointStore:
    """Checkpoints in one folder, each immutable; newest is the greatest (epoch, sequence), never step or time.

    Any process may read. `write`, `prune` and `clean` are for the one that holds the folder's lock.
    """

    def __init__(self, directory: Path, files: Files = LOCAL) -> None:
        self.directory = directory
        self._files = files
        self._evaluations = EvaluationSets(directory, files)
        self._integrity: dict[str, Integrity] = {}

    def write(self, fields: ManifestFields, files: Mapping[str, Content]) -> Manifest:
        """Commit a checkpoint; it is durable on return, and if this raises there is none.

        files: name -> content, or a file of another checkpoint. Raises CheckpointError naming the path, also for an
        id that isn't greater than every one there is; CheckpointDamaged for a linked file that isn't whole.
        """
        self._refuse_unless_newest(fields.name)
        temporary = self.directory / f"{TEMPORARY}{fields.name}"
        try:
            with os_errors(f"checkpoint {fields.name} can't be written"):
                self._make_directories(temporary)
                written = {name: self._write_file(temporary, name, content) for name, content in files.items()}
                manifest = Manifest.seal(fields, written)
                self._files.write(temporary / MANIFEST_FILE, manifest.encode())
                self._files.sync(temporary)
                self._files.move(temporary, self.path(manifest.id))
                self._files.sync(self.directory)
        except Exception:
            self._withdraw(fields.name, temporary)
            raise
        return manifest

    def list(self) -> list[CheckpointInfo]:
        """Every committed checkpoint, newest first; one whose manifest can't be read is listed as damaged."""
        with os_errors("checkpoints can't be listed"):
            return [info for id in self._ids() if (info := self._info(id)) is not None]

    def highest(self) -> tuple[int, int]:
        """The greatest (epoch, sequence) there is, valid or not, for numbering on; (0, 0) without checkpoints."""
        with os_errors("checkpoints can't be listed"):
            ids = self._ids()
        return parse_id(ids[0]) if ids else (0, 0)

    def path(self, id: str) -> Path:
        """A checkpoint's directory, whether there is one or not. Raises CheckpointError if `id` is no such name."""
        parse_id(id)
        return self.directory / id

    def manifest(self, id: str) -> Manifest:
        """Raises CheckpointError if there is no such checkpoint, CheckpointDamaged if its manifest isn't whole."""
        path = self.path(id)
        if not path.is_dir():
            raise CheckpointError(f"there is no checkpoint {id} in {self.directory}")
        try:
            manifest = Manifest.decode(read(path / MANIFEST_FILE))
        except CheckpointDamaged as error:
            raise CheckpointDamaged(f"checkpoint {id}: {error}") from error
        if manifest.id != id:
            raise CheckpointDamaged(f"checkpoint {id}: its {MANIFEST_FILE} is that of {manifest.id}")
        return manifest

    def ledger(self, id: str) -> Ledger:
        """The ledger as it was saved. Raises CheckpointDamaged if its file isn't what was written."""
        entry = self.manifest(id).files.get(LEDGER_FILE)
        if entry is None:
            raise CheckpointDamaged(f"checkpoint {id} has no {LEDGER_FILE}")
        blob = read(self.path(id) / LEDGER_FILE)
        if hashlib.sha256(blob).hexdigest() != entry.sha256:
            raise CheckpointDamaged(f"checkpoint {id}: {LEDGER_FILE} does not match its sha256")
        return Ledger.load(blob)

    def verify(self, id: str) -> Manifest:
        """Hash every file, and remember the result for the list. Raises CheckpointDamaged naming the file."""
        try:
            manifest = self.manifest(id)
            for name, expected in manifest.files.items():
                if _entry(self.path(id) / name) != expected:
                    raise CheckpointDamaged(f"checkpoint {id}: {name} does not match its size and sha256")
        except CheckpointDamaged:
            self._integrity[id] = "damaged"
            raise
        self._integrity[id] = "verified"
        return manifest

    def newest_valid(self) -> tuple[Manifest | None, _Ids]:
        """The newest checkpoint whose manifest and files hold, and the damaged ones that were passed over for it.

        From a damaged one the way leads to its parent, so that a rollback isn't undone; to the next older one where
        the parent is gone or unknown. (None, []) if there are no checkpoints. Raises CheckpointError if there are
        some and none on the way is valid.
        """
        return self._newest(self.verify)

    def set_label(self, id: str, label: str | None) -> None:
        """Name a checkpoint, or take its name away. Raises CheckpointError."""
        self._change_note(id, label=label)

    def set_pinned(self, id: str, pinned: bool) -> None:
        """Keep a checkpoint for ever, or no longer. Raises CheckpointError."""
        self._change_note(id, pinned=pinned)

    def delete(self, id: str) -> None:
        """Remove a checkpoint. Raises CheckpointError if it is the newest valid one, or can't be removed."""
        if not self.path(id).is_dir():
            raise CheckpointError(f"there is no checkpoint {id} in {self.directory}")
        if id == self._newest_known():
            raise CheckpointError(f"checkpoint {id} is the newest valid one and can't be deleted: restore needs it")
        with os_errors(f"checkpoint {id} can't be deleted"):
            self._remove(id)

    def prune(self, keep: int, hourly: int, daily: int) -> _Ids:
        """Remove what retention doesn't keep, and evaluation sets that no manifest names; returns the ids removed."""
        infos = self.list()
        kept = retained(infos, keep, hourly, daily)
        gone = [info.id for info in infos if info.id not in kept]
        with os_errors("old checkpoints can't be removed"):
            for id in gone:
                self._remove(id)
            self._remove_unnamed_evaluations()
        return gone

    def clean(self) -> None:
        """Remove what crashes left: temporaries, half-removed checkpoints, labels of none. Raises CheckpointError."""
        with os_errors("remains of a crash can't be removed"):
            for entry in [*entries(self.directory), *entries(self.directory / FOLDER)]:
                orphan = entry.suffix == ".json" and _is_id(entry.stem) and not entry.with_suffix("").exists()
                if orphan or entry.name.startswith((TEMPORARY, _TRASH)):
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def write_evaluation(self, set: int, count: int, content: bytes) -> tuple[str, str]:
        """Store an evaluation set of `count` records; returns (file relative to the folder, sha256)."""
        return self._evaluations.write(set, count, content)

    def read_evaluation(self, name: str, sha256: str) -> bytes:
        """An evaluation set as a manifest names it. Raises CheckpointDamaged if it is missing or altered."""
        return self._evaluations.read(name, sha256)

    def _refuse_unless_newest(self, id: str) -> None:
        with os_errors("checkpoints can't be listed"):
            newest = next(iter(self._ids()), "")
        if id == newest:
            raise CheckpointError(f"checkpoint {id} exists already")
        if id < newest:  # a writer that was frozen while another one took over
            raise CheckpointError(f"checkpoint {id} would be older than {newest}: another writer has taken over")

    def _make_directories(self, temporary: Path) -> None:
        if not self.directory.is_dir():
            self.directory.mkdir(parents=True)
            self._files.sync(self.directory.parent)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()

    def _write_file(self, directory: Path, name: str, content: Content) -> FileEntry:
        path = directory / name
        if name == MANIFEST_FILE or path.parent != directory:
            raise CheckpointError(f"{name!r} can't be a checkpoint's file")
        if isinstance(content, bytes):
            self._files.write(path, content)
            return FileEntry(size=len(content), sha256=hashlib.sha256(content).hexdigest())
        if content.source.is_file():
            self._files.link(content.source, path)
        if not path.exists() or _entry(path) != content.entry:
            raise CheckpointDamaged(f"{content.source} does not match its size and sha256")
        self._files.sync(path)
        return content.entry

    def _withdraw(self, id: str, temporary: Path) -> None:
        """Undo a failed write: after a rename that may not be durable, too, for its writer goes on without it."""
        trash = self.directory / f"{_TRASH}{id}"
        with suppress(OSError):
            self.path(id).replace(trash)
        for remains in (temporary, trash):
            shutil.rmtree(remains, ignore_errors=True)

    def _ids(self) -> _Ids:
        return sorted((e.name for e in entries(self.directory) if _is_id(e.name) and e.is_dir()), reverse=True)

    def _info(self, id: str) -> CheckpointInfo | None:
        """None if it was removed meanwhile."""
        try:
            manifest = self.manifest(id)
        except CheckpointError:
            return self._unreadable(id)
        note = read_note(self._note_path(id))
        return CheckpointInfo(
            id=id,
            parent=manifest.parent,
            step=manifest.step,
            created_at=manifest.created_at,
            size_bytes=sum(entry.size for entry in manifest.files.values()),
            label=note.label,
            pinned=note.pinned,
            cause=manifest.cause,
            integrity=self._integrity.get(id, "unverified"),
        )

    def _unreadable(self, id: str) -> CheckpointInfo | None:
        path, note = self.path(id), read_note(self._note_path(id))
        try:
            created_at = path.stat().st_mtime
            size_bytes = sum(entry.stat().st_size for entry in path.iterdir())
        except FileNotFoundError:
            return None
        return CheckpointInfo(id, None, None, created_at, size_bytes, note.label, note.pinned, None, "damaged")

    def _newest(self, check: Callable[[str], Manifest]) -> tuple[Manifest | None, _Ids]:
        with os_errors("checkpoints can't be listed"):
            ids = self._ids()
        passed_over: _Ids = []
        candidate = ids[0] if ids else None
        while candidate is not None:
            try:
                return check(candidate), passed_over
            except CheckpointDamaged:
                passed_over.append(candidate)
                candidate = self._before(candidate, ids)
        if ids:
            raise CheckpointError(
                f"refusing to start from scratch: {self.directory} holds checkpoints and {', '.join(passed_over)} "
                "are damaged: bring the files back from a copy, or move the folder away and set checkpoint.allow_fresh"
            )
        return None, []

    def _before(self, id: str, newest_first: _Ids) -> str | None:
        try:
            parent = self.manifest(id).parent
        except CheckpointDamaged:
            parent = None
        if parent is not None and parent < id and parent in newest_first:
            return parent
        return next((older for older in newest_first if older < id), None)

    def _newest_known(self) -> str | None:
        """The id of the newest valid checkpoint, hashing only what this store hasn't verified yet."""

        def check(id: str) -> Manifest:
            return self.manifest(id) if self._integrity.get(id) == "verified" else self.verify(id)

        try:
            manifest, _ = self._newest(check)
        except CheckpointError:
            return None
        return manifest.id if manifest else None

    def _change_note(self, id: str, **changes: str | bool | None) -> None:
        if not self.path(id).is_dir():
            raise CheckpointError(f"there is no checkpoint {id} in {self.directory}")
        note = read_note(self._note_path(id)).model_copy(update=changes)
        with os_errors(f"checkpoint {id} can't be labelled or pinned"):
            write_note(self._note_path(id), note, self._files)

    def _note_path(self, id: str) -> Path:
        return self.path(id).with_suffix(".json")

    def _remove(self, id: str) -> None:
        trash = self.directory / f"{_TRASH}{id}"
        shutil.rmtree(trash, ignore_errors=True)
        self._files.move(self.path(id), trash)
        self._integrity.pop(id, None)
        shutil.rmtree(trash)
        self._note_path(id).unlink(missing_ok=True)

    def _remove_unnamed_evaluations(self) -> None:
        named = []
        for id in self._ids():
            try:
                named.append(self.manifest(id).evaluation)
            except CheckpointError:
                continue  # nothing can be restored from it, so it needs no evaluation set
        if named and named[0] is not None:
            self._evaluations.remove({evaluation.file for evaluation in named if evaluation}, newest=named[0].file)


def _entry(path: Path) -> FileEntry:
    size, sha256 = measure(path)
    return FileEntry(size=size, sha256=sha256)


def _is_id(name: str) -> bool:
    try:
        parse_id(name)
    except CheckpointError:
        return False
    return True
