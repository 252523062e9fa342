"""GET /: the page for people, and the files that it consists of."""

import asyncio
import gzip
import hashlib
import re
from collections.abc import Sequence
from http import HTTPStatus
from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

FOLDER = Path(__file__).parent.parent / "page"
CHARTS = ("bokeh.min.js", "bokeh-api.min.js")
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
# Bokeh styles its charts with <style> elements of its own. Nothing inline is a script, and no text becomes markup.
POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; style-src-elem 'self' "
    "'unsafe-inline'; style-src-attr 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_OPAQUE = re.compile(r'"[\x21\x23-\x7e\x80-\xff]*"')


class PageFile:
    """One file, read and packed when it is first asked for; it doesn't change while the service runs."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._packed: tuple[bytes, str] | None = None

    async def answer(self, request: Request) -> Response:
        if self._packed is None:
            self._packed = await asyncio.to_thread(self._pack)
        packed, tag = self._packed
        headers = {"ETag": tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if self._path.suffix == ".html":
            headers["Content-Security-Policy"] = POLICY
        if unchanged(request.headers.getlist("if-none-match"), tag):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return self._response(packed, headers | {"Content-Encoding": "gzip"})
        return self._response(await asyncio.to_thread(gzip.decompress, packed), headers)

    def _response(self, body: bytes, headers: dict[str, str]) -> Response:
        return Response(body, headers=headers, media_type=TYPES[self._path.suffix])

    def _pack(self) -> tuple[bytes, str]:
        content = self._path.read_bytes()
        return gzip.compress(content, mtime=0), f'W/"{hashlib.sha256(content).hexdigest()[:16]}"'


def unchanged(if_none_match: Sequence[str], tag: str) -> bool:
    """Whether a client that sent these has what `tag` stands for: RFC 9110, 13.1.2, weak comparison of 8.8.3.2."""
    sent = ",".join(if_none_match).strip()
    return sent == "*" or tag.removeprefix("W/") in _OPAQUE.findall(sent)


def router() -> APIRouter:
    routes = APIRouter(include_in_schema=False)
    files = {path.name: PageFile(path) for path in _paths()}

    @routes.get("/")
    async def page(request: Request) -> Response:
        return await files["index.html"].answer(request)

    @routes.get("/page/{name}")
    async def part(request: Request, name: str) -> Response:
        if name not in files:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        return await files[name].answer(request)

    return routes


def _paths() -> list[Path]:
    """Ours, and Bokeh's scripts where its wheel has put them; importing Bokeh would take a second and 60 MB."""
    bokeh = find_spec("bokeh")
    assert bokeh is not None
    assert bokeh.origin is not None
    scripts = Path(bokeh.origin).parent / "server" / "static" / "js"
    return [*(path for path in FOLDER.iterdir() if path.suffix in TYPES), *(scripts / name for name in CHARTS)]
