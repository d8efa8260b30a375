"""Group robots against servers that check the signature as the vendors do, and answer 200 with an error inside."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealwatch.base.clock import ManualClock
from sealwatch.cloud.paging.channels import dingtalk, feishu, wecom
from sealwatch.cloud.paging.channels.dingtalk import DingTalkRobot
from sealwatch.cloud.paging.channels.feishu import FeishuRobot
from sealwatch.cloud.paging.channels.wecom import WeComRobot, fitted
from sealwatch.cloud.ports import Submission
from tests.cloud.paging.channels.vendor import Call, Vendor, a_request

SECRET = "SECfake"
CLOCK = ManualClock()
Judge = Callable[[int, bytes], Submission]


def dingtalk_server(call: Call) -> tuple[int, str]:
    """What DingTalk does with a message for a signed robot."""
    stamp = call.query.get("timestamp", "0")
    if abs(int(stamp) - CLOCK.wall_ms()) > 3_600_000:
        return 200, '{"errcode":310000,"errmsg":"invalid timestamp"}'
    digest = hmac.digest(SECRET.encode(), f"{stamp}\n{SECRET}".encode(), "sha256")
    if call.query.get("sign") != base64.b64encode(digest).decode():
        return 200, '{"errcode":310000,"errmsg":"sign not match"}'
    return 200, '{"errcode":0,"errmsg":"ok"}'


def feishu_server(call: Call) -> tuple[int, str]:
    """What Feishu does with a message for a signed robot."""
    message = json.loads(call.body)
    key = f"{message.get('timestamp')}\n{SECRET}".encode()
    wanted = base64.b64encode(hmac.new(key, digestmod=hashlib.sha256).digest()).decode()
    if message.get("sign") != wanted or abs(int(message["timestamp"]) - CLOCK.wall_ms() / 1000) > 3600:
        return 200, '{"code":19021,"data":{},"msg":"sign match fail or timestamp is not within one hour"}'
    return 200, '{"StatusCode":0,"StatusMessage":"success","code":0,"data":{},"msg":"success"}'


def test_a_signed_page_is_taken_by_dingtalk_and_calls_the_person_by_number(vendor: Vendor) -> None:
    vendor.answer = dingtalk_server
    robot = DingTalkRobot(access_token="t/1+", secret=SECRET, clock=CLOCK, base_url=vendor.url)
    submission = robot.submit(a_request("13800000000,13900000000"))
    assert (submission.ok, submission.reason) == (True, "taken")
    (call,) = vendor.calls
    assert (call.method, call.path, call.query["access_token"]) == ("POST", "/robot/send", "t/1+")
    message = json.loads(call.body)
    assert message["at"] == {"atMobiles": ["13800000000", "13900000000"], "isAtAll": False}
    assert message["msgtype"] == "markdown"
    assert message["markdown"]["title"] == "【红】一号井:疑似非法生产"
    assert message["markdown"]["text"] == (
        "### 【红】一号井:疑似非法生产\n\n请核查\n\n[我去现场](https://seal.example/a/x?do=going)\n\n"
        "[去不了，转下一人](https://seal.example/a/x?do=next)\n\n"
        "[误报](https://seal.example/a/x?do=false_alarm#step-close)\n\n@13800000000 @13900000000"
    )
    robot.close()


def test_a_wrong_secret_is_refused_by_dingtalk_and_pauses_the_channel(vendor: Vendor) -> None:
    vendor.answer = dingtalk_server
    robot = DingTalkRobot(access_token="t", secret="SECother", clock=CLOCK, base_url=vendor.url)
    submission = robot.submit(a_request())
    assert (submission.ok, submission.retry, submission.pause_s) == (False, False, 300)
    assert submission.outcome == "security_settings_refuse_it: 310000 sign not match"


def test_a_clock_two_hours_off_is_refused_by_dingtalk(vendor: Vendor) -> None:
    vendor.answer = dingtalk_server
    late = ManualClock(wall_ms=CLOCK.wall_ms() - 7_200_000)
    robot = DingTalkRobot(access_token="t", secret=SECRET, clock=late, base_url=vendor.url)
    assert robot.submit(a_request()).reason == "security_settings_refuse_it"


def test_a_signed_page_is_taken_by_feishu_and_a_wrong_secret_is_not(vendor: Vendor) -> None:
    vendor.answer = feishu_server
    right = FeishuRobot(hook_id="h-1", secret=SECRET, clock=CLOCK, base_url=vendor.url)
    wrong = FeishuRobot(hook_id="h-1", secret="other", clock=CLOCK, base_url=vendor.url)
    assert right.submit(a_request()).ok
    assert vendor.calls[0].path == "/open-apis/bot/v2/hook/h-1"
    assert wrong.submit(a_request()).reason == "security_settings_refuse_it"


def test_the_feishu_signature_is_the_one_of_its_published_example() -> None:
    assert feishu.sign("sign-secret", 1234567890) == "CgzXNZVOeFF3tZW7JDVpuevxS8czITsTOclPQeDiF9c="


def test_a_page_is_taken_by_wecom_and_a_removed_robot_is_not_tried_again(vendor: Vendor) -> None:
    robot = WeComRobot(key="k-1", base_url=vendor.url)
    vendor.answer = lambda _: (200, '{"errcode":0,"errmsg":"ok"}')
    assert robot.submit(a_request("13800000000")).ok
    (call,) = vendor.calls
    assert (call.path, call.query) == ("/cgi-bin/webhook/send", {"key": "k-1"})
    assert json.loads(call.body)["text"]["mentioned_mobile_list"] == ["13800000000"]
    vendor.answer = lambda _: (200, '{"errcode":93000,"errmsg":"invalid webhook url, hint: [1]"}')
    submission = robot.submit(a_request())
    assert (submission.reason, submission.retry, submission.pause_s) == ("robot_unknown_or_removed", False, 300)


def test_a_long_page_keeps_its_link_within_the_2048_bytes_of_wecom() -> None:
    text = fitted(a_request(body="井" * 5000))
    assert len(text.encode()) <= 2048
    assert text.endswith("…\nhttps://seal.example/a/x")
    assert text.startswith("【红】一号井")


@pytest.mark.parametrize(
    ("judge", "body", "reason", "retry", "pause_s"),
    [
        (
            dingtalk.judge_robot,
            '{"errcode":130101,"errmsg":"send too fast, exceed 20 times per minute"}',
            "robot_muted",
            False,
            600,
        ),
        (
            dingtalk.judge_robot,
            '{"errcode":310000,"errmsg":"keywords not in content"}',
            "security_settings_refuse_it",
            False,
            300,
        ),
        (dingtalk.judge_robot, '{"errcode":-1,"errmsg":"system busy"}', "vendor_busy", True, 0),
        (dingtalk.judge_robot, '{"errcode":999999,"errmsg":"new"}', "vendor_refused", False, 0),
        (wecom.judge, '{"errcode":45009,"errmsg":"api freq out of limit"}', "robot_muted", False, 600),
        (wecom.judge, '{"errcode":-1,"errmsg":"system error"}', "vendor_busy", True, 0),
        (wecom.judge, '{"errcode":40058,"errmsg":"invalid parameter"}', "message_refused", False, 0),
        (feishu.judge, '{"code":11232,"msg":"frequency limited"}', "robot_muted", False, 60),
        (feishu.judge, '{"code":19024,"msg":"Key Words Not Found"}', "security_settings_refuse_it", False, 300),
        (feishu.judge, '{"StatusCode":0,"code":9499,"msg":"Bad Request"}', "message_refused", False, 0),
        (feishu.judge, '{"code":0,"StatusCode":1,"StatusMessage":"no"}', "vendor_refused", False, 0),
    ],
)
def test_http_200_with_an_error_inside_is_a_failure_with_a_name(
    judge: Judge, body: str, reason: str, retry: bool, pause_s: float
) -> None:
    submission = judge(200, body.encode())
    assert (submission.ok, submission.reason, submission.retry, submission.pause_s) == (False, reason, retry, pause_s)


@pytest.mark.parametrize("judge", [dingtalk.judge_robot, wecom.judge, feishu.judge])
@pytest.mark.parametrize("body", ["", "ok", "<html>", "[]", "{}", '{"errcode":"0"}', '{"errcode":false,"code":false}'])
def test_an_answer_that_does_not_say_0_is_never_taken(judge: Judge, body: str) -> None:
    assert judge(200, body.encode()).reason == "answer_not_understood"


def test_the_older_feishu_answer_is_a_success_too() -> None:
    assert feishu.judge(200, b'{"Extra":null,"StatusCode":0,"StatusMessage":"success"}').ok


@pytest.mark.parametrize("judge", [dingtalk.judge_robot, wecom.judge, feishu.judge])
def test_a_broken_gateway_is_tried_again_and_a_refusal_is_not(judge: Judge) -> None:
    assert judge(502, b"<html>bad gateway").retry
    assert not judge(404, b"nothing here").retry
    assert not judge(502, b'{"errcode":0,"code":0}').ok


@given(status=st.integers(100, 599), body=st.binary(max_size=300))
def test_no_bytes_make_a_judge_raise(status: int, body: bytes) -> None:
    for judge in (dingtalk.judge_robot, dingtalk.judge_work, wecom.judge, feishu.judge):
        judge(status, body)


def test_a_vendor_that_is_away_is_tried_again_and_no_secret_shows() -> None:
    robot = DingTalkRobot(access_token="very-secret", secret="", clock=CLOCK, base_url="http://127.0.0.1:9")
    submission = robot.submit(a_request())
    assert (submission.ok, submission.retry, submission.reason) == (False, True, "unreachable")
    assert "very-secret" not in submission.outcome
