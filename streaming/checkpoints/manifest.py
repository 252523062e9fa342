"""A checkpoint's manifest: what it is, where it comes from, and the hash of every file and of itself."""

import hashlib
import json
import math
import re
from functools import lru_cache
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from streaming.control.messages import Score
from streaming.errors import CheckpointDamaged, CheckpointError
from streaming.ledger.ledger import Generation, Kind

FORMAT_VERSION = 3  # 1: without decisions and history, 2: without live settings
MANIFEST_FILE = "manifest.json"
Cause = Literal["start", "periodic", "request", "final", "restore", "requeue", "edit", "adapt"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
CheckpointId = Annotated[str, Field(pattern=r"^e[0-9]{6}-s[0-9]{9}$")]
_ID = re.compile(r"e([0-9]{6})-s([0-9]{9})")


def checkpoint_id(epoch: int, sequence: int) -> str:
    """The name of a checkpoint; names sort as (epoch, sequence) do. Raises CheckpointError if they don't fit."""
    if not (0 <= epoch < 10**6 and 0 <= sequence < 10**9):
        raise CheckpointError(f"writer epoch {epoch} and sequence {sequence} don't fit into a checkpoint's name")
    return f"e{epoch:06d}-s{sequence:09d}"


def parse_id(id: str) -> tuple[int, int]:
    """(epoch, sequence) of a checkpoint's name. Raises CheckpointError for anything else, so for every path, too."""
    match = _ID.fullmatch(id)
    if match is None:
        raise CheckpointError(f"{id!r} is no checkpoint's name; one looks like {checkpoint_id(1, 42)}")
    return int(match[1]), int(match[2])


def is_id(name: str) -> bool:
    """Whether a checkpoint could have this name."""
    return _ID.fullmatch(name) is not None


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class FileEntry(_Frozen):
    """One file of a checkpoint; size in bytes."""

    size: int = Field(ge=0, lt=2**63)
    sha256: Sha256

    @classmethod
    def of(cls, content: bytes) -> "FileEntry":
        """That of a file with such a content."""
        return FileEntry(size=len(content), sha256=hashlib.sha256(content).hexdigest())


class EvaluationFile(_Frozen):
    """The evaluation set in use. file: relative to the checkpoints' folder, as `write_evaluation` returned it."""

    set: int
    file: str
    sha256: Sha256


class HistoryFile(FileEntry):
    """A sealed segment of the ledger's history. file: relative to the checkpoints' folder."""

    file: Annotated[str, Field(pattern=r"^history/[0-9]{5,10}-[0-9]{19}-[0-9a-f]{16}\.safetensors$")]


class SettingChange(_Frozen):
    """A live setting that was changed in the course of training. source: where the new value comes from; step: the
    last one taken with the old value; at: Unix time, seconds."""

    setting: str
    before: float | str
    after: float | str
    source: str
    step: int = Field(ge=0)
    at: float


class ManifestFields(_Frozen):
    """What the writer of a checkpoint says; the store adds the rest.

    created_at: Unix time, seconds. positions: partition -> first offset not settled. records: the ledger's counts.
    scores: those without a finite value are left out. trainer_state: finite JSON values, the trainer's own business.
    decisions: how many of the operator's decisions the ledger has taken in. history: the sealed part of the ledger.
    live_settings: those that may change while a worker runs, by name; setting_changes: of them, since the parent.
    """

    parent: CheckpointId | None
    cause: Cause
    step: int = Field(ge=0, lt=2**63)
    created_at: float = Field(ge=0, lt=253_402_300_800)  # dates end with the year 9999
    epoch: int = Field(ge=0, lt=10**6)
    sequence: int = Field(ge=0, lt=10**9)
    settings_digest: str
    learning_rate: float | None
    model_signature: str
    generation: Generation
    positions: dict[int, int]
    records: dict[Kind, int]
    scores: list[Score] = []
    evaluation: EvaluationFile | None = None
    trainer_state: dict[str, Any] = {}
    decisions: Annotated[int, Field(ge=0)] = 0
    history: list[HistoryFile] = []
    live_settings: dict[str, float | str] = {}
    setting_changes: list[SettingChange] = []

    @property
    def name(self) -> str:
        """The checkpoint's id, which follows from epoch and sequence."""
        return checkpoint_id(self.epoch, self.sequence)

    @field_validator("scores")
    @classmethod
    def _finite(cls, scores: list[Score]) -> list[Score]:
        return [score for score in scores if math.isfinite(score.value)]


class Manifest(ManifestFields):
    """A committed checkpoint. sha256: of the canonical JSON of all other fields."""

    format_version: int
    id: CheckpointId
    files: dict[FileName, FileEntry]
    sha256: Sha256

    @model_validator(mode="after")
    def _named_by_order(self) -> Self:
        if self.id != self.name:
            raise ValueError(f"id {self.id} is not that of epoch {self.epoch}, sequence {self.sequence}")
        return self

    @classmethod
    def seal(cls, fields: ManifestFields, files: dict[str, FileEntry]) -> "Manifest":
        """Add id, format version, files and digest. Raises CheckpointError if a field is no finite JSON value."""
        try:
            tree = json.loads(json.dumps(fields.model_dump(mode="json"), allow_nan=False))
            tree |= {"format_version": FORMAT_VERSION, "id": fields.name}
            tree["files"] = {name: entry.model_dump(mode="json") for name, entry in files.items()}
            return cls.model_validate_json(json.dumps(tree | {"sha256": _digest(tree)}))
        except (ValueError, TypeError) as error:
            raise CheckpointError(f"checkpoint {fields.name} can't be written: {error}") from error

    def encode(self) -> bytes:
        """The content of manifest.json."""
        return json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True).encode()

    @classmethod
    def decode(cls, content: bytes) -> "Manifest":
        """Read manifest.json.

        Raises CheckpointDamaged if it isn't what was written, and CheckpointError for a format of a later release.
        """
        return _decode(content)


@lru_cache(maxsize=256)  # lists read every manifest at every call, and none ever changes
def _decode(content: bytes) -> Manifest:
    try:
        tree = json.loads(content)
        claimed = tree.pop("sha256")
        if claimed != _digest(tree):
            raise CheckpointDamaged(f"{MANIFEST_FILE} does not match its own sha256")
        version = tree["format_version"]
        if version not in range(1, FORMAT_VERSION + 1):
            raise CheckpointError(
                f"the checkpoint has format version {version}, this release reads up to {FORMAT_VERSION}: "
                "upgrade penstock"
            )
        return Manifest.model_validate_json(content)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointDamaged(f"{MANIFEST_FILE} can't be read: {error}") from error


def _digest(tree: dict[str, Any]) -> str:
    """sha256 of canonical JSON: sorted keys, no spaces, ASCII, finite numbers."""
    canonical = json.dumps(tree, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
