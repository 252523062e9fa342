"""Every error over HTTP is answered as problem details, whoever raised it."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Self

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.routing import Match

from service.problem_details import MEDIA_TYPE, URN, ProblemDetails, details
from streaming.errors import CheckpointError

_log = structlog.get_logger()


class HttpProblem(Exception):
    """Raised by routes; answered as problem details."""

    def __init__(self, status: HTTPStatus, slug: str, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.details = details(status, slug, detail)
        self.headers = headers

    @classmethod
    def of(cls, problem: ProblemDetails) -> Self:
        """The same as an answer."""
        return cls(HTTPStatus(problem.status), problem.type.removeprefix(URN), problem.detail)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For a route's `responses`: these statuses carry problem details."""
    schema = {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}
    return {each: {"description": HTTPStatus(each).phrase, "content": {MEDIA_TYPE: schema}} for each in statuses}


def install(app: FastAPI) -> None:
    """Answer every error of `app` as problem details."""
    app.add_exception_handler(HttpProblem, _own)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _routing)
    app.add_exception_handler(CheckpointError, _storage)
    app.add_exception_handler(Exception, _unexpected)


def response(problem: ProblemDetails, headers: dict[str, str] | None = None) -> JSONResponse:
    body = problem.model_dump(exclude_defaults=True)
    return JSONResponse(body, problem.status, headers, media_type=MEDIA_TYPE)


async def _own(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HttpProblem)
    return response(error.details, error.headers)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    errors = [_complaint(each) for each in error.errors()]
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    return response(details(status, "invalid-request", errors[0], errors if len(errors) > 1 else ()))


def _complaint(each: Mapping[str, Any]) -> str:
    """Where, and what, of one of pydantic's errors."""
    if each["type"] == "json_invalid":  # its place is the character's number
        return f"body: not JSON at character {each['loc'][-1]}: {each['ctx']['error']}"
    return f"{'.'.join(str(part) for part in each['loc'])}: {each['msg'].removeprefix('Value error, ')}"


_SLUGS = {404: "not-found", 405: "method-not-allowed", 413: "request-too-large", 400: "bad-request"}


async def _routing(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    slug = _SLUGS.get(status.value, status.phrase.lower().replace(" ", "-"))
    text = {
        404: f"nothing at {request.url.path}; GET /openapi.json lists all routes",
        405: f"{request.url.path} doesn't answer {request.method}",
    }.get(status.value, str(error.detail))
    headers = dict(error.headers or {})
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_methods(request))
    return response(details(status, slug, text), headers)


def _methods(request: Request) -> list[str]:
    """All that the path answers; the router names those of its first route only (RFC 9110, section 10.2.1)."""
    routes = (context.original_route for context in iter_route_contexts(request.app.routes))
    matching = (route for route in routes if route.matches(request.scope)[0] is not Match.NONE)
    return sorted({method for route in matching for method in getattr(route, "methods", None) or ()})


async def _storage(request: Request, error: Exception) -> JSONResponse:
    _log.error("storage_failed", method=request.method, path=request.url.path, detail=str(error))
    return response(details(HTTPStatus.SERVICE_UNAVAILABLE, "checkpoint-storage", str(error)))


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    _log.error("request_failed", method=request.method, path=request.url.path, error=repr(error))
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return response(details(status, "internal-error", "an unexpected error; the log has it as request_failed"))
