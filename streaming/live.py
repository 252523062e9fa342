"""The settings that change while the worker runs, and the account of their changes that goes into the checkpoints."""

import math
import time
from collections.abc import Callable, Mapping

import structlog

from streaming.checkpoints.manifest import Manifest, SettingChange
from streaming.checkpoints.saver import Saver
from streaming.control.messages import Change, RateFrom
from streaming.errors import SettingsError, UserCodeError
from streaming.settings import Settings
from streaming.settings_tree import replaced, values_of
from streaming.training.trainer import Trainer

LEARNING_RATE, INTERVAL, LOG_LEVEL = "model.learning_rate", "checkpoint.interval_s", "service.log_level"
MOST_CHANGES = 100  # in one checkpoint; beyond that the newest change takes in the one before

_log = structlog.get_logger()


class Live:
    """Belongs to the main thread. settings: as they are now. changes: since the newest checkpoint, the oldest first;
    made: how many there ever were. sources: of the live settings. set_level: of this process' log."""

    def __init__(
        self,
        settings: Settings,
        sources: Mapping[str, str],
        trainer: Trainer,
        saver: Saver,
        set_level: Callable[[str], None],
    ) -> None:
        self.settings = settings
        self._sources = sources
        self._trainer = trainer
        self._saver = saver
        self._set_level = set_level
        self.changes: list[SettingChange] = []
        self.made = 0

    @property
    def values(self) -> dict[str, float | str]:
        """By name."""
        return values_of(self.settings, "live")

    @property
    def rate_from(self) -> RateFrom:
        """Whether the optimizer's learning rate is that of the settings, or whose else."""
        if self._trainer.scheduled:
            return "schedule"
        same = math.isclose(self._trainer.learning_rate, self.settings.model.learning_rate, rel_tol=1e-5)
        return "setting" if same else "model"

    def begin(self) -> None:
        """Of a new training. A learning rate that was set over HTTP is meant for whatever model there is.

        Raises UserCodeError if its optimizer doesn't take it."""
        if self._sources.get(LEARNING_RATE) == "api":
            self._trainer.learning_rate = self.settings.model.learning_rate
        self._tell_an_ignored_rate()

    def restored(self, manifest: Manifest) -> None:
        """After the weights. A setting that has changed since the checkpoint wins, otherwise the restored value does.

        Raises UserCodeError for a learning rate that the optimizer doesn't take.
        """
        configured = manifest.trainer_state["configured_learning_rate"]
        if configured != self.settings.model.learning_rate:
            self._trainer.learning_rate = self.settings.model.learning_rate
        before = {LEARNING_RATE: configured, **manifest.live_settings}
        for name, value in self.values.items():
            if before.get(name, value) != value:
                self._note(name, before[name], value, self._sources.get(name, "default"), manifest.step)
        self._tell_an_ignored_rate()

    def change(self, wanted: Change, step: int) -> None:
        """From the next step on. One that can't be made is told in the log, and nothing else happens."""
        before = self.values.get(wanted.setting)
        try:
            settings = replaced(self.settings, {wanted.setting: wanted.value})
            if wanted.setting == LEARNING_RATE:
                self._trainer.learning_rate = settings.model.learning_rate
        except (SettingsError, UserCodeError) as error:
            _log.error("setting_refused", setting=wanted.setting, detail=str(error))
            return
        self.settings = settings
        self._saver.interval_s = settings.checkpoint.interval_s
        self._set_level(settings.service.log_level)
        if before is not None and before != wanted.value:
            self._note(wanted.setting, before, wanted.value, wanted.source, step)

    def saved(self, manifest: Manifest) -> None:
        """What a checkpoint tells needn't be told by the next."""
        self.changes = [change for change in self.changes if change not in manifest.setting_changes]

    def _tell_an_ignored_rate(self) -> None:
        if self.rate_from != "setting" and self._sources.get(LEARNING_RATE, "default") != "default":
            rate = self._trainer.learning_rate
            _log.warning("setting_ignored", setting=LEARNING_RATE, detail=f"the model's own {self.rate_from}: {rate:g}")

    def _note(self, name: str, before: float | str, after: float | str, source: str, step: int) -> None:
        _log.info("setting_changed", setting=name, before=before, after=after, source=source, step=step)
        if len(self.changes) >= MOST_CHANGES:
            last = next((each for each in reversed(self.changes) if each.setting == name), None)
            if last is not None:
                self.changes.remove(last)
                before = last.before
        self.changes.append(
            SettingChange(setting=name, before=before, after=after, source=source, step=step, at=time.time())
        )
        self.made += 1
