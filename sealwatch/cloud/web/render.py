"""From templates to responses. Pages are finished HTML: nothing in them waits for a script."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from sealwatch.base import text
from sealwatch.base.clock import Clock
from sealwatch.base.text import Language
from sealwatch.cloud.web import language as language_
from sealwatch.cloud.web import rules, story, words
from sealwatch.cloud.web.events import Hub
from sealwatch.cloud.web.forms import FIELD, Forms

_MEDIA_TYPES: Final = {
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
    "webmanifest": "application/manifest+json",
}
NAV: Final = (
    ("/", "home"), ("/desk", "desk"), ("/sites", "sites"), ("/people", "people"), ("/permits", "permits"),
    ("/maintenance", "maintenance"), ("/channels", "channels"), ("/load", "load"),
)  # fmt: skip
_RELATIVE_KEYS: Final = ("just_now", "seconds_ago", "minutes_ago", "hours_ago", "days_ago")


@dataclass(frozen=True, slots=True)
class Asset:
    """A static file in memory; `version` changes with its content."""

    data: bytes
    media_type: str
    version: str


def load_assets() -> dict[str, Asset]:
    """Every file of the `static` folder by its name."""
    assets = {}
    for file in resources.files("sealwatch.cloud.web").joinpath("static").iterdir():
        media_type = _MEDIA_TYPES.get(file.name.rpartition(".")[2])
        if media_type is not None:
            data = file.read_bytes()
            assets[file.name] = Asset(data, media_type, hashlib.sha256(data).hexdigest()[:12])
    return assets


class Renderer:
    """Renders a template for a request: language, time and form token are bound here."""

    def __init__(self, *, clock: Clock, forms: Forms, hub: Hub, login_wanted: bool) -> None:
        self._clock, self._forms, self._hub, self._login_wanted = clock, forms, hub, login_wanted
        self.assets = load_assets()
        self._environment = Environment(
            loader=PackageLoader("sealwatch.cloud.web", "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def page(
        self, request: Request, template: str, values: dict[str, Any], *, status: int = 200, events_url: str = ""
    ) -> Response:
        """The finished page. `events_url` is where it hears of changes; "" for a page that never changes."""
        language = language_.of_request(request)
        nonce = self._forms.nonce(request)
        context = self._bound(request, language) | {
            "form_token": self._forms.token(nonce),
            "form_field": FIELD,
            "events_url": events_url,
            "stamp": values.pop("stamp", ""),
            **values,
        }
        response = HTMLResponse(self._environment.get_template(template).render(context), status)
        response.headers["Content-Language"] = str(language)
        response.headers["Vary"] = "Accept-Language, Cookie"
        self._forms.remember(response, nonce)
        if request.query_params.get("lang") in set(Language):
            response.set_cookie(
                language_.COOKIE, str(language), max_age=language_.COOKIE_MAX_AGE_S, samesite="lax", httponly=True
            )
        return response

    def error_page(self, request: Request, status: int, title: str, detail: str) -> Response:
        """The page for a refusal."""
        return self.page(request, "error.html", {"title": title, "detail": detail, "status": status}, status=status)

    def stamp(self) -> str:
        """See `Hub.stamp`."""
        return self._hub.stamp()

    def _bound(self, request: Request, language: Language) -> dict[str, Any]:
        now_ms = self._clock.wall_ms()
        other = Language.ZH if language is Language.EN else Language.EN
        return {
            "language": language,
            "html_language": "zh-CN" if language is Language.ZH else "en",
            "other_language": other,
            "other_language_url": _in_language(request, other),
            "now_ms": now_ms,
            "t": lambda key, **values: text.say(language, key, **values),
            "phrase": lambda key, fallback="": words.phrase(language, key, fallback),
            "at": lambda at_ms: words.clock_time(language, at_ms, now_ms),
            "ago": lambda at_ms: words.ago(language, at_ms, now_ms),
            "lasting": lambda duration_ms: words.lasting(language, duration_ms),
            "lasting_roughly": lambda duration_ms: words.lasting_roughly(language, duration_ms),
            "who": lambda event_actor, name: story.actor(language, event_actor, name),
            "iso": words.iso,
            "power": words.power,
            "reading": words.reading,
            "megabytes": words.megabytes,
            "relative": {key: text.catalogue()[f"web.time.{key}"][language] for key in _RELATIVE_KEYS},
            "asset": lambda name: f"/static/{name}?v={self.assets[name].version}",
            "login_wanted": self._login_wanted,
            "nav": NAV,
            "here": request.url.path,
            "account_name": getattr(getattr(request.state, "who", None), "name", ""),
            "sees_pictures": rules.sees_evidence(request),
            "may": getattr(request.state, "may", frozenset()),
        }


def _in_language(request: Request, language: Language) -> str:
    """This page in another language. A page that answers a form has no address of its own: the front page then."""
    if request.method != "GET":
        return f"/?lang={language}"
    query = {**request.query_params, "lang": str(language)}
    return f"{request.url.path}?{urlencode(query)}"
