"""What the sidecar and a process that it starts for one errand say to each other: a line of JSON each.

An errand needs TensorFlow, and training goes on beside it: to export a model, to adapt a checkpoint to another one.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Export(_Message):
    """Make a SavedModel. weights: a checkpoint's model file; directory: an empty one for what is made."""

    kind: Literal["export"] = "export"
    weights: str
    directory: str


class Adapt(_Message):
    """Put saved variables into a changed model. weights: a checkpoint's model file; file: what is to be written.

    init, reset_optimizer: see `streaming.fitting.adapt`. Without a file it is only told what would become of them.
    """

    kind: Literal["adapt"] = "adapt"
    weights: str
    file: str | None
    init: list[str]
    reset_optimizer: bool


Errand = Annotated[Export | Adapt, Field(discriminator="kind")]


class Asked(_Message):
    """settings: the whole tree, secrets in clear. parent: the process id without which there is nobody to work for."""

    errand: Errand
    settings: dict[str, Any]
    parent: int


class Exported(_Message):
    kind: Literal["exported"] = "exported"


class Adapted(_Message):
    """fresh: the model's variables that begin anew. kept: how many come from the checkpoint. signature: the model's.

    new_run: the settings that it was built by.
    """

    kind: Literal["adapted"] = "adapted"
    fresh: list[str]
    kept: int
    signature: str
    new_run: dict[str, Any]


class Refusal(_Message):
    """Why there is nothing. problem: a stable slug; None for what nobody expected."""

    kind: Literal["refusal"] = "refusal"
    problem: str | None
    detail: str


Answer = Annotated[Exported | Adapted | Refusal, Field(discriminator="kind")]
_ANSWER: TypeAdapter[Answer] = TypeAdapter(Answer)


def decode_answer(line: bytes) -> Answer:
    """Raises ValueError."""
    return _ANSWER.validate_json(line)
