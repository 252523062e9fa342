"""A checkpoint's write, killed or refused at every system call: the old one stands, or the new one does, and whole."""

import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from streaming.checkpoints.manifest import checkpoint_id
from streaming.checkpoints.store import MODEL_FILE, CheckpointStore
from tests.faults.saves import REFUSED, ledger, save, weights
from tests.faults.table import Results
from tests.faults.tracing import Call, SaveServer, calls, needs_strace

pytestmark = needs_strace

KILLED = -9
ON_FILES = re.compile("openat|mkdir|rename|write|fsync|link|unlink|unlinkat|rmdir|getdents64|close|newfstatat|read")
ERRORS = {"write": "ENOSPC", "openat": "EMFILE"}  # any other call fails with EIO
OLD = 2


@pytest.fixture(scope="module")
def server() -> Iterator[SaveServer]:
    one = SaveServer()
    yield one
    one.close()


@pytest.fixture(scope="module")
def old_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with checkpoint 2, whose predecessor has been removed; to be copied."""
    directory = tmp_path_factory.mktemp("old")
    for sequence in range(1, OLD + 1):
        save(CheckpointStore(directory), sequence)
    return directory


@pytest.fixture(scope="module")
def whole(server: SaveServer, old_store: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Call]:
    """The system calls of an undisturbed save."""
    directory = tmp_path_factory.mktemp("whole")
    shutil.copytree(old_store, directory / "run")
    assert server.save(directory / "run", directory / "log") == 0
    return calls(directory / "log")


def newest(directory: Path) -> int:
    """The number of the newest valid checkpoint, whose content must be what was saved, with none passed over."""
    store = CheckpointStore(directory / "run")
    manifest, passed_over = store.newest_valid()
    assert manifest is not None
    assert passed_over == []
    number = manifest.sequence
    assert store.ledger(manifest.id) == ledger(number)
    assert (store.path(manifest.id) / MODEL_FILE).read_bytes() == weights(number)
    assert manifest.evaluation is not None
    assert store.read_evaluation(manifest.evaluation.file, manifest.evaluation.sha256) == weights(number)
    return number


def goes_on(directory: Path) -> None:
    """A successor cleans up, saves, and leaves nothing of the dead one's."""
    store = CheckpointStore(directory / "run")
    store.clean()
    following = store.highest()[1] + 1
    save(store, following)
    assert newest(directory) == following
    left = {path.name for path in store.directory.rglob("*") if path.name.startswith(".")}
    assert left == set()
    # A note that could not be read counts as a pin.
    assert [info.id for info in store.list() if not info.pinned] == [checkpoint_id(1, following)]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_at_every_system_call_the_newest_is_the_old_or_the_new_and_whole(
    server: SaveServer, whole: list[Call], old_store: Path, tmp_path: Path, results: Results
) -> None:
    came = []
    for place, call in enumerate(whole):
        directory = tmp_path / str(place)
        shutil.copytree(old_store, directory / "run")
        code = server.save(directory / "run", directory / "log", f"{call.name}:signal=SIGKILL:when={call.number}")
        assert code == KILLED, call
        assert len(calls(directory / "log")) == place + 1, "killed elsewhere"
        came.append(newest(directory))
        goes_on(directory)
    renamed = next(
        place for place, call in enumerate(whole) if call.name == "rename" and "/run/e0" in call.text.split('", "')[1]
    )
    assert came == [OLD] * (renamed + 1) + [OLD + 1] * (len(whole) - renamed - 1)
    results.add(
        "killed at each system call of a checkpoint's write",
        rounds=len(whole),
        outcome=f"old one {came.count(OLD)} times, new one {came.count(OLD + 1)} times, always whole",
        visible="the process is dead: as kill -9",
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_refused_at_every_system_call_it_says_so_and_the_next_save_succeeds(
    server: SaveServer, whole: list[Call], old_store: Path, tmp_path: Path, results: Results
) -> None:
    began, codes, uncaught = time.monotonic(), Counter[int](), []
    refusals = [call for call in whole if ON_FILES.fullmatch(call.name)]
    for place, call in enumerate(refusals):
        directory = tmp_path / str(place)
        shutil.copytree(old_store, directory / "run")
        error = ERRORS.get(call.name, "EIO")
        code = server.save(directory / "run", directory / "log", f"{call.name}:error={error}:when={call.number}")
        codes[code] += 1
        if code not in (0, REFUSED):
            uncaught.append(call)
            continue
        assert newest(directory) in (OLD + 1, OLD + 2), call
        goes_on(directory)
    assert uncaught == []
    print(f"{len(refusals)} in {time.monotonic() - began:.1f} s")
    results.add(
        "EIO, ENOSPC or EMFILE at each system call of a checkpoint's write",
        rounds=len(refusals),
        outcome=f"refused {codes[REFUSED]} times and saved by the next attempt, {codes[0]} times it didn't matter",
        visible="see disk full, failed fsync, failed rename",
    )


def test_everything_is_on_the_disk_before_the_rename_and_the_rename_before_the_end(whole: list[Call]) -> None:
    """What a power cut may take back is what no fsync has followed."""
    unsynced: set[str] = set()
    renames = 0
    for call in whole:
        on = re.match(r"\d+<([^>]*)>", call.text)
        if call.name == "write" and on:
            unsynced.add(on[1])
        elif call.name in ("openat", "mkdir") and (call.name == "mkdir" or "O_CREAT" in call.text):
            path = Path(re.findall('"([^"]*)"', call.text)[0])
            unsynced |= {str(path.parent)} | ({str(path)} if call.name == "openat" else set())
        elif call.name == "fsync" and on:
            unsynced.discard(on[1])
        elif call.name == "rename":
            source, target = (Path(name) for name in re.findall('"([^"]*)"', call.text))
            if source.name.startswith(".tmp-"):
                renames += 1
                inside = {name for name in unsynced if Path(name) == source or source in Path(name).parents}
                assert inside == set(), f"renamed before it is on the disk: {inside}"
                unsynced.add(str(target.parent))
        elif call.name in ("unlink", "unlinkat", "rmdir"):
            assert not any("/.tmp-" not in name for name in unsynced), (
                f"old removed before the new is durable: {unsynced}"
            )
    assert renames >= 4  # evaluation set, history, checkpoint, label
    assert unsynced == set()
