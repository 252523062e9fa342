"""The checkpoints' folder: the one road into it, and every way to read it.

<directory>/e000003-s000000042/     a committed checkpoint: its files, and manifest.json, written last
            e000003-s000000042.json its label and pin
            evaluation/             evaluation sets, named by manifests
            history/                sealed parts of ledgers, named by manifests; each has a spare
            .tmp-…  .trash-…        unfinished and half-removed; readers ignore them, `clean` removes them
            .archive/               earlier trainings, each a folder like this one; see `archive.py`
            .service/               the sidecar's; not ours
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from streaming.checkpoints import evaluations, history, lineage
from streaming.checkpoints.committing import Content, commit, entry_of
from streaming.checkpoints.disk import entries, os_errors, read
from streaming.checkpoints.durable import LOCAL, TEMPORARY, TRASH, Files
from streaming.checkpoints.evaluations import EvaluationSets
from streaming.checkpoints.history import History
from streaming.checkpoints.manifest import (
    MANIFEST_FILE,
    FileEntry,
    HistoryFile,
    Manifest,
    ManifestFields,
    is_id,
    parse_id,
)
from streaming.checkpoints.notes import read_note, write_note
from streaming.checkpoints.retention import CheckpointInfo, Integrity, retained
from streaming.errors import CheckpointDamaged, CheckpointError, CheckpointNeeded
from streaming.ledger.ledger import Ledger

LEDGER_FILE = "ledger.safetensors"
MODEL_FILE = "model.safetensors"

_Ids = list[str]  # inside the class, `list` is the method
_History = list[HistoryFile]
_Manifests = list[Manifest]


class CheckpointStore:
    """Checkpoints in one folder, each immutable; newest is the greatest (epoch, sequence), never step or time.

    Any process may read. `write`, `prune` and `clean` are for the one that holds the folder's lock.
    """

    def __init__(self, directory: Path, files: Files = LOCAL) -> None:
        self.directory = directory
        self._files = files
        self._evaluations = EvaluationSets(directory, files)
        self._history = History(directory, files)
        self._integrity: dict[str, Integrity] = {}

    def write(self, fields: ManifestFields, files: Mapping[str, Content]) -> Manifest:
        """Commit a checkpoint; it is durable on return, and if this raises there is none.

        files: name -> content, or a file of another checkpoint. Raises CheckpointError naming the path, also for an
        id that isn't greater than every one there is; CheckpointDamaged for a linked file that isn't whole.
        """
        self._refuse_unless_newest(fields.name)
        manifest = commit(self.directory, self._files, fields, files)
        self._history.committed()
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
        path = self._existing(id)
        with _naming(id):
            manifest = Manifest.decode(read(path / MANIFEST_FILE))
        if manifest.id != id:
            raise CheckpointDamaged(f"checkpoint {id}: its {MANIFEST_FILE} is that of {manifest.id}")
        return manifest

    def ledger(self, id: str) -> Ledger:
        """The ledger as it was saved. Raises CheckpointDamaged if its file or its history isn't what was written."""
        manifest = self.manifest(id)
        path, entry = self.path(id) / LEDGER_FILE, manifest.files.get(LEDGER_FILE)
        if entry is None:
            raise CheckpointDamaged(f"checkpoint {id} has no {LEDGER_FILE}")
        blob = read(path)
        if FileEntry.of(blob) != entry:
            raise CheckpointDamaged(f"checkpoint {id}: {LEDGER_FILE} does not match its size and sha256")
        with _naming(id):
            return Ledger.load(blob, self._history.read(manifest.history))

    def verify(self, id: str) -> Manifest:
        """Hash every file, and remember the result for the list. Raises CheckpointDamaged naming the file.

        Evaluation sets aren't looked at: without one scores begin anew, and nothing else is lost.
        """
        try:
            manifest = self.manifest(id)
            for name, expected in manifest.files.items():
                if entry_of(self.path(id) / name) != expected:
                    raise CheckpointDamaged(f"checkpoint {id}: {name} does not match its size and sha256")
            with _naming(id):
                self._history.check(manifest.history)
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
        self.annotate(id, label=label)

    def set_pinned(self, id: str, pinned: bool) -> None:
        """Keep a checkpoint for ever, or no longer. Raises CheckpointError."""
        self.annotate(id, pinned=pinned)

    def annotate(self, id: str, **changes: str | bool | None) -> None:
        """Change `label`, `pinned` or both, in one write. Raises CheckpointError."""
        self._existing(id)
        note = read_note(self._note_path(id)).model_copy(update=changes)
        with os_errors(f"checkpoint {id} can't be labelled or pinned"):
            write_note(self._note_path(id), note, self._files)

    def delete(self, id: str) -> None:
        """Remove a checkpoint. Raises CheckpointNeeded if it is the newest valid one, CheckpointError if it can't be
        removed."""
        self._existing(id)
        if id == self._newest_known():
            raise CheckpointNeeded(f"checkpoint {id} is the newest valid one and can't be deleted: restore needs it")
        with os_errors(f"checkpoint {id} can't be deleted"):
            self._remove(id)

    def prune(self, keep: int, hourly: int, daily: int) -> _Ids:
        """Remove what retention doesn't keep, and then what no manifest names any more; returns the ids removed."""
        infos = self.list()
        kept = retained(infos, keep, hourly, daily)
        gone = [info.id for info in infos if info.id not in kept]
        with os_errors("old checkpoints can't be removed"):
            for id in gone:
                self._remove(id)
            self._remove_unnamed()
        return gone

    def clean(self) -> None:
        """Remove what crashes left: temporaries, half-removed checkpoints, labels of none. Raises CheckpointError."""
        with os_errors("remains of a crash can't be removed"):
            folders = (".", evaluations.FOLDER, history.FOLDER)
            for entry in [entry for folder in folders for entry in entries(self.directory / folder)]:
                orphan = entry.suffix == ".json" and is_id(entry.stem) and not entry.with_suffix("").exists()
                if orphan or entry.name.startswith((TEMPORARY, TRASH)):
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink(missing_ok=True)

    def write_evaluation(self, set: int, count: int, content: bytes) -> tuple[str, str]:
        """Store an evaluation set of `count` records; returns (file relative to the folder, sha256)."""
        return self._evaluations.write(set, count, content)

    def read_evaluation(self, name: str, sha256: str) -> bytes:
        """An evaluation set as a manifest names it. Raises CheckpointDamaged if it is missing or altered."""
        return self._evaluations.read(name, sha256)

    def write_history(self, ledger: Ledger) -> _History:
        """Store what is sealed of a ledger and isn't there yet; returns what its checkpoint's manifest must name."""
        return self._history.write(ledger)

    def _refuse_unless_newest(self, id: str) -> None:
        with os_errors("checkpoints can't be listed"):
            newest = next(iter(self._ids()), "")
        if id == newest:
            raise CheckpointError(f"checkpoint {id} exists already")
        if id < newest:  # a writer that was frozen while another one took over
            raise CheckpointError(f"checkpoint {id} would be older than {newest}: another writer has taken over")

    def _ids(self) -> _Ids:
        return sorted((e.name for e in entries(self.directory) if is_id(e.name) and e.is_dir()), reverse=True)

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
            learning_rate=manifest.learning_rate,
            setting_changes=tuple(manifest.setting_changes),
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
        manifest, passed_over = lineage.newest(ids, check, self.manifest)
        if ids and manifest is None:
            raise CheckpointError(
                f"refusing to start from scratch: {self.directory} holds checkpoints and {', '.join(passed_over)} "
                "are damaged: bring the files back from a copy, or move the folder away and set checkpoint.allow_fresh"
            )
        return manifest, passed_over

    def _newest_known(self) -> str | None:
        """The id of the newest valid checkpoint, hashing only what this store hasn't verified yet."""

        def check(id: str) -> Manifest:
            return self.manifest(id) if self._integrity.get(id) == "verified" else self.verify(id)

        try:
            manifest, _ = self._newest(check)
        except CheckpointError:
            return None
        return manifest.id if manifest else None

    def _existing(self, id: str) -> Path:
        """A checkpoint's directory. Raises CheckpointError if there is none, or if that can't be found out."""
        path = self.path(id)
        with os_errors(f"checkpoint {id} can't be read"):
            there = path.is_dir()
        if not there:
            raise CheckpointError(f"there is no checkpoint {id} in {self.directory}")
        return path

    def _note_path(self, id: str) -> Path:
        return self.path(id).with_suffix(".json")

    def _remove(self, id: str) -> None:
        """Sidecar and worker may do so at the same time: what is gone is removed."""
        trash = self.directory / f"{TRASH}{id}"
        shutil.rmtree(trash, ignore_errors=True)
        self._integrity.pop(id, None)
        with suppress(FileNotFoundError):
            self._files.move(self.path(id), trash)
        with suppress(FileNotFoundError):
            shutil.rmtree(trash)
        self._note_path(id).unlink(missing_ok=True)

    def _remove_unnamed(self) -> None:
        manifests: _Manifests = []
        unreadable = False
        for id in self._ids():
            try:
                manifests.append(self.manifest(id))
            except CheckpointError:
                unreadable = True
        sets = [manifest.evaluation for manifest in manifests]
        if sets and sets[0] is not None:
            self._evaluations.remove({one.file for one in sets if one}, newest=sets[0].file)
        if not unreadable:  # its history may be all that is wanting when its manifest comes back from a copy
            self._history.remove({one.file for manifest in manifests for one in manifest.history})


@contextmanager
def _naming(id: str) -> Iterator[None]:
    """Damage is that of a checkpoint."""
    try:
        yield
    except CheckpointDamaged as error:
        raise CheckpointDamaged(f"checkpoint {id}: {error}") from error
