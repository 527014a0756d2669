"""The page of a service: its addresses, and what they answer."""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import sqlite3
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route

from tiffin.folders import Folders
from tiffin.report import drawing_parts, is_page_name
from tiffin.service.web_guard import Guard
from tiffin.service.web_metrics import metrics_of
from tiffin.service.web_state import WebState, folder_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.requests import Request

    from tiffin.service.service import Service

__all__ = ["make_app"]

TICK = 0.25
"""How often the page looks for news [s]."""

HEARTBEAT = 60
"""After so many ticks without news, a sign of life."""

SANDBOX = "sandbox allow-scripts"
"""A report is made of files that may be anybody's: it reaches nothing of this page."""

NO_TOKEN = (
    "changes are off: start the service with a token in the environment variable "
    "TIFFIN_TOKEN"
)


def make_app(
    service: Service, host: str, token: str, is_closing: Callable[[], bool]
) -> Starlette:
    """Return the application.

    Parameters
    ----------
    service : Service
    host : str
        Where it listens.
    token : str
        What a request for a change must have; ``""`` refuses all changes.
    is_closing : callable
        Whether streams have to end.
    """
    pages = _Pages(service, token, is_closing)
    routes = [
        Route("/", pages.page),
        Route("/page.js", pages.script),
        Route("/page.css", pages.style),
        Route("/events", pages.events),
        Route("/images/{number:int}", pages.image),
        Route("/reports/{export}/{name:path}", pages.report),
        Route("/runs/{uid}/retry", pages.retry, methods=["POST"]),
        Route("/health", pages.health),
        Route("/health/live", pages.live),
        Route("/health/ready", pages.ready),
        Route("/metrics", pages.metrics),
    ]
    return Starlette(routes=routes, middleware=[Middleware(Guard, host=host)])


class _Pages:
    """What each address answers."""

    def __init__(
        self, service: Service, token: str, is_closing: Callable[[], bool]
    ) -> None:
        self._service = service
        self._token = token
        self._is_closing = is_closing
        self._state = WebState(service)

    # ---- the page

    async def page(self, _request: Request) -> Response:
        return HTMLResponse(_asset("page.html"))

    async def script(self, _request: Request) -> Response:
        parts = f"{drawing_parts()[1]}\n{_asset('page.js')}"
        text = f'"use strict";\n(() => {{\n{parts}\n}})();\n'
        return Response(text, media_type="text/javascript")

    async def style(self, _request: Request) -> Response:
        text = f"{drawing_parts()[0]}\n{_asset('page.css')}"
        return Response(text, media_type="text/css")

    async def events(self, _request: Request) -> Response:
        return StreamingResponse(self._news(), media_type="text/event-stream")

    async def _news(self) -> AsyncIterator[str]:
        told, silent = "", 0
        while not self._is_closing():
            state = await run_in_threadpool(self._state.read)
            state["changes"] = bool(self._token)
            text = json.dumps(state)
            if text != told:
                told, silent = text, 0
                yield f"data: {text}\n\n"
            elif silent >= HEARTBEAT:
                silent = 0
                yield ":\n\n"
            silent += 1
            await asyncio.sleep(TICK)

    def image(self, request: Request) -> Response:
        found = self._state.image(request.path_params["number"])
        return _not_found() if found is None else JSONResponse(found)

    def report(self, request: Request) -> Response:
        """Return a report page, or a part of one; no other file of an export."""
        export = self._service.exports.get(
            request.path_params["export"].removeprefix("-")
        )
        name = request.path_params["name"]
        if export is None or not is_page_name(name):
            return _not_found()
        folders = Folders(str(folder_of(export)))
        try:
            with os.fdopen(folders.open_file(name), "rb") as file:
                content = file.read()
        except (OSError, ValueError):
            return _not_found()
        kind = "text/javascript" if name.endswith(".js") else "text/html"
        headers = {"Content-Security-Policy": SANDBOX}
        if kind == "text/javascript":  # a page in a sandbox has no origin
            headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        return Response(content, media_type=kind, headers=headers)

    # ---- changes

    def retry(self, request: Request) -> Response:
        """Export a run again that was given up."""
        if not self._token:
            return JSONResponse({"error": NO_TOKEN}, 403)
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            return JSONResponse({"error": "the token is wrong"}, 401)
        if not self._service.journal.retry(request.path_params["uid"]):
            message = "this run is not one that has failed: it may be tried again"
            return JSONResponse({"error": message}, 409)
        self._service.hint()
        return JSONResponse({"retried": 1})

    # ---- for machines

    async def live(self, _request: Request) -> Response:
        return JSONResponse({"live": True})

    def ready(self, _request: Request) -> Response:
        why = self._service.trouble()
        return JSONResponse(
            {"ready": not why, **({"reason": why} if why else {})}, 503 if why else 200
        )

    def health(self, request: Request) -> Response:
        return self.ready(request)

    def metrics(self, _request: Request) -> Response:
        try:
            text, kind = metrics_of(self._service)
        except sqlite3.Error as error:
            return PlainTextResponse(f"the journal fails: {error}\n", 503)
        return Response(text, headers={"Content-Type": kind})


def _not_found() -> Response:
    return PlainTextResponse("there is no such page\n", 404)


def _asset(name: str) -> Any:
    return (files("tiffin.service") / "assets" / name).read_text("utf-8")
