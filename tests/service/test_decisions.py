"""The operator's decisions on disk."""

import asyncio
import resource
from pathlib import Path

import pytest

from service.decisions import Decisions
from streaming.control.decisions import AdoptTopic, Decision, Quarantine, ResetBreaker
from streaming.errors import CheckpointError

MADE: list[Decision] = [
    ResetBreaker(at=1.0),
    Quarantine(at=2.0, topic_id="t", partition=3, offset=7, detail="SIGSEGV\nin two lines"),
    AdoptTopic(at=3.0, topic_id="new"),
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "decisions.jsonl"


def written(file: Path, *decisions: Decision) -> Decisions:
    async def main() -> Decisions:
        book = Decisions(file)
        book.load()
        for decision in decisions:
            await book.add(decision)
        return book

    return asyncio.run(main())


def read(file: Path) -> list[Decision]:
    book = Decisions(file)
    book.load()
    return book.all()


def test_decisions_come_back_in_their_order(file: Path) -> None:
    assert read(file) == []
    assert written(file, *MADE[:2]).all() == MADE[:2]
    assert written(file, MADE[2]).all() == MADE
    assert read(file) == MADE


def test_decision_cut_short_at_any_byte_is_dropped_and_the_next_one_is_whole(file: Path) -> None:
    written(file, *MADE)
    content = file.read_bytes()
    ends = [n + 1 for n, byte in enumerate(content) if byte == ord("\n")]
    for length in range(len(content)):
        file.write_bytes(content[:length])
        assert read(file) == MADE[: sum(end <= length for end in ends)]
        assert written(file, MADE[0]).all()[-1] == MADE[0]
        assert read(file)[-1] == MADE[0]


@pytest.mark.parametrize("line", [b"nonsense", b"", b'{"kind": "of_a_later_release", "at": 1}', b"\xff"])
def test_other_damage_is_refused_with_its_line(file: Path, line: bytes) -> None:
    written(file, *MADE)
    lines = file.read_bytes().split(b"\n")
    lines[1] = line
    file.write_bytes(b"\n".join(lines))
    with pytest.raises(CheckpointError, match="line 2 is no decision"):
        read(file)


def test_decision_that_does_not_fit_was_not_made(file: Path) -> None:
    written(file, MADE[0])
    before = file.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, hard))
    try:
        with pytest.raises(CheckpointError, match="No space left"):
            written(file, MADE[1])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert file.read_bytes() == before


def test_quarantined_records_are_those_of_the_topic(file: Path) -> None:
    book = written(file, *MADE, Quarantine(at=4.0, topic_id="other", partition=0, offset=1, detail=""))
    assert book.quarantined("t") == {(3, 7)}
