"""GET /: the page for people."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

PAGE = Path(__file__).parent.parent / "page" / "index.html"


def router() -> APIRouter:
    routes = APIRouter(include_in_schema=False)
    html = PAGE.read_text()

    @routes.get("/", response_class=HTMLResponse)
    async def page() -> HTMLResponse:
        headers = {
            "Content-Security-Policy": "default-src 'none'; connect-src 'self'; style-src 'unsafe-inline'; "
            "script-src 'unsafe-inline'; img-src data:; base-uri 'none'; frame-ancestors 'none'"
        }
        return HTMLResponse(html, headers=headers)

    return routes
