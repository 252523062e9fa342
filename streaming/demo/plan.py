"""What a demo runs: the settings of its children and their command lines."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from streaming.errors import PenstockError

PARTITIONS = 4
BROKEN_EVERY = 100
FOREVER_PER_S = 25.0
SCORED_RECORDS = 300
_UNUSED_SEED = 1_000_003


class Wishes(NamedTuple):
    """What the command line asks for. directory None: ./demo-run/<time>. port None: 8080, or a free one."""

    forever: bool = False
    bootstrap_servers: str | None = None
    records: int = 3500
    seed: int = 1
    directory: Path | None = None
    port: int | None = None


def child_environment(servers: str, topic: str, checkpoints: Path, port: int) -> dict[str, str]:
    """Of the caller's PENSTOCK_ variables only Kafka's credentials reach the children."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PENSTOCK_") or name.startswith("PENSTOCK_KAFKA__")
    }
    settings = {
        "NAME": "demo",
        "KAFKA__BOOTSTRAP_SERVERS": servers,
        "KAFKA__TOPIC": topic,
        "KAFKA__DEAD_LETTER_TOPIC": f"{topic}.dead-letters",
        "PIPELINE__IMAGE_SIZE": "64",
        "PIPELINE__BATCH_SIZE": "16",
        "PIPELINE__LINGER_S": "2",
        "MODEL__LEARNING_RATE": "0.003",
        "CHECKPOINT__DIRECTORY": str(checkpoints.resolve()),
        "CHECKPOINT__INTERVAL_S": "20",
        # Whole blocks of 32 offsets are held out; 3,500 records hold about 110, so .02 might draw none.
        "EVALUATION__FRACTION": "0.06",
        "EVALUATION__INTERVAL_S": "10",
        "SERVICE__GRACE_S": "15",
        "SERVICE__HOST": "127.0.0.1",
        "SERVICE__PORT": str(port),
    }
    return inherited | {f"PENSTOCK_{name}": value for name, value in settings.items()}


def topics(environment: Mapping[str, str]) -> dict[str, int]:
    """Names and numbers of partitions of the topic and its dead letters."""
    return {
        environment["PENSTOCK_KAFKA__TOPIC"]: PARTITIONS,
        environment["PENSTOCK_KAFKA__DEAD_LETTER_TOPIC"]: 1,
    }


def produce_command(wishes: Wishes) -> list[str]:
    """Topic and broker come by environment."""
    command = [sys.executable, "-m", "streaming", "produce", "synthetic", "--seed", str(wishes.seed)]
    amount = ["--rate", str(FOREVER_PER_S)] if wishes.forever else ["--count", str(wishes.records)]
    return [*command, "--broken-every", str(BROKEN_EVERY), *amount]


def score_command(wishes: Wishes, environment: Mapping[str, str], checkpoint_id: str) -> list[str]:
    """Scores the checkpoint on pets of a seed that nobody trained on; the last line of its output is JSON."""
    command = [sys.executable, "-m", "streaming", "score", "--checkpoint", checkpoint_id]
    command += ["--checkpoint-directory", environment["PENSTOCK_CHECKPOINT__DIRECTORY"]]
    return [*command, "--seed", str(wishes.seed + _UNUSED_SEED), "--count", str(SCORED_RECORDS)]


def make_empty(directory: Path) -> None:
    """Create a demo's folder. Raises PenstockError when it holds something or can't be made."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise PenstockError(f"{directory} isn't empty: a demo begins with a fresh folder")
    except OSError as error:
        raise PenstockError(f"--directory {directory}: {error.strerror}") from error
