"""What the listeners of /v1/events are told: made once for each look, however many of them listen."""

from datetime import UTC, datetime
from typing import NamedTuple

from fastapi.sse import format_sse_event
from pydantic import BaseModel, ConfigDict, Field

from service.gallery import Gallery
from service.history import SERIES, TIERS, Point
from service.journal import About, Happening
from service.lag import Lag
from service.recorder import Recorder
from service.routes.status import StatusBody, status_body
from service.tape import Numbered
from service.worker_view import WorkerView

AGAIN_MS = 2000


class HappeningBody(BaseModel):
    """number: counts from 1 with each start of the service. bad: somebody may want to look into it."""

    number: int
    at: datetime
    about: About
    text: str
    bad: bool


class TierBody(BaseModel):
    """A stretch of the past, a value every step_s seconds, the oldest first. at: Unix seconds, one for each value."""

    step_s: float
    most: int = Field(description="So many points are kept.")
    at: list[float]
    series: dict[str, list[float | None]]


class OpeningBody(BaseModel):
    """What there was before: ten minutes, two hours and a day, and the newest happenings, the oldest first."""

    tiers: list[TierBody]
    happenings: list[HappeningBody]


class PointBody(BaseModel):
    """One more value of each series of a tier."""

    tier: int
    at: float
    values: dict[str, float | None]


class NewestBody(BaseModel):
    """checkpoint: id of the newest one. pictures: when the newest ones were taken, for GET /v1/samples."""

    model_config = ConfigDict(frozen=True)

    checkpoint: str | None
    pictures: datetime | None


EVENTS: dict[str, type[BaseModel]] = {
    "opening": OpeningBody,
    "status": StatusBody,
    "point": PointBody,
    "happening": HappeningBody,
    "newest": NewestBody,
}


class Heard(NamedTuple):
    """How far a listener has come: the newest point and happening that it was told, and what was newest then."""

    point: int
    happening: int
    newest: NewestBody | None


class Broadcast:
    """Those who have come equally far share the same bytes until the recorder looks again."""

    def __init__(self, name: str, view: WorkerView, lag: Lag, recorder: Recorder, gallery: Gallery) -> None:
        self._name = name
        self._view = view
        self._lag = lag
        self._recorder = recorder
        self._gallery = gallery
        self._look = recorder.looks
        self._made: dict[Heard | None, tuple[bytes, Heard]] = {}

    def after(self, heard: Heard | None) -> tuple[bytes, Heard]:
        """What comes next for a listener who has come so far, and how far that takes it; None: it has just come."""
        if self._look != self._recorder.looks:
            self._look = self._recorder.looks
            self._made.clear()
        if heard not in self._made:
            self._made[heard] = self._opening() if heard is None else self._news(heard)
        return self._made[heard]

    def _opening(self) -> tuple[bytes, Heard]:
        history, journal = self._recorder.history, self._recorder.journal
        tiers = [_tier(index, history.tier(index)) for index in range(len(TIERS))]
        past = [_happening(each) for each in journal.happenings.after(0)]
        opening = _event("opening", OpeningBody(tiers=tiers, happenings=past), retry=AGAIN_MS)
        news, heard = self._news(Heard(self._recorder.points.newest, journal.happenings.newest, None))
        return opening + news, heard

    def _news(self, heard: Heard) -> tuple[bytes, Heard]:
        points, happenings = self._recorder.points, self._recorder.journal.happenings
        told = [_event("status", status_body(self._name, self._view, self._lag))]
        told += [_event("point", PointBody(**point._asdict())) for _, point in points.after(heard.point)]
        told += [_event("happening", _happening(each)) for each in happenings.after(heard.happening)]
        newest = self._newest()
        if newest != heard.newest:
            told.append(_event("newest", newest))
        return b"".join(told), Heard(points.newest, happenings.newest, newest)

    def _newest(self) -> NewestBody:
        known = [each.checkpoint_id for each in (self._view.committed, self._view.durable) if each is not None]
        pictures = self._gallery.newest
        taken_at = None if pictures is None else datetime.fromtimestamp(pictures.taken_at, UTC)
        return NewestBody(checkpoint=max(known, default=None), pictures=taken_at)


def _event(name: str, body: BaseModel, retry: int | None = None) -> bytes:
    return format_sse_event(event=name, data_str=body.model_dump_json(by_alias=True), retry=retry)


def _tier(index: int, points: list[Point]) -> TierBody:
    return TierBody(
        step_s=TIERS[index].step_s,
        most=TIERS[index].points,
        at=[round(point.at, 1) for point in points],
        series={name: [point.values[name] for point in points] for name in SERIES},
    )


def _happening(each: Numbered[Happening]) -> HappeningBody:
    happening = each.item
    at = datetime.fromtimestamp(happening.at, UTC)
    return HappeningBody(number=each.number, at=at, about=happening.about, text=happening.text, bad=happening.bad)
