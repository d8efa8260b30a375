"""Tencent Cloud (腾讯云): text messages (sms, 2021-01-11) and spoken calls (vms, 2020-09-02), TC3 signed.

Signature: TC3-HMAC-SHA256, "Signature v3" (tencentcloud.com/document/api/1005/34678);
the example printed there (DescribeInstances) is a
test. ``SendSms`` (cloud.tencent.com/document/api/382/55981) answers one entry a number in ``SendStatusSet``, each with
its own ``Code``: "Ok" is the only success, though the call itself worked. ``SendTtsVoice``
(cloud.tencent.com/document/api/1128/51558) answers ``SendStatus.CallId``. A failed call has ``Response.Error.Code``
under HTTP 200. Codes: cloud.tencent.com/document/api/382/59177 and 382/52075. A clock more than five minutes off is
refused (AuthFailure.SignatureExpire).

Not verified in a document: the names of the limits of one number (LimitExceeded.PhoneNumber…Limit), which are
matched by their beginning, and the codes of the voice service.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import httpx

from sealwatch.base.clock import Clock
from sealwatch.cloud.paging.channels import templates, verdicts
from sealwatch.cloud.paging.channels.http import Caller, NoAnswerError
from sealwatch.cloud.paging.channels.templates import Field
from sealwatch.cloud.paging.channels.verdicts import BUSY, MISCONFIGURED_S, TAKEN, Meaning
from sealwatch.cloud.ports import PageRequest, Submission

SMS_URL: Final = "https://sms.tencentcloudapi.com"
VOICE_URL: Final = "https://vms.tencentcloudapi.com"
CONTENT_TYPE: Final = "application/json; charset=utf-8"
_ACCOUNT: Final = Meaning("account_cannot_send", pause_s=MISCONFIGURED_S)
_TEMPLATE: Final = Meaning("template_or_signature_refused", pause_s=MISCONFIGURED_S)
CODES: Final[Mapping[str, Meaning]] = {
    "Ok": TAKEN,
    "InternalError": BUSY,
    "InternalError.Timeout": BUSY,
    "InternalError.OtherError": BUSY,
    "FailedOperation.InsufficientBalanceInSmsPackage": _ACCOUNT,
    "FailedOperation.SignatureIncorrectOrUnapproved": _TEMPLATE,
    "FailedOperation.TemplateIncorrectOrUnapproved": _TEMPLATE,
    "FailedOperation.ContainSensitiveWord": Meaning("text_refused"),
    "InvalidParameterValue.ContentLengthLimit": Meaning("text_refused"),
    "FailedOperation.PhoneNumberInBlacklist": Meaning("number_refuses_messages"),
    "InvalidParameterValue.IncorrectPhoneNumber": Meaning("number_unusable"),
    "LimitExceeded.DeliveryFrequencyLimit": Meaning("number_limit_reached"),
    "AuthFailure.SignatureExpire": Meaning("clock_wrong", pause_s=MISCONFIGURED_S),
}
_BEGINNINGS: Final = (
    ("RequestLimitExceeded", BUSY),
    ("LimitExceeded.PhoneNumber", Meaning("number_limit_reached")),
    ("AuthFailure", Meaning("secret_refused", pause_s=MISCONFIGURED_S)),
    ("UnauthorizedOperation", _ACCOUNT),
    ("InvalidParameterValue.SdkAppIdNotExist", _ACCOUNT),
)


def meaning(code: str) -> Meaning:
    """What a code stands for; unknown ones are failures that are not tried again."""
    if code in CODES:
        return CODES[code]
    return next((known for start, known in _BEGINNINGS if code.startswith(start)), Meaning("vendor_refused"))


def judge(status: int, body: bytes) -> Submission:
    """What the answer to a message for one number, or to a call, means. Pure."""
    response = verdicts.fields(body).get("Response")
    if not 200 <= status < 300 or not isinstance(response, dict):
        return verdicts.not_understood(status, body) if 200 <= status < 300 else verdicts.http_failure(status, body)
    error = response.get("Error")
    if isinstance(error, dict):
        code = str(error.get("Code"))
        refused = meaning(code)
        if refused is TAKEN:
            return verdicts.not_understood(status, body)
        return verdicts.by_code(code, error.get("Message", ""), {code: refused})
    if "SendStatusSet" in response:
        return _one_number(response["SendStatusSet"], status, body)
    call = response.get("SendStatus")
    if isinstance(call, dict) and call.get("CallId"):
        return verdicts.by_code("Ok", "", CODES, detail=f"CallId {call['CallId']}")
    return verdicts.not_understood(status, body)


def authorization(*, secret_id: str, secret_key: str, host: str, service: str, timestamp_s: int, payload: bytes) -> str:
    """The ``Authorization`` header of a POST of JSON."""
    date = datetime.fromtimestamp(timestamp_s, UTC).strftime("%Y-%m-%d")
    names, scope = "content-type;host", f"{date}/{service}/tc3_request"
    hashed = hashlib.sha256(payload).hexdigest()
    request = "\n".join(("POST", "/", "", f"content-type:{CONTENT_TYPE}\nhost:{host}\n", names, hashed))
    to_sign = f"TC3-HMAC-SHA256\n{timestamp_s}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"TC3{secret_key}".encode()
    for part in (date, service, "tc3_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    return f"TC3-HMAC-SHA256 Credential={secret_id}/{scope}, SignedHeaders={names}, Signature={signature}"


class _Service:
    """What text and voice share."""

    service, version = "sms", "2021-01-11"

    def __init__(
        self,
        *,
        secret_id: str,
        secret_key: str,
        app_id: str,
        template: str,
        variables: Sequence[Field],
        clock: Clock,
        base_url: str,
        region: str,
        caller: Caller | None,
    ) -> None:
        self._secret_id, self._secret_key, self._app_id = secret_id, secret_key, app_id
        self._template, self._variables, self._region = template, variables, region
        self._clock, self._base_url, self._caller = clock, base_url, caller or Caller()

    def close(self) -> None:
        self._caller.close()

    def _values(self, request: PageRequest) -> list[str]:
        return [templates.value(request, field) for field in self._variables]

    def _call(self, action: str, body: Mapping[str, Any]) -> Submission:
        payload = json.dumps(body, ensure_ascii=False).encode()
        host, now_s = httpx.URL(self._base_url).netloc.decode(), self._clock.wall_ms() // 1000
        headers = {
            "Host": host,
            "Content-Type": CONTENT_TYPE,
            "X-TC-Action": action,
            "X-TC-Version": self.version,
            "X-TC-Region": self._region,
            "X-TC-Timestamp": str(now_s),
            "Authorization": authorization(
                secret_id=self._secret_id,
                secret_key=self._secret_key,
                host=host,
                service=self.service,
                timestamp_s=now_s,
                payload=payload,
            ),
        }
        try:
            return judge(*self._caller.ask("POST", f"{self._base_url}/", content=payload, headers=headers))
        except NoAnswerError as trouble:
            return trouble.submission


class TencentSms(_Service):
    """Text messages by an approved template. `request.address` is a telephone number (+86… or 11 digits)."""

    def __init__(self, *, sign_name: str, base_url: str = SMS_URL, caller: Caller | None = None, **common: Any) -> None:
        super().__init__(base_url=base_url, caller=caller, **common)
        self._sign_name = sign_name

    def submit(self, request: PageRequest) -> Submission:
        body = {
            "PhoneNumberSet": [e164(request.address)],
            "SmsSdkAppId": self._app_id,
            "TemplateId": self._template,
            "SignName": self._sign_name,
            "TemplateParamSet": self._values(request),
            "SessionContext": request.page_id,
        }
        return self._call("SendSms", body)


class TencentVoice(_Service):
    """A call that speaks an approved template. `request.address` is a telephone number (+86… or 11 digits)."""

    service, version = "vms", "2020-09-02"

    def __init__(self, *, base_url: str = VOICE_URL, caller: Caller | None = None, **common: Any) -> None:
        super().__init__(base_url=base_url, caller=caller, **common)

    def submit(self, request: PageRequest) -> Submission:
        body = {
            "CalledNumber": e164(request.address),
            "VoiceSdkAppid": self._app_id,
            "TemplateId": self._template,
            "TemplateParamSet": self._values(request),
            "PlayTimes": 3,
            "SessionContext": request.page_id,
        }
        return self._call("SendTtsVoice", body)


def e164(number: str) -> str:
    """A number with its country: mainland China where none is given."""
    digits = number.replace(" ", "").replace("-", "")
    return digits if digits.startswith("+") else f"+86{digits}"


def _one_number(entries: object, status: int, body: bytes) -> Submission:
    if not isinstance(entries, list) or len(entries) != 1 or not isinstance(entries[0], dict):
        return verdicts.not_understood(status, body)
    code = str(entries[0].get("Code"))
    serial = entries[0].get("SerialNo")
    known = {code: meaning(code)}
    return verdicts.by_code(code, entries[0].get("Message", ""), known, detail=str(serial or ""))
