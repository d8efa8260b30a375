"""The OpenAPI document: what FastAPI finds in the routes, and what holds for each of them whatever its route says."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI

from sealwatch.cloud.web import once, problems
from sealwatch.cloud.web.rules import Permission, permission

_METHODS: Final = ("get", "put", "post", "patch", "delete")
_ALWAYS: Final = {
    "400": "The body is no JSON, or the host is none of the service's.",
    "401": "Nobody is logged in, or the token is nobody's.",
    "403": "The account or its token does not hold the right to this.",
    "413": "The body is too large.",
    "422": "A value lacks or is not as described.",
    "429": "Too many wrong tokens came from this address; Retry-After says for how long it waits.",
    "503": "The database does not answer; Retry-After says when to try again.",
}
_TITLES: Final = {"404": "What the path names is not there.", "409": "It is not the moment for that."}
_KEY: Final = {
    "name": once.HEADER,
    "in": "header",
    "required": False,
    "description": "A name that the program gives this request, such as a UUID. Sent again under it within a day, the "
    "request gets the answer of the first and nothing is done twice; another request under it is refused.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,200}$"},
}
_PROBLEM: Final = {
    "type": "object",
    "title": "Problem",
    "description": "A refusal (RFC 9457). `type` names it for programs, `title` and `detail` are for people.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "pattern": "^urn:sealwatch:problem:[a-z0-9_]+$"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "description": "Where a body or parameter is not as described.",
            "items": {
                "type": "object",
                "required": ["at", "what"],
                "properties": {"at": {"type": "string"}, "what": {"type": "string"}},
            },
        },
    },
}


def describe(app: FastAPI) -> dict[str, Any]:
    """The document of `app`. It is made once; call it when every route is there."""
    if app.openapi_schema is not None:
        return app.openapi_schema
    found = app.openapi()
    parts = found.setdefault("components", {})
    parts.setdefault("schemas", {})["Problem"] = _PROBLEM
    parts["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "A program's token, made on the account's page."}
    }
    for path, methods in found["paths"].items():
        for method in _METHODS:
            if method in methods:
                _complete(methods[method], guarded=permission(method.upper(), path) is not Permission.OPEN)
                if method != "get" and path.startswith("/api/v1/"):
                    methods[method].setdefault("parameters", []).append(_KEY)
                    methods[method]["responses"].setdefault("409", {"description": ""})
    return found


def _complete(operation: dict[str, Any], *, guarded: bool) -> None:
    """One operation's refusals, with their shape, and that it wants a token. In place."""
    if guarded:
        operation["security"] = [{"token": []}]
        for status, why in _ALWAYS.items():
            operation["responses"].setdefault(status, {})["description"] = why
    for status, response in operation["responses"].items():
        if status >= "400":
            response["description"] = _TITLES.get(status, response.get("description", ""))
            response["content"] = {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
