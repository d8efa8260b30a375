"""WeCom (企业微信): the group robot, and the message of an application to one member.

Robot
  ``POST {base_url}/cgi-bin/webhook/send?key=…`` with
  ``{"msgtype": "text", "text": {"content", "mentioned_mobile_list"}}``; at most 2048 bytes of text,
  20 messages a minute (developer.work.weixin.qq.com path 91770, as quoted at
  docs.zhuonian.xyz/api/wecom-webhook.html and pkg.go.dev/github.com/k8scat/goutils/message/wecom).
Application message
  ``GET {base_url}/cgi-bin/gettoken?corpid=…&corpsecret=…``, then
  ``POST {base_url}/cgi-bin/message/send?access_token=…`` with
  ``touser``, ``agentid``, ``msgtype`` and ``text``. A member the application cannot see comes back in
  ``invaliduser`` with errcode 0, one without a licence in ``unlicenseduser``; where nobody is left errcode is 81013
  (path 90236).
With buttons
  ``{"msgtype": "template_card", "template_card": {"card_type": "text_notice", "main_title", "sub_title_text",
  "jump_list": [{"type": 1, "title", "url"}], "card_action": {"type": 1, "url"}}}``: three entries at most, a title of
  26 characters and a text of 112 are advised, ``card_action`` is wanted (paths 91770 and 90236, as quoted at
  cnblogs.com/saplh/p/17575438.html and jishuzhan.net/article/1735596724270927874). A card can't call anybody by number,
  so in a group it goes out only where nobody has one.
Codes: developer.work.weixin.qq.com path 90455 (-1 busy, 40001 secret, 40003 and 40031 userid, 40008 msgtype, 40013
corpid, 40014 token, 40056 agentid, 40058 parameter); 42001 token over (path 90313); 45009 "api freq out of limit";
45033 too many calls at once; 93000 "invalid webhook url".

Not verified in a document: how long 45009 lasts. Ten minutes are assumed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from sealwatch.base.clock import Clock
from sealwatch.cloud.paging import choices
from sealwatch.cloud.paging.channels import cards, verdicts
from sealwatch.cloud.paging.channels.cards import Message
from sealwatch.cloud.paging.channels.http import Caller, NoAnswerError
from sealwatch.cloud.paging.channels.tokens import Token, TokenKeeper
from sealwatch.cloud.paging.channels.verdicts import BUSY, MISCONFIGURED_S, TAKEN, TOO_FAST, Meaning
from sealwatch.cloud.ports import PageRequest, Submission

BASE_URL: Final = "https://qyapi.weixin.qq.com"
CODES: Final[Mapping[int, Meaning]] = {
    0: TAKEN,
    -1: BUSY,
    40001: Meaning("secret_refused", pause_s=MISCONFIGURED_S),
    40003: Meaning("person_unknown"),
    40008: Meaning("message_refused"),
    40013: Meaning("corporation_unknown", pause_s=MISCONFIGURED_S),
    40014: Meaning("token_refused", retry=True),
    40031: Meaning("person_unknown"),
    40056: Meaning("application_unknown", pause_s=MISCONFIGURED_S),
    40058: Meaning("message_refused"),
    42001: Meaning("token_refused", retry=True),
    45009: TOO_FAST,
    45033: BUSY,
    81013: Meaning("person_not_in_application"),
    93000: Meaning("robot_unknown_or_removed", pause_s=MISCONFIGURED_S),
}
_LONGEST_BYTES: Final = 2048
_LONGEST_TITLE: Final = 36
_LONGEST_TEXT: Final = 112
_JSON: Final = {"Content-Type": "application/json; charset=utf-8"}


def judge(status: int, body: bytes) -> Submission:
    """What the answer of the robot or of ``message/send`` means. Pure."""
    value = verdicts.fields(body)
    code = verdicts.number(value.get("errcode"))
    if code is None:
        return verdicts.not_understood(status, body) if 200 <= status < 300 else verdicts.http_failure(status, body)
    if code == 0:
        if not 200 <= status < 300:
            return verdicts.http_failure(status, body)
        if value.get("invaliduser"):
            return _left_out("person_not_in_application", value["invaliduser"])
        if value.get("unlicenseduser"):
            return _left_out("person_without_licence", value["unlicenseduser"])
    receipt = value.get("msgid")
    return verdicts.by_code(code, value.get("errmsg", ""), CODES, detail=f"msgid {receipt}" if receipt else "")


class WeComRobot:
    """A robot of one group. `request.address` holds telephone numbers to call by name (@), separated by commas."""

    def __init__(self, *, key: str, base_url: str = BASE_URL, caller: Caller | None = None) -> None:
        self._key, self._url, self._caller = key, f"{base_url}/cgi-bin/webhook/send", caller or Caller()

    def submit(self, request: PageRequest) -> Submission:
        mobiles = [mobile for mobile in request.address.split(",") if mobile]
        text = {"msgtype": "text", "text": {"content": fitted(request), "mentioned_mobile_list": mobiles}}
        return cards.sent(None if mobiles else card(request), text, self._send)

    def _send(self, message: Message) -> Submission:
        content = json.dumps(message, ensure_ascii=False).encode()
        try:
            answer = self._caller.ask("POST", self._url, content=content, headers=_JSON, params={"key": self._key})
        except NoAnswerError as trouble:
            return trouble.submission
        return judge(*answer)

    def close(self) -> None:
        self._caller.close()


class WeComApplication:
    """Messages of an application to one member. `request.address` is the member's userid."""

    def __init__(
        self,
        *,
        corp_id: str,
        secret: str,
        agent_id: int,
        clock: Clock,
        base_url: str = BASE_URL,
        caller: Caller | None = None,
    ) -> None:
        self._corp_id, self._secret, self._agent_id = corp_id, secret, agent_id
        self._base_url, self._caller = base_url, caller or Caller()
        self._tokens = TokenKeeper(self._fetch, clock)

    def probe(self) -> str:
        """Ask for a token without sending anything: "" where that works."""
        return self._tokens.probe()

    def submit(self, request: PageRequest) -> Submission:
        if not request.address:
            return Submission(ok=False, outcome="person_unknown: no WeCom userid is configured")
        return self._tokens.with_token(lambda token: self._send(token, request), refused="token_refused")

    def close(self) -> None:
        self._caller.close()

    def _fetch(self) -> Token:
        params = {"corpid": self._corp_id, "corpsecret": self._secret}
        status, body = self._caller.ask("GET", f"{self._base_url}/cgi-bin/gettoken", params=params)
        value = verdicts.fields(body)
        token, lifetime_s = value.get("access_token"), verdicts.number(value.get("expires_in"))
        if value.get("errcode") == 0 and isinstance(token, str) and token and lifetime_s is not None:
            return Token(value=token, lifetime_s=float(lifetime_s))
        refusal = judge(status, body)
        raise NoAnswerError(verdicts.not_understood(status, body) if refusal.ok else refusal)

    def _send(self, token: str, request: PageRequest) -> Submission:
        url, params = f"{self._base_url}/cgi-bin/message/send", {"access_token": token}

        def send(message: Message) -> Submission:
            whole = {"touser": request.address, "agentid": self._agent_id, **message}
            content = json.dumps(whole, ensure_ascii=False).encode()
            return judge(*self._caller.ask("POST", url, content=content, headers=_JSON, params=params))

        return cards.sent(card(request), {"msgtype": "text", "text": {"content": fitted(request)}}, send)


def card(request: PageRequest) -> Message | None:
    """A page with its answers as a card; None where it has none. Pure."""
    buttons = cards.buttons(request)
    if not buttons:
        return None
    text = choices.without_link(request)
    content = {
        "card_type": "text_notice",
        "main_title": {"title": request.title[:_LONGEST_TITLE]},
        "sub_title_text": text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…",
        "jump_list": [{"type": 1, "title": one.words, "url": one.url} for one in buttons],
        "card_action": {"type": 1, "url": request.answer_url},
    }
    return {"msgtype": "template_card", "template_card": content}


def fitted(request: PageRequest, most: int = _LONGEST_BYTES) -> str:
    """Title and body in at most `most` bytes of UTF-8. What is left out is the middle: the link stays."""
    whole = f"{request.title}\n{request.body}"
    if len(whole.encode()) <= most:
        return whole
    tail = f"…\n{request.answer_url}"
    room = most - len(tail.encode())
    return whole.encode()[: max(room, 0)].decode("utf-8", "ignore") + tail


def _left_out(reason: str, who: object) -> Submission:
    return Submission(ok=False, outcome=f"{reason}: {who}"[: verdicts.SHOWN], reason=reason)
