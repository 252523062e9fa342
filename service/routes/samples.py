"""GET /v1/samples: the newest pictures with what the model makes of them."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from service.auth import Guard
from service.gallery import KEPT, Gallery
from service.problems import documented
from streaming.control.messages import Picture, Pictures

_JPEG = "data:image/jpeg;base64,/9j/4AAQSkZJRgABAQAAAQABAAD/2wBD"
_PNG = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAIAAAACACAMAAAD04JH5"


class SampleBody(BaseModel):
    """A record as the model saw it, augmented, just before it was trained. Pictures are data URLs of one size.

    mask, prediction: each sample is a class, shown in its colour; 255 is ignored. error: 1 where they differ.
    A model that classifies has label and predicted_label in their place.
    """

    partition: int
    offset: int
    step: int = Field(description="Training step of the weights that made the prediction.")
    taken_at: datetime
    image: str = Field(description="JPEG.", examples=[_JPEG])
    mask: str | None = Field(description="PNG.", examples=[_PNG])
    prediction: str | None = Field(description="PNG.", examples=[_PNG])
    error: str | None = Field(description="PNG.", examples=[_PNG])
    label: int | None
    predicted_label: int | None
    wrong: float | None = Field(description="Share of the known pixels that is wrong; null where none is known.")


class SamplesBody(BaseModel):
    """The newest first; none until a batch was scored (`evaluation.every_batches`). colours: by class, `#rrggbb`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "colours": ["#f4a23a", "#203a54", "#faf4e2"],
                    "samples": [
                        {
                            "partition": 0, "offset": 4217, "step": 130, "taken_at": "2026-11-23T18:00:00Z",
                            "image": _JPEG, "mask": _PNG, "prediction": _PNG, "error": _PNG,
                            "label": None, "predicted_label": None, "wrong": 0.031,
                        }
                    ],
                }
            ]
        }
    )  # fmt: skip

    colours: list[str]
    samples: list[SampleBody]


def router(gallery: Gallery, guard: Guard) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["status"], dependencies=[Depends(guard)])

    @routes.get("/samples", responses=documented(401, 403, 422))
    async def samples(limit: Annotated[int, Query(ge=1, le=KEPT)] = 4) -> SamplesBody:
        """The newest pictures with mask, prediction and error; the worker shows a few every 5 s at most."""
        newest = gallery.newest
        colours = newest.colours if newest is not None else []
        return SamplesBody(colours=colours, samples=[_body(*each) for each in gallery.pictures(limit)])

    return routes


def _body(message: Pictures, picture: Picture) -> SampleBody:
    taken_at = datetime.fromtimestamp(message.taken_at, UTC)
    return SampleBody(step=message.step, taken_at=taken_at, **picture.model_dump())
