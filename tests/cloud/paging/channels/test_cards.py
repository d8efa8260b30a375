"""Pages as cards: against servers that refuse what the vendors' documents do not describe, and as text then."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from sealwatch.base.clock import ManualClock
from sealwatch.cloud.paging.channels import cards, dingtalk, feishu, wecom
from sealwatch.cloud.paging.channels.dingtalk import DingTalkRobot, DingTalkWork
from sealwatch.cloud.paging.channels.feishu import FeishuRobot
from sealwatch.cloud.paging.channels.wecom import WeComApplication, WeComRobot
from sealwatch.cloud.ports import PageChannel, PageRequest
from tests.cloud.paging.channels.vendor import Call, Vendor, a_request

CLOCK = ManualClock()
LINKS = [
    "https://seal.example/a/x?do=going",
    "https://seal.example/a/x?do=next",
    "https://seal.example/a/x?do=false_alarm#step-close",
]
Make = Callable[[str], PageChannel]
KINDS: dict[str, Make] = {
    "dingtalk": lambda url: DingTalkRobot(access_token="t", secret="", clock=CLOCK, base_url=url),
    "dingtalk_work": lambda url: DingTalkWork(app_key="k", app_secret="s", agent_id=7, clock=CLOCK, base_url=url),
    "feishu": lambda url: FeishuRobot(hook_id="h", secret="", clock=CLOCK, base_url=url),
    "wecom": lambda url: WeComRobot(key="k", base_url=url),
    "wecom_app": lambda url: WeComApplication(corp_id="c", secret="s", agent_id=7, clock=CLOCK, base_url=url),
}
TO = {"dingtalk_work": "wang", "wecom_app": "wang"}


def links_of(kind: str, message: dict[str, Any]) -> list[str]:
    """The addresses of the buttons. Raises KeyError or AssertionError for what the vendor's document does not allow."""
    if kind == "dingtalk":
        assert message["msgtype"] == "actionCard"
        card = message["actionCard"]
        assert set(card) == {"title", "text", "btnOrientation", "btns"}
        assert card["btnOrientation"] in {"0", "1"}
        assert all(set(one) == {"title", "actionURL"} for one in card["btns"])
        return [one["actionURL"] for one in card["btns"]]
    if kind == "dingtalk_work":
        assert message["msg"]["msgtype"] == "action_card"
        card = message["msg"]["action_card"]
        assert set(card) == {"title", "markdown", "btn_orientation", "btn_json_list"}
        assert len(card["title"]) <= 64
        assert all(len(one["title"]) <= 20 and len(one["action_url"]) <= 500 for one in card["btn_json_list"])
        return [one["action_url"] for one in card["btn_json_list"]]
    if kind == "feishu":
        assert message["msg_type"] == "interactive"
        card = message["card"]
        assert card["header"]["title"]["tag"] == "plain_text"
        (actions,) = [one["actions"] for one in card["elements"] if one["tag"] == "action"]
        assert all(one["tag"] == "button" and one["type"] in {"default", "primary", "danger"} for one in actions)
        return [one["url"] for one in actions]
    assert message["msgtype"] == "template_card"
    card = message["template_card"]
    assert card["card_type"] == "text_notice"
    assert card["card_action"] == {"type": 1, "url": "https://seal.example/a/x"}
    assert len(card["sub_title_text"]) <= 112
    assert len(card["jump_list"]) <= 3
    assert all(one["type"] == 1 and one["title"] for one in card["jump_list"])
    return [one["url"] for one in card["jump_list"]]


TAKEN = '{"errcode":0,"errmsg":"ok","code":0,"msg":"success","task_id":5,"access_token":"a","expires_in":7200}'


def refused(kind: str, code: int) -> str:
    return json.dumps({"code" if kind == "feishu" else "errcode": code, "msg": "bad card", "errmsg": "bad card"})


def server(kind: str, refusal: int = 40008) -> Callable[[Call], tuple[int, str]]:
    """Takes cards as the vendor's document has them, and text; refuses everything else."""

    def answer(call: Call) -> tuple[int, str]:
        if call.method == "GET":
            return 200, TAKEN
        message = json.loads(call.body)
        inner = message.get("msg", message)
        if inner.get("msgtype", inner.get("msg_type")) == "text":
            return 200, TAKEN
        try:
            links_of(kind, message)
        except (KeyError, AssertionError, ValueError):
            return 200, refused(kind, refusal)
        return 200, TAKEN

    return answer


def sent(vendor: Vendor) -> list[dict[str, Any]]:
    return [json.loads(call.body) for call in vendor.calls if call.method == "POST"]


def submit(kind: str, vendor: Vendor, request: PageRequest) -> Any:
    channel: Any = KINDS[kind](vendor.url)
    submission = channel.submit(request)
    channel.close()
    return submission


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_page_has_its_three_answers_as_buttons(vendor: Vendor, kind: str, language: str) -> None:
    vendor.answer = server(kind)
    body = "\n".join(["井口有人" * 60, "*cam_1*", "https://seal.example/a/x"])
    submission = submit(kind, vendor, a_request(TO.get(kind, ""), language=language, title="题" * 70, body=body))
    assert (submission.ok, submission.reason) == (True, "taken")
    (message,) = sent(vendor)
    assert links_of(kind, message) == LINKS


@pytest.mark.parametrize("refusal", [40008, 9499, 400_001])
@pytest.mark.parametrize("kind", KINDS)
def test_a_card_that_is_refused_goes_out_as_text_at_once(vendor: Vendor, kind: str, refusal: int) -> None:
    def answer(call: Call) -> tuple[int, str]:
        inner = json.loads(call.body or b"{}")
        inner = inner.get("msg", inner)
        text = call.method == "GET" or inner.get("msgtype", inner.get("msg_type")) == "text"
        return 200, TAKEN if text else refused(kind, refusal)

    vendor.answer = answer
    submission = submit(kind, vendor, a_request(TO.get(kind, "")))
    assert submission.ok
    assert "(the card was refused: " in submission.outcome
    card, text = (message.get("msg", message) for message in sent(vendor))
    assert "https://seal.example/a/x" in json.dumps(text)
    assert card != text


@pytest.mark.parametrize(("kind", "code"), [("dingtalk", 130101), ("feishu", 11232), ("wecom", 45009)])
def test_a_muted_robot_is_not_asked_a_second_time(vendor: Vendor, kind: str, code: int) -> None:
    vendor.answer = lambda _: (200, refused(kind, code))
    submission = submit(kind, vendor, a_request())
    assert (submission.ok, submission.reason) == (False, "robot_muted")
    assert len(vendor.calls) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_what_has_no_answer_stays_text(vendor: Vendor, kind: str) -> None:
    vendor.answer = server(kind)
    assert submit(kind, vendor, a_request(TO.get(kind, ""), answer_url="https://seal.example/")).ok
    (message,) = sent(vendor)
    inner = message.get("msg", message)
    assert inner.get("msgtype", inner.get("msg_type")) == "text"


def test_an_address_too_long_for_a_button_goes_as_text() -> None:
    request = a_request(answer_url=f"https://seal.example/a/{'x' * 500}")
    assert cards.buttons(request) == []
    made = (dingtalk.work_card(request), dingtalk.robot_card(request, []), feishu.card(request), wecom.card(request))
    assert made == (None, None, None, None)


def test_who_has_a_number_is_called_by_it_in_the_group_of_wecom(vendor: Vendor) -> None:
    vendor.answer = server("wecom")
    assert submit("wecom", vendor, a_request("13800000000")).ok
    assert sent(vendor)[0]["text"]["mentioned_mobile_list"] == ["13800000000"]


def test_marks_of_markdown_in_a_sentence_are_not_taken_for_it() -> None:
    assert cards.plain_markdown("cam_1 *x* [a](b)\n# 2") == "cam＿1 ＊x＊ ［a］(b)\n\n＃ 2"
