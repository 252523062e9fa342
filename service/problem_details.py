"""RFC 9457 problem details: what every failure looks like, in an answer or inside an operation."""

from collections.abc import Sequence
from http import HTTPStatus

from pydantic import BaseModel, Field

URN = "urn:penstock:problem:"
MEDIA_TYPE = "application/problem+json"


class ProblemDetails(BaseModel):
    """RFC 9457. type: `urn:penstock:problem:<slug>`, the one field to decide on."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[str] = Field([], description="Each invalid part of the request, where there are several.")


def details(status: HTTPStatus, slug: str, detail: str, errors: Sequence[str] = ()) -> ProblemDetails:
    title = slug.replace("-", " ").capitalize()
    return ProblemDetails(type=URN + slug, title=title, status=status.value, detail=detail, errors=list(errors))
