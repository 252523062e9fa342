"""Real checkpoints with a model of a few bytes, for services whose worker writes none."""

from collections.abc import Iterable
from pathlib import Path

from streaming.checkpoints.manifest import ManifestFields
from streaming.checkpoints.store import LEDGER_FILE, MODEL_FILE, CheckpointStore
from streaming.ledger.ledger import Generation, Kind, Ledger

GENERATION = Generation("cluster", "pets", "id")


def ledger_with(**kinds: Iterable[int]) -> Ledger:
    """One partition, 0, from offset 0; kind -> offsets."""
    ledger = Ledger(GENERATION)
    ledger.open_partition(0, 0)
    for kind, offsets in kinds.items():
        ledger.record(0, Kind(kind), offsets)
    return ledger


def write(directory: Path, *ledgers: Ledger) -> list[str]:
    """A line of checkpoints of writer epoch 1, the oldest first; their ids."""
    store, ids = CheckpointStore(directory), []
    for step, ledger in enumerate(ledgers):
        fields = ManifestFields(
            parent=ids[-1] if ids else None, cause="periodic", step=step, created_at=1.7e9 + step, epoch=1,
            sequence=step, settings_digest="s", learning_rate=None, model_signature="m", generation=ledger.generation,
            positions={each: ledger.position(each) for each in ledger.partitions()}, records=ledger.counts(),
        )  # fmt: skip
        ids.append(store.write(fields, {LEDGER_FILE: ledger.dump(), MODEL_FILE: f"weights {step}".encode()}).id)
    return ids
