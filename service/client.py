"""What the command line says to a running service, and how its answers become exit codes."""

import ssl
import time
from http import HTTPStatus
from pathlib import Path
from typing import Any, ClassVar

import httpx
from rich.console import Console

DEFAULT_URL = "http://127.0.0.1:8080"
_POLL_S = 0.2
_AWAY_S = 60.0  # a service that is started again goes on with its operations


class CommandFailed(Exception):
    """A sentence. problem: as the service told it, None where it didn't."""

    exit_code: ClassVar[int]

    def __init__(self, text: str, problem: dict[str, Any] | None = None) -> None:
        super().__init__(text)
        self.problem = problem


class OperationFailed(CommandFailed):
    """The service said no, or the work failed."""

    exit_code = 1


class Misused(CommandFailed):
    """What was given can't be sent."""

    exit_code = 2


class Unreachable(CommandFailed):
    """Nobody answers there."""

    exit_code = 3


class Client:
    """One service. Raises CommandFailed.

    cacert: CA certificates, PEM; None for those of the system.
    """

    def __init__(self, url: str, token: str | None, cacert: Path | None = None) -> None:
        self._url = url.rstrip("/")
        self._verify = True if cacert is None else _trusting(cacert)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def get(self, path: str, **parameters: Any) -> Any:
        present = {name: value for name, value in parameters.items() if value is not None}
        return self._ask("GET", path, params=present)

    def post(self, path: str, body: object = None) -> Any:
        return self._ask("POST", path, json=body)

    def patch(self, path: str, body: object) -> Any:
        return self._ask("PATCH", path, json=body)

    def wait_for(self, operation: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        """The operation once it has ended well; meanwhile a person at a terminal sees what it does."""
        began = answered = time.monotonic()
        with Console(stderr=True).status("") as seen:
            while operation["state"] in ("queued", "running"):
                waited = time.monotonic() - began
                if waited > timeout_s:
                    raise OperationFailed(f"operation {operation['id']} is still {operation['state']}")
                seen.update(f"{operation['kind']} {operation['state']}, {waited:.0f} s")
                time.sleep(_POLL_S)
                try:
                    operation = self.get(f"/v1/operations/{operation['id']}")
                    answered = time.monotonic()
                except Unreachable:
                    if time.monotonic() - answered > _AWAY_S:
                        raise
        if operation["state"] != "succeeded":
            problem = operation.get("problem", {})
            raise OperationFailed(problem.get("detail", f"it was {operation['state']}"), problem or None)
        return operation

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        try:
            response = httpx.request(
                method, self._url + path, headers=self._headers, timeout=30, verify=self._verify, **options
            )
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise Misused(f"--url {self._url}: must look like http://host:port ({error})") from error
        except UnicodeError as error:
            raise Misused("what was given isn't text in UTF-8") from error
        except httpx.HTTPError as error:
            raise Unreachable(f"no service at {self._url}: {error}") from error
        try:
            body = response.json()
        except ValueError as error:
            raise OperationFailed(f"{self._url}{path} answered {response.status_code}, not JSON") from error
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            raise OperationFailed(f"{body['detail']}; give it with --token or PENSTOCK_TOKEN", body)
        if response.is_error:
            raise OperationFailed(body.get("detail", f"status {response.status_code}"), body)
        return body


def _trusting(cacert: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=cacert)
    except ssl.SSLError as error:
        raise Misused(f"--cacert {cacert}: no PEM certificates") from error
    except OSError as error:
        raise Misused(f"--cacert {cacert}: {error.strerror}") from error
