"""What an operator has decided: facts that a rollback never takes back. Pure; sidecar and worker share them.

They stand in `.service/decisions.jsonl` in the order they were made. A checkpoint's manifest says how many of them
its ledger has taken in (`decisions`), so that each is applied once to any ledger, however old.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class _Decision(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    at: float = Field(description="Unix time, seconds; for people, nothing is decided by it.")


class Exclude(_Decision):
    """Offsets `[start, stop)` that must not be trained; those that are settled already stay as they are."""

    kind: Literal["exclude"] = "exclude"
    topic_id: str
    partition: int = Field(ge=0)
    start: int = Field(ge=0)
    stop: int = Field(gt=0)
    why: str = ""


class Skip(_Decision):
    """What a restore with `records = "skip"` leaves out for good: none of it is trained again, whatever is restored.

    Offsets that are settled already stay as they are.
    """

    kind: Literal["skip"] = "skip"
    topic_id: str
    offsets: dict[int, list[tuple[int, int]]] = Field(description="Partition -> half-open intervals.")


class Quarantine(_Decision):
    """A record that crashes the process that decodes it: it is dead-lettered unread."""

    kind: Literal["quarantine"] = "quarantine"
    topic_id: str
    partition: int = Field(ge=0)
    offset: int = Field(ge=0)
    detail: str


class AcceptLoss(_Decision):
    """Answer to `data-lost`: what retention removed below `before` is known, and no problem any more."""

    kind: Literal["accept_loss"] = "accept_loss"
    topic_id: str
    before: dict[int, int] = Field(description="Partition -> first offset that was still there.")


class AdoptTopic(_Decision):
    """Answer to `topic-recreated`: train the new topic from its beginning, with the weights there are."""

    kind: Literal["adopt_topic"] = "adopt_topic"
    topic_id: str = Field(description="Of the new topic.")


class AcceptTruncation(_Decision):
    """Answer to `log-truncated`: settled offsets from `ends` on are other records now, and are owed again."""

    kind: Literal["accept_truncation"] = "accept_truncation"
    topic_id: str
    ends: dict[int, int] = Field(description="Partition -> log end after the truncation.")


class ResetBreaker(_Decision):
    """Answer to `records-all-bad` and `records-mostly-bad`: go on, and count anew."""

    kind: Literal["reset_breaker"] = "reset_breaker"


Decision = Annotated[
    Exclude | Skip | Quarantine | AcceptLoss | AdoptTopic | AcceptTruncation | ResetBreaker,
    Field(discriminator="kind"),
]
DECISION: TypeAdapter[Decision] = TypeAdapter(Decision)
