"""DingTalk (钉钉): the group robot, and the work notification of an internal application.

Robot
  ``POST {base_url}/robot/send?access_token=…`` with ``{"msgtype": "text", "text": {"content"}, "at": {"atMobiles"}}``.
  Signed robots want ``timestamp`` (milliseconds, at most an hour off) and ``sign``: Base64 of HMAC-SHA256 of
  ``timestamp + "\\n" + secret`` under the secret. 20 messages a minute; more mutes the robot for ten minutes.
  Source: open.dingtalk.com "custom-robot-access", as quoted at mihaoyun.com/wordpress/?p=391 and juejin.cn/post/
  7129698690297495583. Codes: 310000 keyword, signature or address (cloud.tencent.com/developer/article/1834468);
  130101 "send too fast, exceed 20 times per minute" (github.com/ccfos/nightingale/issues/369).
  With buttons: ``{"msgtype": "actionCard", "actionCard": {"title", "text", "btnOrientation", "btns": [{"title",
  "actionURL"}]}}``. A card can't call anybody by number; Markdown can, where ``@number`` stands in the text too. So who
  has a number gets ``{"msgtype": "markdown", "markdown": {"title", "text"}, "at"}`` with the answers as links: a call
  that a muted group shows as well is worth more than a button (open.dingtalk.com "robot-message-type").

Work notification
  ``GET {base_url}/gettoken?appkey=…&appsecret=…`` answers ``access_token`` and ``expires_in`` 7200; it is to be kept,
  too many calls are refused. ``POST {base_url}/topapi/message/corpconversation/asyncsend_v2?access_token=…`` with
  ``agent_id``, ``userid_list`` and ``msg`` answers ``errcode`` and ``task_id`` (developer.alibaba.com apiId 37692;
  errcode 0, -1, 88 with ``sub_code``, 40001, 40014 in DingTalk's list of global codes). The same text to the same
  person goes out once a day only, so each message ends with its page number.
  With buttons: ``{"msgtype": "action_card", "action_card": {"title", "markdown", "btn_orientation", "btn_json_list":
  [{"title", "action_url"}]}}``; a title of 64 characters, buttons of 20.
  That DingTalk takes a task does not say that the person's telephone showed it.

Not verified in a document: limits of the work notification, and robot codes other than those in `ROBOT`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Final

from sealwatch.base.clock import Clock
from sealwatch.cloud.paging import choices
from sealwatch.cloud.paging.channels import cards, verdicts
from sealwatch.cloud.paging.channels.cards import Message
from sealwatch.cloud.paging.channels.http import Caller, NoAnswerError
from sealwatch.cloud.paging.channels.tokens import Token, TokenKeeper
from sealwatch.cloud.paging.channels.verdicts import BUSY, MISCONFIGURED_S, TAKEN, TOO_FAST, Meaning
from sealwatch.cloud.ports import PageRequest, Submission

BASE_URL: Final = "https://oapi.dingtalk.com"
ROBOT: Final[Mapping[int, Meaning]] = {
    0: TAKEN,
    -1: BUSY,
    130101: TOO_FAST,
    310000: Meaning("security_settings_refuse_it", pause_s=MISCONFIGURED_S),
}
WORK: Final[Mapping[int, Meaning]] = {
    0: TAKEN,
    -1: BUSY,
    88: Meaning("not_authorised", pause_s=MISCONFIGURED_S),
    40001: Meaning("token_refused", retry=True),
    40014: Meaning("token_refused", retry=True),
    33012: Meaning("person_unknown"),
    40003: Meaning("person_unknown"),
}
_LONGEST: Final = 4500  # characters; DingTalk's global code 34016 names 5000 for a message's content
_LONGEST_TITLE: Final = 64
_JSON: Final = {"Content-Type": "application/json; charset=utf-8"}


def sign(secret: str, timestamp_ms: int) -> str:
    """The robot's signature, not yet escaped for a URL."""
    digest = hmac.new(secret.encode(), f"{timestamp_ms}\n{secret}".encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def judge_robot(status: int, body: bytes) -> Submission:
    """What the robot's answer means. Pure."""
    return _judge(status, body, ROBOT)


def judge_work(status: int, body: bytes) -> Submission:
    """What the answer to a work notification means. Pure."""
    submission = _judge(status, body, WORK)
    if submission.ok and verdicts.number(verdicts.fields(body).get("task_id")) is None:
        return verdicts.not_understood(status, body)
    return submission


def robot_card(request: PageRequest, mobiles: Sequence[str]) -> Message | None:
    """A page with its answers for a group; None where it has none. Pure."""
    buttons = cards.buttons(request)
    if not buttons:
        return None
    text = f"### {cards.plain_markdown(request.title)}\n\n{cards.plain_markdown(choices.without_link(request))}"
    if not mobiles:
        btns = [{"title": one.words, "actionURL": one.url} for one in buttons]
        card = {"title": request.title, "text": text[:_LONGEST], "btnOrientation": "0", "btns": btns}
        return {"msgtype": "actionCard", "actionCard": card}
    tail = "\n\n".join(["", *(f"[{one.words}]({one.url})" for one in buttons), " ".join(f"@{one}" for one in mobiles)])
    markdown = {"title": request.title, "text": text[: _LONGEST - len(tail)] + tail}
    return {"msgtype": "markdown", "markdown": markdown, "at": {"atMobiles": [*mobiles], "isAtAll": False}}


def work_card(request: PageRequest) -> Message | None:
    """A page with its answers for one person; None where it has none. Pure."""
    buttons = cards.buttons(request)
    if not buttons:
        return None
    text = f"### {cards.plain_markdown(request.title)}\n\n{cards.plain_markdown(choices.without_link(request))}"
    card = {
        "title": request.title[:_LONGEST_TITLE],
        "markdown": f"{text[:_LONGEST]}\n\n＃{request.page_id[:8]}",
        "btn_orientation": "0",
        "btn_json_list": [{"title": one.words, "action_url": one.url} for one in buttons],
    }
    return {"msgtype": "action_card", "action_card": card}


class DingTalkRobot:
    """A robot of one group. `request.address` holds telephone numbers to call by name (@), separated by commas."""

    def __init__(
        self, *, access_token: str, secret: str, clock: Clock, base_url: str = BASE_URL, caller: Caller | None = None
    ) -> None:
        self._token, self._secret, self._clock = access_token, secret, clock
        self._url, self._caller = f"{base_url}/robot/send", caller or Caller()

    def submit(self, request: PageRequest) -> Submission:
        params = {"access_token": self._token}
        if self._secret:
            now_ms = self._clock.wall_ms()
            params |= {"timestamp": str(now_ms), "sign": sign(self._secret, now_ms)}
        mobiles = [mobile for mobile in request.address.split(",") if mobile]
        at = {"atMobiles": mobiles, "isAtAll": False}
        text = {"msgtype": "text", "text": {"content": f"{request.title}\n{request.body}"[:_LONGEST]}, "at": at}

        def send(message: Message) -> Submission:
            try:
                answer = self._caller.ask("POST", self._url, content=_encoded(message), headers=_JSON, params=params)
            except NoAnswerError as trouble:
                return trouble.submission
            return judge_robot(*answer)

        return cards.sent(robot_card(request, mobiles), text, send)

    def close(self) -> None:
        self._caller.close()


class DingTalkWork:
    """Work notifications to one person. `request.address` is the person's DingTalk userid."""

    def __init__(
        self,
        *,
        app_key: str,
        app_secret: str,
        agent_id: int,
        clock: Clock,
        base_url: str = BASE_URL,
        caller: Caller | None = None,
    ) -> None:
        self._key, self._secret, self._agent_id = app_key, app_secret, agent_id
        self._base_url, self._caller = base_url, caller or Caller()
        self._tokens = TokenKeeper(self._fetch, clock)

    def probe(self) -> str:
        """Ask for a token without sending anything: "" where that works."""
        return self._tokens.probe()

    def submit(self, request: PageRequest) -> Submission:
        if not request.address:
            return Submission(ok=False, outcome="person_unknown: no DingTalk userid is configured")
        return self._tokens.with_token(lambda token: self._send(token, request), refused="token_refused")

    def close(self) -> None:
        self._caller.close()

    def _fetch(self) -> Token:
        params = {"appkey": self._key, "appsecret": self._secret}
        status, body = self._caller.ask("GET", f"{self._base_url}/gettoken", params=params)
        return token_from(status, body, WORK)

    def _send(self, token: str, request: PageRequest) -> Submission:
        content = f"{request.title}\n{request.body}"[:_LONGEST] + f"\n#{request.page_id[:8]}"
        url = f"{self._base_url}/topapi/message/corpconversation/asyncsend_v2"

        def send(message: Message) -> Submission:
            whole = {"agent_id": self._agent_id, "userid_list": request.address, "msg": message}
            params = {"access_token": token}
            return judge_work(*self._caller.ask("POST", url, content=_encoded(whole), headers=_JSON, params=params))

        return cards.sent(work_card(request), {"msgtype": "text", "text": {"content": content}}, send)


def token_from(status: int, body: bytes, table: Mapping[int, Meaning]) -> Token:
    """The token of a ``gettoken`` answer. Raises NoAnswerError with the cause where there is none."""
    value = verdicts.fields(body)
    token, lifetime_s = value.get("access_token"), verdicts.number(value.get("expires_in"))
    if value.get("errcode") == 0 and isinstance(token, str) and token and lifetime_s is not None:
        return Token(value=token, lifetime_s=float(lifetime_s))
    refusal = _judge(status, body, table)
    if refusal.ok:
        raise NoAnswerError(verdicts.not_understood(status, body))
    pause_s = 0.0 if refusal.reason in ("vendor_busy", "http_trouble") else MISCONFIGURED_S
    outcome = f"no_token: {refusal.outcome}"
    raise NoAnswerError(Submission(ok=False, outcome=outcome, retry=not pause_s, reason="no_token", pause_s=pause_s))


def _judge(status: int, body: bytes, table: Mapping[int, Meaning]) -> Submission:
    value = verdicts.fields(body)
    code = verdicts.number(value.get("errcode"))
    if code is None:
        return verdicts.not_understood(status, body) if 200 <= status < 300 else verdicts.http_failure(status, body)
    if code == 0 and not 200 <= status < 300:
        return verdicts.http_failure(status, body)
    task = value.get("task_id")
    return verdicts.by_code(code, value.get("errmsg", ""), table, detail=f"task_id {task}" if task else "")


def _encoded(message: Message) -> bytes:
    return json.dumps(message, ensure_ascii=False).encode()
