"""Who may change something, or read what shows data: the holder of the token, or whoever sits at this machine."""

import hmac
from http import HTTPStatus

from fastapi import Request

from service.hosts import is_loopback
from service.problems import HttpProblem
from streaming.settings import ServiceSettings

_REMEDY = "set a token (PENSTOCK_SERVICE__TOKEN or PENSTOCK_SERVICE__TOKEN_FILE), or listen on 127.0.0.1 only"


class Guard:
    """A dependency for routes that change something, or that show pictures, dead letters or settings.

    Raises HttpProblem 401 or 403.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._token = settings.token.get_secret_value().encode() if settings.token else None
        self._local = is_loopback(settings.host)

    async def __call__(self, request: Request) -> None:
        if self._token is not None:
            self._check_token(request)
        elif not self._local:
            text = "without a token this service is read-only, and shows no pictures, dead letters or settings"
            raise HttpProblem(HTTPStatus.FORBIDDEN, "read-only", f"{text}: {_REMEDY}")
        else:
            _check_origin(request)

    def _check_token(self, request: Request) -> None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        assert self._token is not None
        bearer = scheme.lower() == "bearer"
        if not bearer or not hmac.compare_digest(given.strip().encode("latin-1"), self._token):
            missing = "needs the header 'Authorization: Bearer <token>' with the service's token"
            text = "the token that was given isn't the service's" if bearer else missing
            raise HttpProblem(HTTPStatus.UNAUTHORIZED, "unauthorized", text, {"WWW-Authenticate": "Bearer"})


def _check_origin(request: Request) -> None:
    """Without a token, a page from elsewhere in a local browser mustn't reach us: neither directly (Origin) nor

    by a host name that was made to point here (Host; DNS rebinding).
    """
    host = request.url.hostname or ""
    origin = request.headers.get("origin")
    if not is_loopback(host) or (origin is not None and origin.partition("://")[2] != request.url.netloc):
        text = f"without a token only this machine's own requests may change something: {_REMEDY}"
        raise HttpProblem(HTTPStatus.FORBIDDEN, "foreign-origin", text)
