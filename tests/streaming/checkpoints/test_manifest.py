"""Manifests: their names, their bytes and their own digest."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.checkpoints.manifest import (
    FORMAT_VERSION,
    EvaluationFile,
    FileEntry,
    Manifest,
    ManifestFields,
    checkpoint_id,
    parse_id,
)
from streaming.checkpoints.store import MODEL_FILE, CheckpointStore
from streaming.control.messages import Score
from streaming.errors import CheckpointDamaged, CheckpointError
from streaming.ledger.ledger import Generation, Kind

LATER = FORMAT_VERSION + 1
FILES = {"model.safetensors": FileEntry(size=3, sha256="ab" * 32)}


def fields(**changes: Any) -> ManifestFields:
    content: dict[str, Any] = {
        "parent": "e000001-s000000002",
        "cause": "periodic",
        "step": 120,
        "created_at": 1_750_000_000.25,
        "epoch": 1,
        "sequence": 3,
        "settings_digest": "d",
        "learning_rate": 0.003,
        "model_signature": "m",
        "generation": Generation("c1", "pets", "t1"),
        "positions": {10: 7, 9: 2**62},
        "records": {Kind.TRAINED: 5, Kind.ABSENT: 2},
        "scores": [Score(set="1", name="iou", class_="0", value=0.5)],
        "evaluation": EvaluationFile(set=1, file="evaluation/0001-000005-00000000.safetensors", sha256="cd" * 32),
        "trainer_state": {"seed": 4, "prequential": {"loss": 0.1 + 0.2, "by_class": {10: 1, 9: 2}}, "ids": (1, 2)},
    }
    return ManifestFields(**content | changes)


def test_a_manifest_comes_back_as_it_was_written() -> None:
    manifest = Manifest.seal(fields(), FILES)
    assert manifest.id == "e000001-s000000003"
    assert manifest.positions == {10: 7, 9: 2**62}
    assert manifest.files == FILES
    assert Manifest.decode(manifest.encode()) == manifest


def test_every_altered_character_of_a_manifest_is_noticed() -> None:
    content = Manifest.seal(fields(), FILES).encode()
    original = json.loads(content)
    for at in range(len(content)):
        altered = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        try:
            same = json.loads(altered) == original  # a space outside of strings means nothing
        except ValueError:
            same = False
        if not same:
            with pytest.raises(CheckpointDamaged):
                Manifest.decode(altered)


@given(st.binary(max_size=40) | st.sampled_from([b"null", b"[]", b"{}", b"1", b'{"sha256":""}']))
def test_foreign_bytes_are_damage(content: bytes) -> None:
    with pytest.raises(CheckpointDamaged):
        Manifest.decode(content)


@pytest.mark.parametrize("end", range(0, 1000, 37))
def test_a_cut_manifest_is_damaged(end: int) -> None:
    with pytest.raises(CheckpointDamaged):
        Manifest.decode(Manifest.seal(fields(), FILES).encode()[:end])


def test_a_later_format_is_refused_with_the_remedy_and_is_no_damage() -> None:
    later = json.loads(Manifest.seal(fields(), FILES).encode()) | {"format_version": LATER, "novelty": 1}
    del later["sha256"]
    canonical = json.dumps(later, sort_keys=True, separators=(",", ":")).encode()
    later["sha256"] = hashlib.sha256(canonical).hexdigest()
    with pytest.raises(CheckpointError, match=rf"format version {LATER}.*upgrade") as refused:
        Manifest.decode(json.dumps(later).encode())
    assert not isinstance(refused.value, CheckpointDamaged)


def test_scores_that_are_not_finite_are_left_out() -> None:
    scores = [Score(set="1", name="loss", value=value) for value in (1.5, float("nan"), float("inf"))]
    assert [score.value for score in Manifest.seal(fields(scores=scores), FILES).scores] == [1.5]


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), object(), b"\xff"])
def test_trainer_state_that_json_cannot_hold_is_refused(value: object) -> None:
    with pytest.raises(CheckpointError, match="e000001-s000000003"):
        Manifest.seal(fields(trainer_state={"loss": value}), FILES)


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "", "a\n"])
def test_a_file_outside_of_the_directory_cannot_be_named(name: str) -> None:
    with pytest.raises(CheckpointError):
        Manifest.seal(fields(), {name: FILES["model.safetensors"]})


@given(
    st.tuples(st.integers(0, 999_999), st.integers(0, 999_999_999)), st.tuples(st.integers(0, 99), st.integers(0, 999))
)
def test_names_sort_as_epoch_and_sequence_do(one: tuple[int, int], other: tuple[int, int]) -> None:
    assert parse_id(checkpoint_id(*one)) == one
    assert (checkpoint_id(*one) < checkpoint_id(*other)) == (one < other)


@pytest.mark.parametrize(
    "id",
    [
        "",
        "..",
        "e000001-s00000002",
        "e000001-s0000000022",
        "E000001-s000000002",
        "e000001-s000000002/",
        "e000001-s000000002\n",
        "../e000001-s000000002",
        "e٠٠٠٠٠١-s٠٠٠٠٠٠٠٠٢",
        ".tmp-e000001-s000000002",
    ],
)
def test_anything_else_is_no_name(id: str) -> None:
    with pytest.raises(CheckpointError, match="is no checkpoint's name"):
        parse_id(id)


@pytest.mark.parametrize(("epoch", "sequence"), [(10**6, 0), (0, 10**9), (-1, 0)])
def test_numbers_that_would_break_the_order_of_names_are_refused(epoch: int, sequence: int) -> None:
    with pytest.raises(CheckpointError):
        checkpoint_id(epoch, sequence)


def test_a_checkpoint_of_the_first_format_is_still_read() -> None:
    store = CheckpointStore(Path(__file__).parent / "formats" / "1")
    manifest, passed_over = store.newest_valid()
    assert manifest is not None
    assert passed_over == []
    assert (manifest.format_version, manifest.step, manifest.decisions, manifest.history) == (1, 4, 0, [])
    assert (store.path(manifest.id) / MODEL_FILE).is_file()
    ledger = store.ledger(manifest.id)
    assert (ledger.counts(), ledger.position(0)) == (manifest.records, manifest.positions[0])
    assert manifest.evaluation is not None
    assert store.read_evaluation(manifest.evaluation.file, manifest.evaluation.sha256) == b"set"


def test_a_checkpoint_of_the_second_format_is_still_read() -> None:
    store = CheckpointStore(Path(__file__).parent / "formats" / "2")
    manifest, passed_over = store.newest_valid()
    assert manifest is not None
    assert passed_over == []
    assert (manifest.format_version, manifest.decisions, len(manifest.history)) == (2, 1, 2)
    assert (manifest.live_settings, manifest.setting_changes) == ({}, [])
    assert store.ledger(manifest.id).counts() == manifest.records
