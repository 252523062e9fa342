"""One service a checkpoint directory: an advisory lock that the kernel frees when its holder ends."""

import asyncio
import fcntl
import json
import os
import socket
import time
from datetime import UTC, datetime
from pathlib import Path

import structlog

from streaming.errors import CheckpointError

WAIT_S = 30.0
_RETRY_S = 0.2
_log = structlog.get_logger()


class DirectoryLocked(CheckpointError):
    """Another service holds the lock and didn't let go in time."""


class DirectoryLock:
    """`flock` on one file. Its content (pid, host, since) is for people; the lock itself is the kernel's."""

    def __init__(self, path: Path, wait_s: float = WAIT_S) -> None:
        self._path = path
        self._wait_s = wait_s
        self._descriptor: int | None = None

    async def acquire(self) -> None:
        """Wait for the lock. Raises DirectoryLocked, naming the holder, after `wait_s`."""
        deadline, awaited = time.monotonic() + self._wait_s, False
        while not await asyncio.to_thread(self._try):
            if not awaited:
                _log.warning("directory_lock_awaited", holder=self._holder(), seconds=self._wait_s)
                awaited = True
            if time.monotonic() >= deadline:
                raise DirectoryLocked(f"{self._path.parent.parent} is in use by {self._holder()}; stop that one first")
            await asyncio.sleep(_RETRY_S)

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _try(self) -> bool:
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise CheckpointError(f"{self._path}: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except OSError as error:
            os.close(descriptor)
            raise CheckpointError(f"{self._path}: this file system has no locks: {error.strerror}") from error
        now = datetime.now(UTC).isoformat(timespec="seconds")
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": now}
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(holder).encode(), 0)
        self._descriptor = descriptor
        return True

    def _holder(self) -> str:
        try:
            holder = json.loads(self._path.read_bytes())
            return f"process {holder['pid']} on {holder['host']}, since {holder['since']}"
        except (OSError, ValueError, LookupError, TypeError):
            return "a process that left no name"
