"""What goes wrong, told the same way everywhere: a page for a person, problem details (RFC 9457) for a program.

Problem   a refusal with a stable name; the sentences for it are `web.problem.<name>.title` and `.detail`
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DataError, OperationalError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sealwatch.base import text
from sealwatch.base.text import Language
from sealwatch.cloud.db.away import cause
from sealwatch.cloud.web import language as language_

logger = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
_BY_STATUS: Final = {
    400: "invalid_request",
    401: "login_needed",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
}

ErrorPage = Callable[[Request, int, str, str], Response]  # request, status, title, detail


class Problem(HTTPException):
    """A request that is refused, with a stable `name`."""

    def __init__(self, status: int, name: str, headers: Mapping[str, str] | None = None, **extra: Any) -> None:
        super().__init__(status, name, dict(headers) if headers else None)
        self.name = name
        self.extra = extra  # further members of the problem details


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Refusals that a route gives beside those that every route may; `web.document` gives them their shape."""
    return {status: {} for status in statuses}


def sentences(language: Language, name: str) -> tuple[str, str]:
    """(title, detail) of a problem."""
    return text.say(language, f"web.problem.{name}.title"), text.say(language, f"web.problem.{name}.detail")


def details(
    language: Language, status: int, name: str, *, headers: Mapping[str, str] | None = None, **extra: Any
) -> Response:
    """The problem as `application/problem+json`."""
    title, detail = sentences(language, name)
    content = {"type": f"urn:sealwatch:problem:{name}", "title": title, "status": status, "detail": detail, **extra}
    found = {"Content-Language": str(language), "Cache-Control": "no-store", **(headers or {})}
    return JSONResponse(content, status, found, MEDIA_TYPE)


def wants_page(request: Request) -> bool:
    """Whether a person with a browser asked."""
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api/")


def respond(
    request: Request, page: ErrorPage, status: int, name: str, *, headers: Mapping[str, str] | None = None, **extra: Any
) -> Response:
    """The problem as a page or as problem details, whichever was asked for."""
    language = language_.of_request(request)
    if not wants_page(request):
        return details(language, status, name, headers=headers, **extra)
    response = page(request, status, *sentences(language, name))
    response.headers.update(headers or {})
    return response


def install(app: FastAPI, page: ErrorPage, always: Mapping[str, str]) -> None:
    """Let `app` answer every fault in these words. `always` are the headers that no response may lack."""

    def http(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        headers = error.headers if isinstance(error, HTTPException) else None
        name = error.name if isinstance(error, Problem) else _BY_STATUS.get(status, "refused")
        extra = error.extra if isinstance(error, Problem) else {}
        return respond(request, page, status, name, headers=headers, **extra)

    def invalid(request: Request, error: Exception) -> Response:
        found = error.errors() if isinstance(error, RequestValidationError) else []
        # Where and what, never the input itself: it may be long, or not be ours to repeat.
        errors = [{"at": ".".join(str(part) for part in e["loc"]), "what": str(e["msg"])} for e in found]
        return respond(request, page, 422, "invalid_request", errors=errors)

    def unstorable(request: Request, error: Exception) -> Response:
        logger.warning("a value that no database keeps was refused: %s", type(error).__name__)
        return respond(request, page, 422, "invalid_request", errors=[])

    def busy(request: Request, error: Exception) -> Response:
        logger.error("the database did not answer: %s", cause(error.__cause__ or error))
        return respond(request, page, 503, "busy", headers={"Retry-After": "5"})

    def internal(request: Request, _error: Exception) -> Response:
        # The server logs the traceback; this response is made outside of every middleware.
        return respond(request, page, 500, "internal", headers=always)

    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(DataError, unstorable)  # a NUL in a form's text, on PostgreSQL
    app.add_exception_handler(UnicodeEncodeError, unstorable)  # half of a surrogate pair, on either database
    app.add_exception_handler(OperationalError, busy)
    app.add_exception_handler(Exception, internal)
