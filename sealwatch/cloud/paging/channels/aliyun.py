"""Aliyun (阿里云): text messages (dysmsapi) and spoken calls (dyvmsapi), both version 2017-05-25.

Signature: ACS3-HMAC-SHA256, help.aliyun.com "V3 request body and signature mechanism"; the example printed there
(RunInstances) is a test.
Calls are ``POST /?…`` with everything in the query. ``SendSms`` wants PhoneNumbers, SignName, TemplateCode and
TemplateParam (help.aliyun.com/en/sms/developer-reference/api-dysmsapi-2017-05-25-sendsms); ``SingleCallByTts`` wants
CalledNumber, TtsCode, TtsParam and, for a number of one's own, CalledShowNumber (help.aliyun.com/document_detail/
393519.html). Both answer ``Code`` and ``Message``; "OK" is the only success, with BizId or CallId as the receipt.
Codes: help.aliyun.com/document_detail/101346.html (text messages). One number may be called once a minute, five times
an hour and 20 times a day (document 393519); a text goes at most once a minute, five an hour, ten or more a day.

SendSms is not idempotent, says its document: a page sent again after a lost answer may arrive twice.
Not verified in a document: the codes of the gateway before the service (Throttling…, SignatureDoesNotMatch,
InvalidAccessKeyId…), which are matched by their beginning, and the voice service's own list of codes.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

import httpx

from sealwatch.base.clock import Clock
from sealwatch.cloud.paging.channels import templates, verdicts
from sealwatch.cloud.paging.channels.http import Caller, NoAnswerError
from sealwatch.cloud.paging.channels.templates import Field
from sealwatch.cloud.paging.channels.verdicts import BUSY, MISCONFIGURED_S, TAKEN, Meaning
from sealwatch.cloud.ports import PageRequest, Submission

SMS_URL: Final = "https://dysmsapi.aliyuncs.com"
VOICE_URL: Final = "https://dyvmsapi.aliyuncs.com"
VERSION: Final = "2017-05-25"
_ACCOUNT: Final = Meaning("account_cannot_send", pause_s=MISCONFIGURED_S)
_TEMPLATE: Final = Meaning("template_or_signature_refused", pause_s=MISCONFIGURED_S)
CODES: Final[Mapping[str, Meaning]] = {
    "OK": TAKEN,
    "isp.SYSTEM_ERROR": BUSY,
    "isp.RAM_PERMISSION_DENY": _ACCOUNT,
    "isv.OUT_OF_SERVICE": _ACCOUNT,
    "isv.AMOUNT_NOT_ENOUGH": _ACCOUNT,
    "isv.PRODUCT_UN_SUBSCRIPT": _ACCOUNT,
    "isv.PRODUCT_UNSUBSCRIBE": _ACCOUNT,
    "isv.ACCOUNT_NOT_EXISTS": _ACCOUNT,
    "isv.ACCOUNT_ABNORMAL": _ACCOUNT,
    "isv.DENY_IP_RANGE": _ACCOUNT,
    "isv.DAY_LIMIT_CONTROL": Meaning("account_limit_reached", pause_s=3600.0),
    "isv.MONTH_LIMIT_CONTROL": Meaning("account_limit_reached", pause_s=3600.0),
    "isv.SMS_TEMPLATE_ILLEGAL": _TEMPLATE,
    "isv.SMS_SIGNATURE_ILLEGAL": _TEMPLATE,
    "isv.SMS_SIGN_ILLEGAL": _TEMPLATE,
    "isv.SIGN_STATE_ILLEGAL": _TEMPLATE,
    "isv.SMS_SIGNATURE_SCENE_ILLEGAL": _TEMPLATE,
    "isv.TEMPLATE_MISSING_PARAMETERS": _TEMPLATE,
    "isv.BUSINESS_LIMIT_CONTROL": Meaning("number_limit_reached"),
    "isv.MOBILE_NUMBER_ILLEGAL": Meaning("number_unusable"),
    "isv.BLACK_KEY_CONTROL_LIMIT": Meaning("text_refused"),
    "isv.PARAM_NOT_SUPPORT_URL": Meaning("text_refused"),
    "isv.PARAM_LENGTH_LIMIT": Meaning("text_refused"),
    "isv.INVALID_PARAMETERS": Meaning("text_refused"),
    "isv.INVALID_JSON_PARAM": Meaning("text_refused"),
}
_GATEWAY: Final = (
    ("Throttling", BUSY),
    ("ServiceUnavailable", BUSY),
    ("InternalError", BUSY),
    ("SignatureDoesNotMatch", Meaning("secret_refused", pause_s=MISCONFIGURED_S)),
    ("InvalidAccessKeyId", Meaning("secret_refused", pause_s=MISCONFIGURED_S)),
    ("InvalidTimeStamp", Meaning("clock_wrong", pause_s=MISCONFIGURED_S)),
)


def judge(status: int, body: bytes) -> Submission:
    """What the answer of either service means. Pure."""
    value = verdicts.fields(body)
    code = value.get("Code")
    if not isinstance(code, str):
        return verdicts.not_understood(status, body) if 200 <= status < 300 else verdicts.http_failure(status, body)
    if code == "OK" and not 200 <= status < 300:
        return verdicts.http_failure(status, body)
    gateway = next((meaning for start, meaning in _GATEWAY if code.startswith(start)), None)
    known = CODES if gateway is None else {code: gateway}
    receipt = value.get("BizId") or value.get("CallId") or value.get("RequestId") or ""
    return verdicts.by_code(code, value.get("Message", ""), known, detail=str(receipt))


def canonical_query(parameters: Mapping[str, str]) -> str:
    """Sorted, and escaped by RFC 3986."""
    return "&".join(f"{quote(name, safe='~')}={quote(parameters[name], safe='~')}" for name in sorted(parameters))


def signed_headers(
    *,
    key_id: str,
    key_secret: str,
    host: str,
    action: str,
    version: str,
    query: str,
    timestamp: str,
    nonce: str,
) -> dict[str, str]:
    """The headers of a call without a body, ``Authorization`` among them. `timestamp` like 2023-10-26T10:22:32Z."""
    hashed = hashlib.sha256(b"").hexdigest()
    headers = {
        "host": host,
        "x-acs-action": action,
        "x-acs-content-sha256": hashed,
        "x-acs-date": timestamp,
        "x-acs-signature-nonce": nonce,
        "x-acs-version": version,
    }
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    request = f"POST\n/\n{query}\n{lines}\n{names}\n{hashed}"
    to_sign = "ACS3-HMAC-SHA256\n" + hashlib.sha256(request.encode()).hexdigest()
    signature = hmac.new(key_secret.encode(), to_sign.encode(), hashlib.sha256).hexdigest()
    headers["Authorization"] = f"ACS3-HMAC-SHA256 Credential={key_id},SignedHeaders={names},Signature={signature}"
    return headers


class _Service:
    def __init__(self, *, key_id: str, key_secret: str, clock: Clock, base_url: str, caller: Caller | None) -> None:
        self._key_id, self._key_secret, self._clock = key_id, key_secret, clock
        self._base_url, self._caller = base_url, caller or Caller()

    def close(self) -> None:
        self._caller.close()

    def _call(self, action: str, parameters: Mapping[str, str]) -> Submission:
        query = canonical_query(parameters)
        now = datetime.fromtimestamp(self._clock.wall_ms() / 1000, UTC)
        headers = signed_headers(
            key_id=self._key_id,
            key_secret=self._key_secret,
            host=httpx.URL(self._base_url).netloc.decode(),
            action=action,
            version=VERSION,
            query=query,
            timestamp=now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            nonce=secrets.token_hex(16),
        )
        try:
            return judge(*self._caller.ask("POST", f"{self._base_url}/?{query}", headers=headers))
        except NoAnswerError as trouble:
            return trouble.submission


class AliyunSms(_Service):
    """Text messages by an approved template. `request.address` is a telephone number."""

    def __init__(
        self,
        *,
        key_id: str,
        key_secret: str,
        sign_name: str,
        template: str,
        variables: Mapping[str, Field],
        clock: Clock,
        base_url: str = SMS_URL,
        caller: Caller | None = None,
    ) -> None:
        super().__init__(key_id=key_id, key_secret=key_secret, clock=clock, base_url=base_url, caller=caller)
        self._sign_name, self._template, self._variables = sign_name, template, variables

    def submit(self, request: PageRequest) -> Submission:
        parameters = {
            "PhoneNumbers": request.address,
            "SignName": self._sign_name,
            "TemplateCode": self._template,
            "TemplateParam": _variables(request, self._variables),
            "OutId": request.page_id,
        }
        return self._call("SendSms", parameters)


class AliyunVoice(_Service):
    """A call that speaks an approved template. `request.address` is a telephone number."""

    def __init__(
        self,
        *,
        key_id: str,
        key_secret: str,
        template: str,
        variables: Mapping[str, Field],
        caller_number: str,
        clock: Clock,
        base_url: str = VOICE_URL,
        caller: Caller | None = None,
    ) -> None:
        super().__init__(key_id=key_id, key_secret=key_secret, clock=clock, base_url=base_url, caller=caller)
        self._template, self._variables, self._number = template, variables, caller_number

    def submit(self, request: PageRequest) -> Submission:
        parameters = {
            "CalledNumber": request.address,
            "TtsCode": self._template,
            "TtsParam": _variables(request, self._variables),
            "PlayTimes": "3",
            "OutId": request.page_id[:15],  # 1 to 15 bytes
        }
        return self._call("SingleCallByTts", parameters | ({"CalledShowNumber": self._number} if self._number else {}))


def _variables(request: PageRequest, variables: Mapping[str, Field]) -> str:
    values = {name: templates.value(request, field) for name, field in variables.items()}
    return json.dumps(values, ensure_ascii=False)
