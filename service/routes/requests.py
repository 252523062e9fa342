"""What routes that ask for slow work have in common: the 202's Location, the Idempotency-Key, and the refusals."""

from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Annotated

from fastapi import Header, Response

from service.operation import Operation
from service.operations import KeyReused, NotNow, TooMany
from service.problems import HttpProblem
from service.work_desk import Refused

RETRY_AFTER_S = 5
IdempotencyKey = Annotated[
    str | None, Header(min_length=1, max_length=200, description="Asked again with it, the same operation answers.")
]


async def accepted(asking: Awaitable[Operation], response: Response) -> Operation:
    """The operation that a desk took in. Raises HttpProblem for what it refuses."""
    try:
        operation = await asking
    except NotNow as error:
        raise HttpProblem(HTTPStatus.CONFLICT, "not-now", f"no worker is running: {error}") from error
    except KeyReused as error:
        text = "this Idempotency-Key came with another request before; use a fresh one"
        raise HttpProblem(HTTPStatus.UNPROCESSABLE_ENTITY, "idempotency-key-reused", text) from error
    except TooMany as error:
        headers = {"Retry-After": str(RETRY_AFTER_S)}
        text = "too many operations are waiting to be done; ask again later"
        raise HttpProblem(HTTPStatus.TOO_MANY_REQUESTS, "too-many-requests", text, headers) from error
    response.headers["Location"] = f"/v1/operations/{operation.id}"
    return operation


@contextmanager
def refusals_told() -> Iterator[None]:
    """What a piece of work would refuse is refused already. Raises HttpProblem."""
    try:
        yield
    except Refused as refusal:
        raise HttpProblem.of(refusal.problem) from refusal
