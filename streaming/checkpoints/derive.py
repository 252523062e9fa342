"""A checkpoint made of another one: at the head of the line again, with a changed ledger, or with another file."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from streaming.checkpoints.committing import Linked, entry_of
from streaming.checkpoints.manifest import Cause, Manifest, ManifestFields
from streaming.checkpoints.store import LEDGER_FILE, CheckpointStore
from streaming.ledger.ledger import Ledger


def derive(
    store: CheckpointStore,
    source: str,
    *,
    epoch: int,
    cause: Cause,
    change: Callable[[Ledger], Ledger] | None = None,
    fields: Mapping[str, Any] = MappingProxyType({}),
    files: Mapping[str, Path] = MappingProxyType({}),
) -> Manifest:
    """Commit a checkpoint with the source's files and fields, as the newest; its parent is the source.

    change: gets the source's ledger, may alter it, and returns the one to save. fields: of the manifest, what else
    isn't the source's; files: the same by name, on the checkpoints' file system. epoch: a fresh writer epoch, as no
    writer may be at work. Files are hashed anew and linked, so a damaged one never enters. Raises CheckpointDamaged
    naming the file of the source that isn't whole, and CheckpointError if nothing can be written; then there is no new
    checkpoint. What `change` raises rises.
    """
    manifest = store.manifest(source)
    ledger = store.ledger(source)
    if change is not None:
        ledger = change(ledger)
    kept = {name: getattr(manifest, name) for name in ManifestFields.model_fields}
    told = ManifestFields(
        **kept
        | dict(fields)
        | {
            "parent": source,
            "cause": cause,
            "epoch": epoch,
            "sequence": store.highest()[1] + 1,
            "created_at": time.time(),
            "generation": ledger.generation,
            "positions": {partition: ledger.position(partition) for partition in ledger.partitions()},
            "records": ledger.counts(),
            "history": store.write_history(ledger),
            "setting_changes": [],
        }
    )
    folder = store.path(source)
    others = {name: Linked(folder / name, entry) for name, entry in manifest.files.items() if name != LEDGER_FILE}
    changed = {name: Linked(path, entry_of(path)) for name, path in files.items()}
    return store.write(told, {**others, **changed, LEDGER_FILE: ledger.dump()})
