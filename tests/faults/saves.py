"""Real saves in processes that can be traced: a server that forks one for each line of its input.

A line `DIRECTORY` makes a child, whose pid is printed; the next line lets it save, and its exit code is printed:
0, the save succeeded; REFUSED, it failed and the next one, its sequence one higher, succeeded; 1, something else.
`python -m tests.faults.saves`
"""

import os
import select
import sys
import time
import traceback
from pathlib import Path

from streaming.checkpoints.manifest import EvaluationFile, ManifestFields, checkpoint_id
from streaming.checkpoints.store import LEDGER_FILE, MODEL_FILE, CheckpointStore
from streaming.errors import CheckpointError
from streaming.ledger.ledger import Generation, Kind, Ledger

REFUSED = 10
SEGMENT = 64
RECORDS = 100  # settled by each save


def ledger(sequence: int) -> Ledger:
    """That of the checkpoint with this number; each has sealed a segment more than the one before."""
    book = Ledger(Generation("c1", "pets", "t1"), SEGMENT)
    book.open_partition(0, 0)
    book.record(0, Kind.TRAINED, range(0, RECORDS * sequence, 2))
    book.record(0, Kind.HELD_OUT, range(1, RECORDS * sequence, 2))
    return book


def weights(sequence: int) -> bytes:
    return b"weights %09d" % sequence * 4000


def save(store: CheckpointStore, sequence: int) -> None:
    """What the worker's thread does: evaluation set, history, checkpoint, label, and retention of one."""
    book = ledger(sequence)
    name, sha256 = store.write_evaluation(1, sequence, weights(sequence))
    fields = ManifestFields(
        parent=checkpoint_id(1, sequence - 1) if sequence > 1 else None,
        cause="periodic",
        step=sequence,
        created_at=time.time(),
        epoch=1,
        sequence=sequence,
        settings_digest="d",
        learning_rate=0.003,
        model_signature="m",
        generation=book.generation,
        positions={0: book.position(0)},
        records=book.counts(),
        evaluation=EvaluationFile(set=1, file=name, sha256=sha256),
        history=store.write_history(book),
    )
    store.write(fields, {MODEL_FILE: weights(sequence), LEDGER_FILE: book.dump()})
    store.set_label(fields.name, f"number {sequence}")
    store.prune(1, 0, 0)


def _child(directory: Path, ready: int) -> int:
    store = CheckpointStore(directory)
    sequence = store.highest()[1] + 1
    select.select([ready], [], [])  # no call that a save makes, so that those are counted from its beginning
    try:
        save(store, sequence)
    except CheckpointError:
        save(store, sequence + 1)
        return REFUSED
    return 0


def _fork(directory: Path, ready: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        code = _child(directory, ready)
    except Exception:  # noqa: BLE001  # nothing may leave the child but by its exit code
        traceback.print_exc()
    os._exit(code)


def main() -> None:
    for line in iter(sys.stdin.readline, ""):
        ours, theirs = os.pipe()
        pid = _fork(Path(line.strip()), ours)
        print(pid, flush=True)
        sys.stdin.readline()
        os.write(theirs, b"g")
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
        os.close(ours)
        os.close(theirs)


if __name__ == "__main__":
    main()
