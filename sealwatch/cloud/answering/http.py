"""Where carriers deliver text messages that people send back.

Tencent Cloud: one JSON object a message (`mobile`, `nationcode`, `text`, `time`), answered with `result` 0 and `errmsg`
(https://www.tencentcloud.com/document/product/382/43548). Aliyun: SmsUp, a JSON array of messages (`phone_number`,
`content`, `send_time`, `sequence_id`), answered `{"code": 0, "msg": …}`. Neither signs its calls: the path carries a
token that only this service and the carrier's console know. No carrier was at hand to try it with.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from dataclasses import dataclass
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from sealwatch.cloud.answering import desk
from sealwatch.cloud.auth.secret import derive
from sealwatch.cloud.paging.channels.settings import AliyunSmsSettings, Channel, TencentSmsSettings
from sealwatch.cloud.web.services import WebServices

logger = logging.getLogger(__name__)
PREFIX: Final = "/inbound/v1/"
_MOST: Final = 200


@dataclass(frozen=True, slots=True)
class Message:
    """A text message that came back."""

    telephone: str
    text: str
    message_id: str


def answered_by(channel: Channel) -> str:
    """Whose calls bring the answers of a channel: "tencent", "aliyun", or ""."""
    if isinstance(channel, TencentSmsSettings):
        return "tencent"
    return "aliyun" if isinstance(channel, AliyunSmsSettings) else ""


def token(secret: bytes, channel: str) -> str:
    """What the path of a channel carries."""
    return derive(secret, f"inbound.v1.{channel}").hex()[:32]


def read(kind: str, body: Any) -> list[Message]:
    """The messages in a carrier's call. Raises ValueError for anything else."""
    items = [body] if kind == "tencent" else body
    if not isinstance(items, list) or not all(isinstance(one, dict) for one in items) or len(items) > _MOST:
        raise ValueError("no list of messages")
    names = ("mobile", "text", "time") if kind == "tencent" else ("phone_number", "content", "sequence_id")
    found = []
    for one in items:
        number, text, mark = (one.get(name) for name in names)
        if not isinstance(number, str) or not isinstance(text, str) or mark is None:
            raise ValueError(f"a message lacks one of {', '.join(names)}")
        named = hashlib.sha256(json.dumps([number, text, mark]).encode()).hexdigest()[:32]
        found.append(Message(number, text, named))
    return found


def build(services: WebServices) -> APIRouter:
    """The routes that carriers call; one a channel that can be answered."""
    router = APIRouter(include_in_schema=False)
    kinds = {one.name: kind for one in services.settings.channels if (kind := answered_by(one))}

    @router.post(PREFIX + "{channel}/{given}")
    async def inbound(request: Request, channel: str, given: str) -> Response:
        kind = kinds.get(channel)
        right = hmac.compare_digest(given.encode(), token(services.secret, channel).encode())
        if kind is None or not right:
            return JSONResponse({"code": 404, "msg": "not found"}, 404)
        try:
            messages = read(kind, json.loads(await request.body()))
        except ValueError as error:
            logger.warning("a call of the carrier of %s was not understood: %s", channel, error)
            return JSONResponse({"code": 1, "result": 1, "msg": str(error), "errmsg": str(error)}, 400)
        await run_in_threadpool(take, services, channel, messages)
        return JSONResponse({"result": 0, "errmsg": "OK"} if kind == "tencent" else {"code": 0, "msg": "OK"})

    return router


def take(services: WebServices, channel: str, messages: list[Message]) -> None:
    """Each message in a transaction of its own: one that fails comes again with the carrier's next try."""
    for message in messages:
        with services.database.write() as session:
            outcome = desk.by_text(
                session,
                telephone=message.telephone,
                text=message.text,
                channel=channel,
                message_id=message.message_id,
                now_ms=services.clock.wall_ms(),
            )
        logger.info("a text message over %s: %s", channel, outcome.name)
    services.changes.announce()
