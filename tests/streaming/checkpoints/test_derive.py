"""A derived checkpoint: the source's model and fields, another ledger, all of it or nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from streaming.checkpoints.derive import derive
from streaming.checkpoints.manifest import Cause, ManifestFields, SettingChange
from streaming.checkpoints.store import LEDGER_FILE, MODEL_FILE, CheckpointStore
from streaming.control.messages import Score
from streaming.errors import CheckpointDamaged, CheckpointError
from streaming.ledger.ledger import Generation, Kind, Ledger
from tests.streaming.checkpoints.disks import flip

GENERATION = Generation("c1", "pets", "t1")
CHANGED = {"parent", "cause", "epoch", "sequence", "created_at", "positions", "records", "setting_changes"}


def commit(store: CheckpointStore, sequence: int, epoch: int = 1) -> str:
    ledger = Ledger(GENERATION)
    ledger.open_partition(0, 0)
    ledger.record(0, Kind.TRAINED, range(sequence * 10))
    ledger.record(0, Kind.DEAD_LETTERED, [sequence * 10], "image")
    change = SettingChange(setting="model.learning_rate", before=0.1, after=0.5, source="api", step=0, at=1.0)
    fields = ManifestFields(
        parent=None,
        cause="periodic",
        step=sequence,
        created_at=1_750_000_000.0 + sequence,
        epoch=epoch,
        sequence=sequence,
        settings_digest="d",
        learning_rate=0.003,
        model_signature="m",
        generation=GENERATION,
        positions={0: ledger.position(0)},
        records=ledger.counts(),
        scores=[Score(set="1", name="loss", value=0.5)],
        trainer_state={"seed": 4},
        decisions=3,
        live_settings={"model.learning_rate": 0.5},
        setting_changes=[change],
    )
    return store.write(fields, {MODEL_FILE: b"weights %d" % sequence * 100, LEDGER_FILE: ledger.dump()}).id


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "checkpoints")


@pytest.mark.parametrize("cause", ["restore", "requeue", "edit", "adapt"])
def test_the_model_and_every_other_field_are_kept(store: CheckpointStore, cause: Cause) -> None:
    first, second = commit(store, 1), commit(store, 2)
    derived = derive(store, first, epoch=7, cause=cause)
    source = store.manifest(first)
    assert (derived.id, derived.parent, derived.cause) == ("e000007-s000000003", first, cause)
    kept = set(ManifestFields.model_fields) - CHANGED
    assert {name: getattr(derived, name) for name in kept} == {name: getattr(source, name) for name in kept}
    assert (len(source.setting_changes), derived.setting_changes) == (1, [])  # they were made before the source
    assert derived.files == source.files
    assert (store.path(derived.id) / MODEL_FILE).samefile(store.path(first) / MODEL_FILE)
    assert store.ledger(derived.id) == store.ledger(first)
    assert CheckpointStore(store.directory).newest_valid() == (derived, [])
    assert second in [info.id for info in store.list()]


def test_a_changed_ledger_changes_positions_and_counts_and_leaves_the_source_alone(store: CheckpointStore) -> None:
    def requeue(ledger: Ledger) -> Ledger:
        ledger.unsettle(0, ledger.of_reason(0, "image"))
        return ledger

    source = commit(store, 2)
    before = store.manifest(source)
    derived = derive(store, source, epoch=2, cause="requeue", change=requeue)
    assert (before.positions, derived.positions) == ({0: 21}, {0: 20})
    assert (before.records[Kind.DEAD_LETTERED], derived.records[Kind.DEAD_LETTERED]) == (1, 0)
    assert store.ledger(derived.id).position(0) == 20
    assert store.verify(source) == before
    assert store.ledger(source).position(0) == 21


def test_the_derived_one_outlives_its_source(store: CheckpointStore) -> None:
    source = commit(store, 1)
    derived = derive(store, source, epoch=2, cause="restore")
    store.delete(source)
    assert store.verify(derived.id) == derived


@pytest.mark.parametrize("harm", [flip, Path.unlink])
@pytest.mark.parametrize("name", [MODEL_FILE, LEDGER_FILE])
def test_a_damaged_source_gives_no_checkpoint(store: CheckpointStore, harm: Callable[[Path], None], name: str) -> None:
    source = commit(store, 1)
    harm(store.path(source) / name)
    with pytest.raises(CheckpointDamaged, match=name):
        derive(store, source, epoch=2, cause="restore")
    assert [path.name for path in store.directory.iterdir()] == [source]


def test_a_change_that_fails_gives_no_checkpoint(store: CheckpointStore) -> None:
    source = commit(store, 1)
    with pytest.raises(ZeroDivisionError):
        derive(store, source, epoch=2, cause="edit", change=lambda ledger: 1 // 0)  # type: ignore[arg-type,return-value]
    assert [path.name for path in store.directory.iterdir()] == [source]


def test_an_old_epoch_cannot_derive_once_a_newer_one_has_written(store: CheckpointStore) -> None:
    first = commit(store, 1)
    commit(store, 2, epoch=5)
    with pytest.raises(CheckpointError, match="another writer has taken over"):
        derive(store, first, epoch=4, cause="restore")
