"""What can become of an offset, and of which topic generation the offsets are."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """How an offset was settled; every settled offset has exactly one kind."""

    TRAINED = "trained"
    HELD_OUT = "held_out"
    DEAD_LETTERED = "dead_lettered"
    SKIPPED = "skipped"
    ABSENT = "absent"
    LOST = "lost"
    EXCLUDED = "excluded"


@dataclass(frozen=True)
class Generation:
    """One life of a topic: recreated under the same name it has another id, and its offsets mean other records."""

    cluster_id: str
    topic: str
    topic_id: str
