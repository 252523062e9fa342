"""The error tree of the streaming package.

    PenstockError
    ├── SettingsError           a setting can't work; exit code 2, never retried
    ├── KafkaUnavailable        the broker can't be reached or refuses us for now; degraded, retried
    │   ├── BrokerUnreachable   no such host, nothing listens, no answer, another protocol
    │   ├── BrokerUntrusted     its certificate isn't signed by our CA, has expired, or is another host's
    │   ├── LoginRefused        our user, password, token or certificate isn't taken, or can't be read
    │   ├── RightMissing        an ACL doesn't let us do what is needed
    │   └── TopicMissing        there is no such topic
    ├── LedgerError             the book would become wrong; the worker stops loudly
    │   └── AlreadySettled      an offset was to be settled a second time
    ├── CheckpointError         a checkpoint can't be written, read or trusted
    │   ├── CheckpointDamaged   a file is missing, cut or does not match its hash
    │   └── CheckpointMismatch  the weights don't fit the model that the settings build
    ├── UserCodeError           a user's module:function can't be imported or misbehaves
    └── TrainingStopped         going on would do harm (all records bad, truncated log, recreated topic)

Bad records are no exceptions: they leave their batch as values (see `streaming.records.batch`).
"""

from typing import Any


class PenstockError(Exception):
    """Anything penstock itself has to say about a failure; the text is one sentence with its remedy."""


class SettingsError(PenstockError):
    """A setting is unknown, malformed or can't work."""


class KafkaUnavailable(PenstockError):
    """Kafka is away, the topic is missing, or rights are; it may come back, so this is retried."""


class BrokerUnreachable(KafkaUnavailable):
    """Nobody answers there as a Kafka broker does."""


class BrokerUntrusted(KafkaUnavailable):
    """Somebody answers who can't show that he is the broker."""


class LoginRefused(KafkaUnavailable):
    """The broker doesn't let us in, or what we would show it can't be read."""


class RightMissing(KafkaUnavailable):
    """The broker knows us, and this we may not do."""


class TopicMissing(KafkaUnavailable):
    """There is no such topic."""


class LedgerError(PenstockError):
    """The ledger refuses an entry."""


class AlreadySettled(LedgerError):
    """An offset that is settled was to be settled again: training it twice was prevented."""


class CheckpointError(PenstockError):
    """A checkpoint can't be written or read."""


class DirectoryUnavailable(CheckpointError):
    """The disk refuses; it may be mended any time."""


class CheckpointNeeded(CheckpointError):
    """A checkpoint can't be deleted: it is pinned, or a restart would restore it."""


class CheckpointDamaged(CheckpointError):
    """A file of a checkpoint is missing, cut short or altered."""


class CheckpointMismatch(CheckpointError):
    """A checkpoint's variables don't fit the model."""


class UserCodeError(PenstockError):
    """A `module:function` named in the settings can't be found, or returned something unusable."""


class TrainingStopped(PenstockError):
    """Going on would lose or spoil something; a person decides. facts: what that decision is made of, as JSON."""

    def __init__(self, problem: str, detail: str, facts: dict[str, Any] | None = None) -> None:
        super().__init__(detail)
        self.problem = problem
        self.facts = facts or {}


def problem_of(error: PenstockError) -> str | None:
    """The problem's name when trying again can't mend it; None when it may."""
    if isinstance(error, TrainingStopped):
        return error.problem
    slugs: dict[type[PenstockError], str] = {
        SettingsError: "settings-unusable",
        UserCodeError: "user-code-failed",
        CheckpointMismatch: "checkpoint-mismatch",
        CheckpointError: "checkpoint-unusable",
    }
    return next((slug for kind, slug in slugs.items() if isinstance(error, kind)), None)
