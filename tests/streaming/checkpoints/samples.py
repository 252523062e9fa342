"""Checkpoints to write: their fields, their ledgers, their files."""

import hashlib
from typing import Any

from streaming.checkpoints.committing import Content, Linked
from streaming.checkpoints.manifest import FileEntry, ManifestFields, checkpoint_id
from streaming.checkpoints.store import LEDGER_FILE, MODEL_FILE, CheckpointStore
from streaming.ledger.ledger import Generation, Kind, Ledger

GENERATION = Generation("c1", "pets", "t1")
SEGMENT_OFFSETS = 8
OPTIMIZER_FILE = "optimizer.safetensors"
MOMENTS = b"moments" * 40


def fields(sequence: int, epoch: int = 1, parent: str | None = None, **changes: Any) -> ManifestFields:
    content: dict[str, Any] = {
        "parent": parent or (checkpoint_id(epoch, sequence - 1) if sequence > 1 else None),
        "cause": "periodic",
        "step": sequence * 10,
        "created_at": 1_750_000_000.0 + sequence,
        "epoch": epoch,
        "sequence": sequence,
        "settings_digest": "d",
        "learning_rate": 0.003,
        "model_signature": "m",
        "generation": GENERATION,
        "positions": {0: sequence},
        "records": {Kind.TRAINED: sequence},
    }
    return ManifestFields(**content | changes)


def ledger(records: int, kind: Kind = Kind.TRAINED) -> Ledger:
    """So many offsets of partition 0; every eight of them make a segment."""
    book = Ledger(GENERATION, SEGMENT_OFFSETS)
    book.open_partition(0, 0)
    book.record(0, kind, range(records))
    return book


def contents(store: CheckpointStore, book: Ledger) -> dict[str, Content]:
    """A model, a file that is linked, and a ledger."""
    moments = store.directory.parent / "moments"
    moments.unlink(missing_ok=True)  # a name of earlier checkpoints' files as well
    moments.write_bytes(MOMENTS)
    entry = FileEntry(size=len(MOMENTS), sha256=hashlib.sha256(MOMENTS).hexdigest())
    return {MODEL_FILE: b"weights" * 100, OPTIMIZER_FILE: Linked(moments, entry), LEDGER_FILE: book.dump()}


def commit(
    store: CheckpointStore,
    sequence: int,
    epoch: int = 1,
    parent: str | None = None,
    book: Ledger | None = None,
    **changes: Any,
) -> str:
    """Write a checkpoint, by default with a ledger of `sequence` records; returns its id."""
    book = ledger(sequence) if book is None else book
    history = store.write_history(book)
    return store.write(fields(sequence, epoch, parent, history=history, **changes), contents(store, book)).id


def ids(store: CheckpointStore) -> list[str]:
    return [info.id for info in store.list()]
