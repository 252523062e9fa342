"""`make mutants`: deliberate mistakes in a copy of the tree, each of which must turn the test named beside it red.

A mutant counts as caught only if the tests ran and failed: a test file that can't be collected, or an edit that
doesn't fit the source any more, ends the run with an error.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[2]
TESTS_FAILED = 1  # pytest's exit code; others mean that nothing was tested


class Mutant(NamedTuple):
    """A mistake: in `file`, `old` (once in it) becomes `new`. test: what must notice."""

    name: str
    file: str
    old: str
    new: str
    test: str


POISON = "tests/faults/test_kafka_records.py::test_harmful_records_become_letters_and_their_neighbours_are_trained_once"
MUTANTS = (
    Mutant(
        "settle before the step",
        "streaming/learning.py",
        "            result = self.trainer.step(batch.images, batch.targets)\n            if result.applied:\n",
        "            self._book.trained(batch.partition, batch.offset, batch.event_time_ms)\n"
        "            result = self.trainer.step(batch.images, batch.targets)\n            if result.applied:\n"
        "                self.step, self.loss = self.step + 1, result.loss\n            elif result.applied:\n",
        f"{POISON}[tensorflow-io]",
    ),
    Mutant(
        "a position instead of a set",
        "streaming/ledger/ledger.py",
        "            bitmaps |= book.entries.bitmaps(partition)\n",
        "            highest = span(book.origin, book.highest)\n"
        "            missing = highest - book.settled()\n"
        "            book = book.copy()\n"
        "            book.entries.add(Kind.TRAINED, missing)\n"
        "            bitmaps |= book.entries.bitmaps(partition)\n",
        "tests/faults/test_kill_rounds.py",
    ),
    Mutant(
        "no fsync",
        "streaming/checkpoints/durable.py",
        "            file.flush()\n            os.fsync(file.fileno())\n",
        "            file.flush()\n",
        "tests/streaming/checkpoints/test_durable.py",
    ),
    Mutant(
        "rename before the files",
        "streaming/checkpoints/committing.py",
        '    temporary = directory / f"{TEMPORARY}{fields.name}"\n',
        "    temporary = directory / fields.name\n",
        "tests/streaming/checkpoints/test_committing.py",
    ),
    Mutant(
        "overshoot kept",
        "streaming/round.py",
        "        keep = np.isin(offsets, wanted)\n",
        "        keep = offsets >= 0\n",
        "tests/streaming/records/test_batches.py",
    ),
    Mutant(
        "letter not awaited",
        "streaming/kafka/letter_writer.py",
        "                    error = _outcome(future, deadline)\n",
        "                    error = None\n",
        "tests/faults/test_kafka_records.py::test_letters_that_cannot_be_written_hold_the_position_until_they_can",
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="only the mutants whose name holds one of these words")
    wishes = parser.parse_args()
    chosen = [one for one in MUTANTS if not wishes.names or any(word in one.name for word in wishes.names)]
    table = Table(title="mutants", show_lines=True)
    for name in ("mutant", "caught by", "what it said", "seconds"):
        table.add_column(name, overflow="fold")
    survivors = []
    for one in chosen:
        began = time.monotonic()
        caught, said = trial(one)
        if not caught:
            survivors.append(one.name)
        took = f"{time.monotonic() - began:.0f}"
        table.add_row(one.name, one.test if caught else "nobody", said, took)
        Console(stderr=True).print(f"{one.name}: {'caught' if caught else 'SURVIVED'} after {took} s")
    Console(width=160).print(table)
    if survivors:
        sys.exit(f"survived: {', '.join(survivors)}")


def trial(mutant: Mutant) -> tuple[bool, str]:
    """Whether the test turned red, and its first complaint."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        copy_tree(tree)
        source = tree / mutant.file
        text = source.read_text()
        if text.count(mutant.old) != 1:
            sys.exit(f"mutant {mutant.name!r}: what it changes stands {text.count(mutant.old)} times in {mutant.file}")
        source.write_text(text.replace(mutant.old, mutant.new))
        command = [sys.executable, "-m", "pytest", "-q", "-x", "--tb=short", "--faults", "--rounds", "2", mutant.test]
        ran = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    if ran.returncode not in (0, TESTS_FAILED):
        sys.exit(f"mutant {mutant.name!r}: nothing was tested:\n{ran.stdout[-3000:]}{ran.stderr[-2000:]}")
    complaints = re.findall(r"^E +(.{1,300})", ran.stdout, re.MULTILINE)
    return ran.returncode == TESTS_FAILED, complaints[0] if complaints else ""


def copy_tree(target: Path) -> None:
    """The files that git knows, as they are now."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.split(b"\0")
    for name in filter(None, (entry.decode() for entry in listed)):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes((ROOT / name).read_bytes())


if __name__ == "__main__":
    main()
