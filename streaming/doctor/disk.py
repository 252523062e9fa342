"""The checkpoints' folder: may it be written to, what stands in it, and is there room for what comes."""

import os
import shutil
from pathlib import Path

from streaming.checkpoints.store import CheckpointStore
from streaming.doctor.finding import Finding, failed, ok, warning
from streaming.errors import CheckpointDamaged, CheckpointError
from streaming.ledger.ledger import Ledger
from streaming.settings import Settings

LEAST = 2  # checkpoints: the newest, and the one that is being written


def newest(settings: Settings) -> tuple[str, Ledger] | None:
    """The id and the ledger of the newest checkpoint that can be read; None without any. Raises CheckpointError."""
    store = CheckpointStore(settings.checkpoint_directory)
    for info in store.list():
        try:
            return info.id, store.ledger(info.id)
        except CheckpointDamaged:
            continue
    return None


def check_folder(settings: Settings) -> Finding:
    """Whether checkpoints can be read and written."""
    folder = settings.checkpoint_directory
    try:
        infos = CheckpointStore(folder).list()
    except CheckpointError as error:
        return failed("checkpoints", str(error), "mount the volume, or correct checkpoint.directory")
    there = _existing(folder)
    if not os.access(there, os.W_OK | os.X_OK):
        return failed("checkpoints", f"{there} can't be written to", "grant the right, or set checkpoint.directory")
    damaged = [info.id for info in infos if info.integrity == "damaged"]
    if damaged:
        text = f"{folder}: the manifest of {', '.join(damaged)} can't be read"
        return warning("checkpoints", text, "the runbook's checkpoint-damaged says what to do")
    if not infos:
        return ok("checkpoints", f"{folder} can be written to and holds none yet")
    return ok("checkpoints", f"{folder} can be written to and holds {len(infos)}, the newest {infos[0].id}")


def check_room(settings: Settings, checkpoint_bytes: int) -> Finding:
    """checkpoint_bytes: what one takes, about."""
    keep = settings.checkpoint
    most = keep.keep + keep.keep_hourly + keep.keep_daily + 1
    picture_bytes = 4 * settings.pipeline.image_size**2
    evaluation_bytes = 2 * settings.evaluation.size * picture_bytes if settings.evaluation.fraction else 0
    there = _existing(settings.checkpoint_directory)
    free = shutil.disk_usage(there).free + _taken(settings.checkpoint_directory)
    wanted = most * checkpoint_bytes + evaluation_bytes
    text = f"{_told(free)} for checkpoints of {_told(checkpoint_bytes)}; up to {most} are kept, {_told(wanted)} in all"
    remedy = "free space, or keep fewer: checkpoint.keep, keep_hourly, keep_daily"
    if free < LEAST * checkpoint_bytes + evaluation_bytes:
        return failed("room", text, remedy)
    return warning("room", text, remedy) if free < wanted else ok("room", text)


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())


def _taken(folder: Path) -> int:
    """Bytes of the checkpoints that are there: they make room as others come."""
    return sum(info.size_bytes for info in CheckpointStore(folder).list())


def _told(size_bytes: int) -> str:
    for unit, name in ((1e9, "GB"), (1e6, "MB")):
        if size_bytes >= unit:
            return f"{size_bytes / unit:.1f} {name}"
    return f"{size_bytes / 1e3:.1f} kB"
