"""What is being decoded stands in a file, also when the process that decodes is gone."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from streaming.crash_slot import DecodingSlots, interrupted


def arrays(*places: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    partition, offset = np.array(places, np.int64).T
    return partition, offset


def test_what_is_being_decoded_is_in_the_file_and_then_no_longer(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "decoding"
    noting = DecodingSlots(path, slots=2, capacity=3).open()
    assert interrupted(path) == []
    with noting(*arrays((0, 7), (1, 8), (0, 2**40))) as at:
        at(1)
        with noting(*arrays((4, 5))):
            assert interrupted(path) == [(1, 8), (4, 5), (0, 7), (0, 2**40)]
        assert interrupted(path) == [(1, 8), (0, 7), (0, 2**40)]
    assert interrupted(path) == []


def test_a_decoder_that_raises_leaves_nothing_behind(tmp_path: Path) -> None:
    noting = DecodingSlots(tmp_path / "decoding", slots=1, capacity=2).open()
    for _ in range(3):
        with pytest.raises(ValueError, match="bad"), noting(*arrays((0, 1))):
            raise ValueError("bad")
    assert interrupted(tmp_path / "decoding") == []


def test_the_file_outlives_a_process_that_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "decoding"
    child = os.fork()
    if child == 0:
        with DecodingSlots(path, slots=1, capacity=2).open()(*arrays((0, 1), (0, 2))) as at:
            at(1)
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert interrupted(path) == [(0, 2), (0, 1)]
    DecodingSlots(path, slots=1, capacity=2).open()
    assert interrupted(path) == []


@pytest.mark.parametrize("content", [b"", b"short", bytes(8 * 40), b"\xff" * 64])
def test_a_file_that_is_something_else_names_nobody(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "decoding").write_bytes(content)
    assert interrupted(tmp_path / "decoding") == []
    assert interrupted(tmp_path / "nowhere") == []


def test_a_folder_that_takes_no_file_is_no_reason_not_to_decode(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    noting = DecodingSlots(tmp_path / "file" / "decoding", slots=1, capacity=2).open()
    with noting(*arrays((0, 1))) as at:
        at(0)
