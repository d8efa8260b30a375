"""One log line for a request that changes something or fails, under an id that its answer carries too.

The id is the proxy's where it sent one (``X-Request-ID``), so that both logs can be laid side by side; every other line
that is logged while the request is worked on has it as well (`structlog.contextvars`). Of the path only its pattern is
logged: an answer link carries its authority in the path.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from typing import Final

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)
HEADER: Final = "X-Request-ID"
_ID = re.compile(r"^[A-Za-z0-9-]{8,64}$")


class Journal:
    """ASGI middleware: the outermost, so that it sees what every other one answers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        request_id = given if _ID.match(given) else secrets.token_hex(8)
        status = 500
        began_s = time.monotonic()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_with_id)
            finally:
                if scope["method"] not in {"GET", "HEAD"} or status >= 400:
                    _tell(scope, status, time.monotonic() - began_s)


def _tell(scope: Scope, status: int, took_s: float) -> None:
    route = getattr(scope.get("route"), "path", "") or "-"
    said: dict[str, object] = {
        "method": scope["method"],
        "route": route,
        "status": status,
        "duration_ms": round(took_s * 1000, 1),
    }
    incident_id = scope.get("path_params", {}).get("incident_id")
    if incident_id:
        said["incident_id"] = str(incident_id)
    logger.log(logging.ERROR if status >= 500 else logging.INFO, "request", extra=said)
