"""Requests that change something once, however often they are sent: the header Idempotency-Key of the JSON API.

A program that got no answer cannot know whether its request was carried out. Under a key of its own it may send the
same request again, within a day: it gets the answer of the first one, with ``Idempotency-Replayed: true``, and nothing
is done twice. The same key with another request is a mistake (422); while the first is under way it is told to wait
(409). As in https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/.

A service that dies between doing and keeping the answer lets the request be carried out again after `_UNDER_WAY_S`.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import delete, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sealwatch.cloud.accounts.sessions import LoggedIn
from sealwatch.cloud.db.account_tables import KeptResponse
from sealwatch.cloud.db.away import cause
from sealwatch.cloud.db.engine import Database
from sealwatch.cloud.web import language, problems
from sealwatch.cloud.web.actor import actor_of
from sealwatch.cloud.web.services import WebServices

logger = logging.getLogger(__name__)

HEADER: Final = "Idempotency-Key"
KEPT_S: Final = 24 * 3600
_UNDER_WAY_S: Final = 60
_KEY: Final = re.compile(r"[\x21-\x7e]{1,200}")
_NOT_KEPT: Final = frozenset({401, 403, 429})  # they depend on the moment, not on the request
_RACES: Final = 3


@dataclass(frozen=True, slots=True)
class Asked:
    """A request under a key: hashes of who asked with the key, and of what was asked."""

    key_hash: str
    request_hash: str


@dataclass(frozen=True, slots=True)
class Kept:
    """A response as it was given."""

    status: int
    media_type: str
    body: bytes


def claim(database: Database, asked: Asked, *, now_ms: int) -> Kept | str:
    """The answer that was given, or a name: ``yours`` for the first, which must `keep` or `drop`; ``other_request`` or
    ``under_way`` as a refusal."""
    for _ in range(_RACES):
        try:
            with database.write() as session:
                return _claim(session, asked, now_ms)
        except IntegrityError:  # another service was asked the same at the same moment
            continue
    return "under_way"


def _claim(session: Session, asked: Asked, now_ms: int) -> Kept | str:
    session.execute(delete(KeptResponse).where(KeptResponse.at_ms < now_ms - KEPT_S * 1000))
    row = session.get(KeptResponse, asked.key_hash, with_for_update=True)
    if row is None:
        session.add(
            KeptResponse(
                key_hash=asked.key_hash, request_hash=asked.request_hash, at_ms=now_ms, media_type="", body=b""
            )
        )
        session.flush()
        return "yours"
    if row.request_hash != asked.request_hash:
        return "other_request"
    if row.status is not None:
        return Kept(row.status, row.media_type, row.body)
    if now_ms - row.at_ms < _UNDER_WAY_S * 1000:
        return "under_way"
    row.at_ms = now_ms  # whoever had it is dead
    return "yours"


def keep(database: Database, asked: Asked, answer: Kept) -> None:
    """The answer to what was claimed."""
    values = {"status": answer.status, "media_type": answer.media_type, "body": answer.body}
    with database.write() as session:
        session.execute(update(KeptResponse).where(KeptResponse.key_hash == asked.key_hash).values(**values))


def drop(database: Database, asked: Asked) -> None:
    """What was claimed came to nothing: it may be asked again."""
    with database.write() as session:
        session.execute(
            delete(KeptResponse).where(KeptResponse.key_hash == asked.key_hash, KeptResponse.status.is_(None))
        )


def _key(scope: Scope) -> str | None:
    """The key of a request to change something by a method that the address has; None of any other."""
    if scope["type"] != "http" or scope["method"] in {"GET", "HEAD"} or not scope["path"].startswith("/api/v1/"):
        return None
    key = Headers(scope=scope).get(HEADER)
    if key is None or not any(route.matches(scope)[0] is Match.FULL for route in scope["app"].routes):
        return None
    return key


class OncePerKey:
    """Middleware inside of the login: who asks is known, and a key belongs to them with the rights of that moment."""

    def __init__(self, app: ASGIApp, *, services: WebServices) -> None:
        self._app, self._database, self._clock = app, services.database, services.clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = _key(scope)
        if key is None:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        if not _KEY.fullmatch(key):
            await _refusal(request, 400, "idempotency_key_unfit")(scope, receive, send)
            return
        body = await request.body()
        asked = _asked(request, key, body)
        try:
            found = await run_in_threadpool(claim, self._database, asked, now_ms=self._clock.wall_ms())
        except SQLAlchemyError as error:
            logger.error("the database did not answer: %s", cause(error))  # noqa: TRY400 - it is no fault of ours
            await _refusal(request, 503, "busy", {"Retry-After": "5"})(scope, receive, send)
            return
        if isinstance(found, Kept):
            headers = {"Idempotency-Replayed": "true", "Cache-Control": "no-store"}
            given = Response(found.body, found.status, headers, found.media_type or None)
            await given(scope, receive, send)
        elif found == "other_request":
            await _refusal(request, 422, "idempotency_key_reused")(scope, receive, send)
        elif found == "under_way":
            await _refusal(request, 409, "still_under_way", {"Retry-After": "1"})(scope, receive, send)
        else:
            await self._carry_out(asked, scope, body, send)

    async def _carry_out(self, asked: Asked, scope: Scope, body: bytes, send: Send) -> None:
        sent: list[Message] = []
        given = False

        async def receive() -> Message:
            nonlocal given
            if given:
                return {"type": "http.disconnect"}
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def hold(message: Message) -> None:
            sent.append(message)

        try:
            await self._app(scope, receive, hold)
        except Exception:
            await run_in_threadpool(drop, self._database, asked)
            raise
        answer = _answer(sent)
        if answer.status >= 500 or answer.status in _NOT_KEPT:
            await run_in_threadpool(drop, self._database, asked)
        else:
            await run_in_threadpool(keep, self._database, asked, answer)
        for message in sent:
            await send(message)


def _asked(request: Request, key: str, body: bytes) -> Asked:
    who: LoggedIn | None = getattr(request.state, "who", None)
    rights = (who.role, who.region, *sorted(who.scopes or ("*",))) if who is not None else ()
    return Asked(
        _hash([actor_of(request), *rights, key]),
        _hash([request.method, request.url.path, request.url.query, hashlib.sha256(body).hexdigest()]),
    )


def _hash(parts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _answer(sent: Sequence[Message]) -> Kept:
    start = next(message for message in sent if message["type"] == "http.response.start")
    headers = {bytes(name).lower(): bytes(value) for name, value in start["headers"]}
    body = b"".join(message.get("body", b"") for message in sent if message["type"] == "http.response.body")
    return Kept(start["status"], headers.get(b"content-type", b"").decode("latin-1")[:100], body)


def _refusal(request: Request, status: int, name: str, headers: dict[str, str] | None = None) -> Response:
    return problems.details(language.of_request(request), status, name, headers=headers)
