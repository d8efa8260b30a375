"""Feishu (飞书) and Lark: the custom robot of a group.

``POST`` to the robot's hook with ``{"msg_type": "text", "content": {"text"}}``; signed robots want ``timestamp``
(seconds, at most an hour off) and ``sign``: Base64 of HMAC-SHA256 of nothing, under ``timestamp + "\\n" + secret``.
100 messages a minute and 5 a second, at most 20 KB; 11232 is the answer to more, likely at full and half hours
(open.larkoffice.com/document/ukTMukTMukTM/ucTM5YjL3ETO24yNxkjN). The answer holds ``code`` or, from the older
interface, ``StatusCode``; 0 is success. 19021 signature or clock (github.com/feiyu563/PrometheusAlert/issues/422),
19024 no keyword. With buttons: ``{"msg_type": "interactive", "card": {"config", "header", "elements"}}`` in the first
structure of cards, where buttons stand in an element ``action`` and one with ``url`` opens it (open.feishu.cn
"feishu-cards/card-components/interactive-components/button"). 99991400 and HTTP 429: too many requests (open.feishu.cn
"frequency-control").

Not verified in a document: 19022 (address not allowed) and 9499 (bad request), which are known from practice only,
and how long 11232 lasts; a minute is assumed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Final

from sealwatch.base.clock import Clock
from sealwatch.cloud.paging import choices
from sealwatch.cloud.paging.channels import cards, verdicts
from sealwatch.cloud.paging.channels.cards import Message
from sealwatch.cloud.paging.channels.http import Caller, NoAnswerError
from sealwatch.cloud.paging.channels.verdicts import MISCONFIGURED_S, TAKEN, Meaning
from sealwatch.cloud.ports import PageRequest, Submission

BASE_URL: Final = "https://open.feishu.cn"
_LIMITED: Final = Meaning("robot_muted", pause_s=60.0)
_SECURITY: Final = Meaning("security_settings_refuse_it", pause_s=MISCONFIGURED_S)
CODES: Final[Mapping[int, Meaning]] = {
    0: TAKEN,
    9499: Meaning("message_refused"),
    11232: _LIMITED,
    99991400: _LIMITED,
    19021: _SECURITY,
    19022: _SECURITY,
    19024: _SECURITY,
}
_LONGEST: Final = 5000
_COLOURS: Final = {"red": "red", "orange": "orange", "yellow": "yellow", "blue": "blue"}


def sign(secret: str, timestamp_s: int) -> str:
    """The robot's signature."""
    digest = hmac.new(f"{timestamp_s}\n{secret}".encode(), b"", hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def judge(status: int, body: bytes) -> Submission:
    """What the robot's answer means. Pure."""
    value = verdicts.fields(body)
    codes = [c for c in (verdicts.number(value.get(name)) for name in ("code", "StatusCode")) if c is not None]
    if not codes:
        return verdicts.not_understood(status, body) if 200 <= status < 300 else verdicts.http_failure(status, body)
    code = next((c for c in codes if c != 0), 0)  # both must be 0: one that complains is believed
    if code == 0 and not 200 <= status < 300:
        return verdicts.http_failure(status, body)
    return verdicts.by_code(code, value.get("msg") or value.get("StatusMessage", ""), CODES)


def card(request: PageRequest) -> Message | None:
    """A page with its answers as a card; None where it has none. Pure."""
    buttons = cards.buttons(request)
    if not buttons:
        return None
    actions = [
        {"tag": "button", "text": _plain(one.words), "url": one.url, "type": "primary" if n == 0 else "default"}
        for n, one in enumerate(buttons)
    ]
    elements = [
        {"tag": "div", "text": _plain(choices.without_link(request)[:_LONGEST])},
        {"tag": "action", "actions": actions},
    ]
    header = {"title": _plain(request.title), "template": _COLOURS.get(request.level, "grey")}
    content = {"config": {"wide_screen_mode": True}, "header": header, "elements": elements}
    return {"msg_type": "interactive", "card": content}


def _plain(words: str) -> dict[str, str]:
    return {"tag": "plain_text", "content": words}


class FeishuRobot:
    """A robot of one group. The text interface has no way to call a person by telephone number."""

    def __init__(
        self, *, hook_id: str, secret: str, clock: Clock, base_url: str = BASE_URL, caller: Caller | None = None
    ) -> None:
        self._url = f"{base_url}/open-apis/bot/v2/hook/{hook_id}"
        self._secret, self._clock, self._caller = secret, clock, caller or Caller()

    def submit(self, request: PageRequest) -> Submission:
        text = f"{request.title}\n{request.body}"[:_LONGEST]
        return cards.sent(card(request), {"msg_type": "text", "content": {"text": text}}, self._send)

    def _send(self, message: Message) -> Submission:
        signed: dict[str, str] = {}
        if self._secret:
            now_s = self._clock.wall_ms() // 1000
            signed = {"timestamp": str(now_s), "sign": sign(self._secret, now_s)}
        content = json.dumps({**signed, **message}, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json; charset=utf-8"}
        try:
            answer = self._caller.ask("POST", self._url, content=content, headers=headers)
        except NoAnswerError as trouble:
            return trouble.submission
        return judge(*answer)

    def close(self) -> None:
        self._caller.close()
