"""/v1/settings: what holds and who said so, and changing what may change while training goes on."""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field, model_validator

from service import ignored
from service.auth import Guard
from service.live_settings import LiveSettings
from service.problems import HttpProblem, documented
from service.settings_rows import Row, Shown, rows
from service.shelf import Shelf
from service.worker_view import WorkerView
from streaming.settings import Applies
from streaming.settings_sources import Source
from streaming.settings_tree import APPLIES, LIVE

LEARNING_RATE = "model.learning_rate"
_SCHEDULED = (
    "the optimizer's learning rate follows a schedule, which nobody else can change: change the schedule in "
    "model.build and restart, or build the optimizer with a plain number"
)
_UNKNOWN = "no worker has told yet whether its optimizer takes a learning rate: ask again once it is at work"


class GivenBody(BaseModel):
    """A value that doesn't hold, because another source wins."""

    source: Source
    value: str


class SettingBody(BaseModel):
    """One setting. Secrets are masked; null: not set.

    overridden: what others gave; the first of them would hold without the present source.
    """

    name: str
    value: Shown
    source: Source
    applies: Applies = Field(description="When a change does: at once, at the next start, or in a new training only.")
    description: str
    ignored: str | None = Field(description="Why the value changes nothing; null: it holds.")
    overridden: list[GivenBody]


class SettingsBody(BaseModel):
    settings: list[SettingBody]


class SettingsPatch(BaseModel):
    """What is given changes at once, wins over file, environment and flags, and outlives restarts; null takes back
    what was given here before."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{LEARNING_RATE: 0.001}, {"service.log_level": None}]}
    )

    learning_rate: Annotated[
        float | None, Field(alias=LEARNING_RATE, gt=0, le=1000, strict=True, allow_inf_nan=False)
    ] = None
    interval_s: Annotated[
        float | None, Field(alias="checkpoint.interval_s", gt=0, strict=True, allow_inf_nan=False)
    ] = None
    log_level: Annotated[Literal["debug", "info", "warning", "error"] | None, Field(alias="service.log_level")] = None

    @model_validator(mode="before")
    @classmethod
    def _live(cls, body: Any) -> Any:
        fixed = [name for name in body if APPLIES.get(name, "live") != "live"] if isinstance(body, Mapping) else []
        if fixed:
            raise ValueError(f"{fixed[0]} applies at a {APPLIES[fixed[0]]}; live are {', '.join(LIVE)}")
        return body


def router(live: LiveSettings, view: WorkerView, shelf: Shelf, guard: Guard) -> APIRouter:
    routes = APIRouter(prefix="/v1/settings", tags=["settings"], dependencies=[Depends(guard)])

    def told() -> SettingsBody:
        return SettingsBody(settings=[_body(row) for row in rows(live.now, live.origins, _ignored(live, view, shelf))])

    @routes.get("", responses=documented(401, 403, 503))
    def show_settings() -> SettingsBody:
        """Each setting with its value, its source, and when a change applies; secrets are masked."""
        return told()

    @routes.patch("", responses=documented(400, 401, 403, 409, 422, 503))
    async def change_settings(changes: SettingsPatch) -> SettingsBody:
        """Change a live setting: learning rate, checkpoint interval, log level. It stands in the next checkpoints."""
        given = changes.model_dump(by_alias=True, exclude_unset=True)
        if given.get(LEARNING_RATE) is not None:
            await asyncio.to_thread(_refuse_unless_settable, view, shelf)
        await live.patch(given)
        return await asyncio.to_thread(told)

    return routes


def _refuse_unless_settable(view: WorkerView, shelf: Shelf) -> None:
    rate_from = view.status.rate_from if view.status is not None else shelf.trainer_state().get("rate_from")
    if rate_from is None:
        raise HttpProblem(HTTPStatus.CONFLICT, "not-now", _UNKNOWN)
    if rate_from == "schedule":
        raise HttpProblem(HTTPStatus.CONFLICT, "learning-rate-scheduled", _SCHEDULED)


def _ignored(live: LiveSettings, view: WorkerView, shelf: Shelf) -> dict[str, str]:
    found = ignored.without_effect(live.now, live.origins)
    found |= ignored.begun_otherwise(shelf.trainer_state().get("new_run", {}), live.now)
    status = view.status
    idle = None if status is None else ignored.learning_rate(status.learning_rate, status.rate_from)
    return found if idle is None else {**found, LEARNING_RATE: idle}


def _body(row: Row) -> SettingBody:
    overridden = [GivenBody(source=each.source, value=each.text) for each in row.overridden]
    return SettingBody(**row._asdict() | {"overridden": overridden})
