"""A durable write, with the disk failing at every step."""

import errno
import os
import tempfile
from pathlib import Path

import pytest

from streaming.checkpoints.durable import LocalFiles, make_directory, write_durably


class FullDisk(LocalFiles):
    """Fails at one operation; a failing write leaves half of its bytes."""

    def __init__(self, failing: str) -> None:
        self.failing = failing

    def write(self, path: Path, content: bytes) -> None:
        if self.failing == "write":
            path.write_bytes(content[: len(content) // 2])
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        super().write(path, content)

    def move(self, source: Path, target: Path) -> None:
        if self.failing == "move":
            raise OSError(errno.EIO, "Input/output error", str(source))
        super().move(source, target)


class WatchedDisk(LocalFiles):
    """Remembers what was done, temporaries as `temporary`."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def write(self, path: Path, content: bytes) -> None:
        self.done.append(f"write {_short(path)}")
        super().write(path, content)

    def sync(self, path: Path) -> None:
        self.done.append(f"sync {_short(path)}")
        super().sync(path)

    def move(self, source: Path, target: Path) -> None:
        self.done.append(f"move {_short(source)} {_short(target)}")
        super().move(source, target)


def _short(path: Path) -> str:
    return "temporary" if path.name.startswith(".tmp-") else path.name


def test_the_name_is_on_the_disk_after_the_content(tmp_path: Path) -> None:
    disk = WatchedDisk()
    write_durably(tmp_path / "state.json", b"one", disk)
    assert disk.done == ["write temporary", "move temporary state.json", f"sync {tmp_path.name}"]


def test_every_new_directory_is_on_the_disk_in_the_one_above_it(tmp_path: Path) -> None:
    disk = WatchedDisk()
    make_directory(tmp_path / "volume" / "pets", disk)
    assert disk.done == [f"sync {tmp_path.name}", "sync volume"]
    make_directory(tmp_path / "volume" / "pets", disk)
    assert len(disk.done) == 2
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FileExistsError):
        make_directory(tmp_path / "file", disk)


def test_a_file_is_created_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_durably(path, b"one")
    write_durably(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failing", ["write", "move"])
def test_a_failing_write_keeps_the_old_content_and_leaves_nothing_behind(tmp_path: Path, failing: str) -> None:
    path = tmp_path / "state.json"
    write_durably(path, b"old")
    with pytest.raises(OSError, match=r"No space|Input/output"):
        write_durably(path, b"a new one", FullDisk(failing))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_names_its_path(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing") as failed:
        write_durably(tmp_path / "missing" / "state.json", b"x")
    assert "missing" in str(failed.value.filename)


def test_a_second_name_is_the_same_file(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"weights")
    LocalFiles().link(tmp_path / "model", tmp_path / "again")
    assert (tmp_path / "again").samefile(tmp_path / "model")


def test_where_a_second_name_is_impossible_the_file_is_copied(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:  # a file system of its own
        source = Path(elsewhere) / "model"
        source.write_bytes(b"weights")
        assert source.stat().st_dev != tmp_path.stat().st_dev
        LocalFiles().link(source, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"weights"


def test_a_name_that_is_taken_is_an_error_and_no_reason_to_copy(tmp_path: Path) -> None:
    for name in ("model", "taken"):
        (tmp_path / name).write_text(name)
    with pytest.raises(FileExistsError):
        LocalFiles().link(tmp_path / "model", tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "taken"


def test_content_then_name_then_directory_reach_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced, fsync = [], os.fsync

    def noted(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        synced.append((_short(path), (tmp_path / "state.json").exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    write_durably(tmp_path / "state.json", b"one")
    assert synced == [("temporary", False), (tmp_path.name, True)]
