"""The settings that change while the service runs: what was set over HTTP wins over file, environment and flags, and
outlives service and worker, until it is taken back."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog

from service.folder import StateFile
from service.ignored import without_effect
from service.settings_rows import overlaid
from streaming.control.messages import Change
from streaming.errors import CheckpointError, SettingsError
from streaming.settings import Settings, revealed
from streaming.settings_sources import Origins
from streaming.settings_tree import LIVE, replaced, values_of

_log = structlog.get_logger()


class LiveSettings:
    """now: the settings that hold. tell: sends to the worker that runs, if there is one. set_level: of this process'
    log. ours: waits until the directory is this service's to change, and raises the CheckpointError if it never is."""

    def __init__(
        self,
        settings: Settings,
        origins: Origins,
        file: StateFile,
        ours: Callable[[], Awaitable[None]],
        tell: Callable[[Change], object],
        set_level: Callable[[str], None],
    ) -> None:
        self._given = settings
        self._given_origins = origins
        self._file = file
        self._ours = ours
        self._tell = tell
        self._set_level = set_level
        self._patched: dict[str, float | str] = {}
        self._changing = asyncio.Lock()
        self.now = settings

    @property
    def origins(self) -> Origins:
        return overlaid(self._given_origins, self._patched)

    def load(self) -> None:
        """What was set over HTTP in an earlier life. Raises CheckpointError."""
        kept = self._file.read() or {}
        try:
            now = self._with(kept)
        except SettingsError as error:
            text = f"{self._file.path}: {error}; move it away to begin without what was set over HTTP"
            raise CheckpointError(text) from error
        self._hold(now, kept)
        for name, why in without_effect(self.now, self.origins).items():
            _log.warning("setting_ignored", setting=name, detail=why)

    def configuration(self) -> dict[str, Any]:
        """What a worker is started with, secrets included."""
        return {
            "settings": revealed(self.now),
            "sources": {name: self._source(name) for name in LIVE},
        }

    async def patch(self, changes: Mapping[str, float | str | None]) -> None:
        """From now on, by name; None takes back what was set over HTTP. Durable when this returns, and told.

        Raises SettingsError for a value that can't work, or a setting that isn't live; CheckpointError if it can't be
        written: then nothing has changed.
        """
        await self._ours()
        async with self._changing:
            wanted = {name: value for name, value in {**self._patched, **changes}.items() if value is not None}
            now = self._with(wanted)
            await self._file.write(lambda: wanted)
            before = values_of(self.now, "live")
            self._hold(now, wanted)
            for name, value in values_of(now, "live").items():
                if name in changes:
                    _log.info("setting_patched", setting=name, before=before[name], after=value)
                    self._tell(Change(setting=name, value=value, source=self._source(name)))

    def _with(self, patched: Any) -> Settings:
        if not isinstance(patched, Mapping) or not set(patched) <= set(LIVE):
            raise SettingsError(f"may hold {', '.join(LIVE)} and nothing else")
        return replaced(self._given, patched)

    def _hold(self, now: Settings, patched: Mapping[str, float | str]) -> None:
        values = values_of(now, "live")
        self.now, self._patched = now, {name: values[name] for name in patched}
        self._set_level(now.service.log_level)

    def _source(self, name: str) -> str:
        given = self.origins.get(name)
        return given[0].source if given else "default"
