"""Which language a reader gets: the address, then the cookie, then the browser's wish, else Chinese."""

from __future__ import annotations

from starlette.requests import Request

from sealwatch.base.text import Language

COOKIE = "lang"
COOKIE_MAX_AGE_S = 365 * 24 * 3600


def choose(query: str | None, cookie: str | None, accept_language: str | None) -> Language:
    """The language for these three wishes, strongest first; anything unknown is passed over."""
    for wish in (query, cookie):
        if wish in set(Language):
            return Language(wish)
    return _accepted(accept_language or "")


def of_request(request: Request) -> Language:
    """The language for a request."""
    return choose(request.query_params.get("lang"), request.cookies.get(COOKIE), request.headers.get("accept-language"))


def _accepted(header: str) -> Language:
    """The best of ours in an Accept-Language header (RFC 9110, section 12.5.4); Chinese where none is named."""
    best, best_quality = Language.ZH, 0.0
    for item in header[:500].split(","):
        tag, _, parameters = item.strip().partition(";")
        name = tag.strip().lower().split("-")[0]
        if name in set(Language) and (quality := _quality(parameters)) > best_quality:
            best, best_quality = Language(name), quality
    return best


def _quality(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
