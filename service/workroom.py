"""A folder of its own in `.service/` for a piece of work, with a checkpoint's model that retention can't take away."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from service.shelf import CheckpointGone
from streaming.checkpoints.disk import os_errors
from streaming.checkpoints.durable import LOCAL, make_directory
from streaming.checkpoints.store import MODEL_FILE


@asynccontextmanager
async def workroom(folder: Path, source: Path) -> AsyncIterator[Path]:
    """Gone afterwards; what a killed service has left in it is removed before. Holds `MODEL_FILE`, that of the
    checkpoint's directory `source` under a second name.

    Raises CheckpointGone, CheckpointError.
    """
    await asyncio.to_thread(_furnish, folder, source)
    try:
        yield folder
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _furnish(folder: Path, source: Path) -> None:
    with os_errors("a model can't be taken aside"):
        shutil.rmtree(folder, ignore_errors=True)
        make_directory(folder)
        try:
            LOCAL.link(source / MODEL_FILE, folder / MODEL_FILE)
        except FileNotFoundError as error:
            raise CheckpointGone(f"there is no checkpoint {source.name} any more") from error
