"""Text messages and calls of Aliyun and Tencent Cloud against servers that recompute the signature."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealwatch.base.clock import ManualClock
from sealwatch.cloud.paging.channels import aliyun, tencent
from sealwatch.cloud.paging.channels.aliyun import AliyunSms, AliyunVoice
from sealwatch.cloud.paging.channels.tencent import TencentSms, TencentVoice
from tests.cloud.paging.channels.vendor import Call, Vendor, a_request

KEY = "key-secret"


def aliyun_accepts(call: Call) -> bool:
    """Recomputes ACS3-HMAC-SHA256 from what came over the wire, as the gateway does."""
    found = re.fullmatch(
        r"ACS3-HMAC-SHA256 Credential=(.+),SignedHeaders=(.+),Signature=(.+)", call.headers["authorization"]
    )
    assert found is not None
    lines = "".join(f"{name}:{call.headers[name]}\n" for name in found[2].split(";"))
    hashed = hashlib.sha256(call.body).hexdigest()
    text = f"{call.method}\n{call.path}\n{call.raw_query}\n{lines}\n{found[2]}\n{hashed}"
    to_sign = "ACS3-HMAC-SHA256\n" + hashlib.sha256(text.encode()).hexdigest()
    right = hmac.new(KEY.encode(), to_sign.encode(), hashlib.sha256).hexdigest() == found[3]
    return right and found[1] == "key-id" and call.raw_query.split("&") == sorted(call.raw_query.split("&"))


def aliyun_server(call: Call) -> tuple[int, str]:
    if not aliyun_accepts(call):
        return 400, '{"Code":"SignatureDoesNotMatch","Message":"signature is not matched"}'
    if call.headers["x-acs-action"] == "SendSms":
        return 200, '{"Code":"OK","Message":"OK","BizId":"900619746936498440^0","RequestId":"r"}'
    return 200, '{"Code":"OK","Message":"OK","CallId":"116012354148^102813137591","RequestId":"r"}'


def sms(vendor: Vendor, secret: str = KEY) -> AliyunSms:
    return AliyunSms(
        key_id="key-id",
        key_secret=secret,
        sign_name="封哨",
        template="SMS_1",
        variables={"title": "title", "who": "person", "no": "page"},
        clock=ManualClock(),
        base_url=vendor.url,
    )


def test_the_aliyun_signature_is_the_one_of_the_printed_example() -> None:
    query = aliyun.canonical_query(
        {"RegionId": "cn-shanghai", "ImageId": "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd"}
    )
    headers = aliyun.signed_headers(
        key_id="YourAccessKeyId",
        key_secret="YourAccessKeySecret",
        host="ecs.cn-shanghai.aliyuncs.com",
        action="RunInstances",
        version="2014-05-26",
        query=query,
        timestamp="2023-10-26T10:22:32Z",
        nonce="3156853299f313e23d1673dc12e1703d",
    )
    assert headers["Authorization"].endswith(
        "Signature=06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"
    )


def test_the_tencent_signature_is_the_one_of_the_printed_example() -> None:
    header = tencent.authorization(
        secret_id="AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE",
        secret_key="Gu5t9xGARNpq86cd98joQYCN3EXAMPLE",
        host="cvm.tencentcloudapi.com",
        service="cvm",
        timestamp_s=1551113065,
        payload=rb'{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}',
    )
    assert header == (
        "TC3-HMAC-SHA256 Credential=AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE/2019-02-25/cvm/tc3_request, "
        "SignedHeaders=content-type;host, "
        "Signature=72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168"
    )


def test_a_chinese_text_message_is_signed_sent_and_its_receipt_kept(vendor: Vendor) -> None:
    vendor.answer = aliyun_server
    submission = sms(vendor).submit(a_request("13800000000"))
    assert (submission.ok, submission.outcome) == (True, "taken: OK OK (900619746936498440^0)")
    (call,) = vendor.calls
    assert (call.query["PhoneNumbers"], call.query["SignName"], call.query["TemplateCode"]) == (
        "13800000000",
        "封哨",
        "SMS_1",
    )
    assert json.loads(call.query["TemplateParam"]) == {
        "title": "【红】一号井:疑似非法生产",
        "who": "王×",
        "no": "01234567",
    }


def test_an_aliyun_call_speaks_three_times_and_keeps_its_call_id(vendor: Vendor) -> None:
    vendor.answer = aliyun_server
    voice = AliyunVoice(
        key_id="key-id",
        key_secret=KEY,
        template="TTS_1",
        variables={"level": "level"},
        caller_number="",
        clock=ManualClock(),
        base_url=vendor.url,
    )
    submission = voice.submit(a_request("13800000000"))
    assert submission.outcome == "taken: OK OK (116012354148^102813137591)"
    (call,) = vendor.calls
    assert (call.headers["x-acs-action"], call.query["PlayTimes"]) == ("SingleCallByTts", "3")
    assert "CalledShowNumber" not in call.query


def test_a_wrong_aliyun_secret_pauses_the_channel(vendor: Vendor) -> None:
    vendor.answer = aliyun_server
    submission = sms(vendor, "wrong").submit(a_request("13800000000"))
    assert (submission.reason, submission.pause_s, submission.retry) == ("secret_refused", 300, False)


@pytest.mark.parametrize(
    ("code", "reason", "retry", "pauses"),
    [
        ("isv.BUSINESS_LIMIT_CONTROL", "number_limit_reached", False, False),
        ("isv.OUT_OF_SERVICE", "account_cannot_send", False, True),
        ("isv.MOBILE_NUMBER_ILLEGAL", "number_unusable", False, False),
        ("isp.SYSTEM_ERROR", "vendor_busy", True, False),
        ("Throttling.User", "vendor_busy", True, False),
        ("isv.SOMETHING_NEW", "vendor_refused", False, False),
    ],
)
def test_aliyun_says_so_in_http_200(code: str, reason: str, retry: bool, pauses: bool) -> None:
    submission = aliyun.judge(200, json.dumps({"Code": code, "Message": "m"}).encode())
    assert (submission.ok, submission.reason, submission.retry) == (False, reason, retry)
    assert (submission.pause_s > 0) is pauses


def tencent_server(call: Call) -> tuple[int, str]:
    found = re.fullmatch(
        r"TC3-HMAC-SHA256 Credential=id/(\S+)/(\S+)/tc3_request, SignedHeaders=content-type;host, Signature=(\S+)",
        call.headers["authorization"],
    )
    assert found is not None
    text = (
        f"POST\n/\n\ncontent-type:{call.headers['content-type']}\nhost:{call.headers['host']}\n\n"
        f"content-type;host\n{hashlib.sha256(call.body).hexdigest()}"
    )
    to_sign = (
        f"TC3-HMAC-SHA256\n{call.headers['x-tc-timestamp']}\n{found[1]}/{found[2]}/tc3_request\n"
        + hashlib.sha256(text.encode()).hexdigest()
    )
    key = b"TC3" + KEY.encode()
    for part in (found[1], found[2], "tc3_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    if hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest() != found[3]:
        return 200, '{"Response":{"Error":{"Code":"AuthFailure.SignatureFailure","Message":"m"},"RequestId":"r"}}'
    if found[2] == "vms":
        return 200, '{"Response":{"SendStatus":{"CallId":"12582bce","SessionContext":""},"RequestId":"r"}}'
    number = json.loads(call.body)["PhoneNumberSet"][0]
    entry = {"SerialNo": "5000:1", "PhoneNumber": number, "Fee": 1, "Code": "Ok", "Message": "send success"}
    return 200, json.dumps({"Response": {"SendStatusSet": [entry], "RequestId": "r"}})


def common(vendor: Vendor, secret: str = KEY) -> dict[str, Any]:
    return {
        "secret_id": "id",
        "secret_key": secret,
        "app_id": "1400006666",
        "template": "1110",
        "variables": ["title", "page"],
        "clock": ManualClock(),
        "base_url": vendor.url,
        "region": "ap-guangzhou",
    }


def test_a_tencent_text_message_goes_out_in_e164_with_its_serial_kept(vendor: Vendor) -> None:
    vendor.answer = tencent_server
    submission = TencentSms(sign_name="封哨", **common(vendor)).submit(a_request("138 0000 0000"))
    assert (submission.ok, submission.outcome) == (True, "taken: Ok send success (5000:1)")
    sent = json.loads(vendor.calls[0].body)
    assert sent["PhoneNumberSet"] == ["+8613800000000"]
    assert sent["TemplateParamSet"] == ["【红】一号井:疑似非法生产", "01234567"]
    assert vendor.calls[0].headers["x-tc-version"] == "2021-01-11"


def test_a_tencent_call_keeps_its_call_id(vendor: Vendor) -> None:
    vendor.answer = tencent_server
    submission = TencentVoice(**common(vendor)).submit(a_request("+8613800000000"))
    assert submission.outcome == "taken: Ok  (CallId 12582bce)"
    assert vendor.calls[0].headers["x-tc-action"] == "SendTtsVoice"


def test_a_wrong_tencent_key_pauses_the_channel(vendor: Vendor) -> None:
    vendor.answer = tencent_server
    submission = TencentSms(sign_name="封哨", **common(vendor, "wrong")).submit(a_request("13800000000"))
    assert (submission.reason, submission.pause_s) == ("secret_refused", 300)


@pytest.mark.parametrize(
    ("code", "reason", "retry"),
    [
        ("LimitExceeded.PhoneNumberThirtySecondLimit", "number_limit_reached", False),
        ("LimitExceeded.DeliveryFrequencyLimit", "number_limit_reached", False),
        ("FailedOperation.PhoneNumberInBlacklist", "number_refuses_messages", False),
        ("FailedOperation.InsufficientBalanceInSmsPackage", "account_cannot_send", False),
        ("InternalError.Timeout", "vendor_busy", True),
        ("FailedOperation.SomethingNew", "vendor_refused", False),
    ],
)
def test_a_tencent_call_that_worked_may_still_not_have_sent_to_the_number(code: str, reason: str, retry: bool) -> None:
    entry = {"SerialNo": "", "Code": code, "Message": "m"}
    submission = tencent.judge(200, json.dumps({"Response": {"SendStatusSet": [entry]}}).encode())
    assert (submission.ok, submission.reason, submission.retry) == (False, reason, retry)


@pytest.mark.parametrize(
    "response", [{}, {"SendStatusSet": []}, {"SendStatusSet": [1]}, {"SendStatus": {}}, {"Error": {"Code": "Ok"}}]
)
def test_an_empty_tencent_answer_is_no_success(response: dict[str, Any]) -> None:
    assert not tencent.judge(200, json.dumps({"Response": response}).encode()).ok


@given(status=st.integers(100, 599), body=st.binary(max_size=300))
def test_no_bytes_make_a_judge_raise(status: int, body: bytes) -> None:
    assert not aliyun.judge(status, body).ok
    assert not tencent.judge(status, body).ok
