"""Messages to one person through an application: the token is kept, renewed when refused, and asked for sparingly."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from sealwatch.base.clock import ManualClock
from sealwatch.cloud.paging.channels.dingtalk import DingTalkWork
from sealwatch.cloud.paging.channels.wecom import WeComApplication
from tests.cloud.paging.channels.vendor import Call, Vendor, a_request

Make = Callable[..., DingTalkWork | WeComApplication]


class Accounts:
    """A vendor's token service and mailbox: tokens end after two hours, and may be taken back."""

    def __init__(self, *, secret: str, taken: str) -> None:
        self.secret, self.taken, self.issued, self.valid = secret, taken, 0, ""
        self.known = {"wang"}

    def __call__(self, call: Call) -> tuple[int, str]:
        if "gettoken" in call.path:
            if self.secret not in call.query.values():
                return 200, '{"errcode":40001,"errmsg":"invalid credential"}'
            self.issued += 1
            self.valid = f"token-{self.issued}"
            return 200, json.dumps({"errcode": 0, "errmsg": "ok", "access_token": self.valid, "expires_in": 7200})
        if call.query["access_token"] != self.valid:
            return 200, '{"errcode":40014,"errmsg":"invalid access_token"}'
        return 200, self.taken


def dingtalk(vendor: Vendor, clock: ManualClock, key: str = "s-1") -> DingTalkWork:
    return DingTalkWork(app_key="k", app_secret=key, agent_id=7, clock=clock, base_url=vendor.url)


def wecom(vendor: Vendor, clock: ManualClock, key: str = "s-1") -> WeComApplication:
    return WeComApplication(corp_id="c", secret=key, agent_id=7, clock=clock, base_url=vendor.url)


@pytest.mark.parametrize("make", [dingtalk, wecom])
def test_the_token_is_asked_for_once_in_two_hours(vendor: Vendor, make: Make) -> None:
    clock, accounts = ManualClock(), Accounts(secret="s-1", taken='{"errcode":0,"errmsg":"ok","task_id":256271667526}')
    vendor.answer = accounts
    channel = make(vendor, clock)
    assert [channel.submit(a_request("wang")).ok for _ in range(3)] == [True] * 3
    assert accounts.issued == 1
    clock.advance(7100)
    assert channel.submit(a_request("wang")).ok
    assert accounts.issued == 2


@pytest.mark.parametrize("make", [dingtalk, wecom])
def test_a_token_taken_back_is_renewed_within_the_same_page(vendor: Vendor, make: Make) -> None:
    accounts = Accounts(secret="s-1", taken='{"errcode":0,"errmsg":"ok","task_id":1}')
    vendor.answer = accounts
    channel = make(vendor, ManualClock())
    assert channel.submit(a_request("wang")).ok
    accounts.valid = "somebody-elses"
    assert channel.submit(a_request("wang")).ok
    assert accounts.issued == 2


@pytest.mark.parametrize("make", [dingtalk, wecom])
def test_a_wrong_secret_pauses_the_channel(vendor: Vendor, make: Make) -> None:
    vendor.answer = Accounts(secret="s-1", taken="")
    channel = make(vendor, ManualClock(), "wrong")
    submission = channel.submit(a_request("wang"))
    assert (submission.ok, submission.retry, submission.pause_s) == (False, False, 300)
    assert "40001" in submission.outcome


def test_a_work_notification_names_application_person_and_page_and_keeps_the_task(vendor: Vendor) -> None:
    vendor.answer = Accounts(secret="s-1", taken='{"errcode":0,"errmsg":"ok","task_id":256271667526}')
    submission = dingtalk(vendor, ManualClock()).submit(a_request("wang"))
    assert submission.outcome == "taken: 0 ok (task_id 256271667526)"
    message = json.loads(vendor.calls[-1].body)
    assert (message["agent_id"], message["userid_list"], message["msg"]["msgtype"]) == (7, "wang", "action_card")
    assert message["msg"]["action_card"]["markdown"].endswith("＃01234567")


def test_a_work_notification_without_a_task_was_not_taken(vendor: Vendor) -> None:
    vendor.answer = Accounts(secret="s-1", taken='{"errcode":0,"errmsg":"ok"}')
    assert not dingtalk(vendor, ManualClock()).submit(a_request("wang")).ok


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ('{"errcode":0,"errmsg":"ok","invaliduser":"wang","msgid":"m"}', "person_not_in_application"),
        ('{"errcode":0,"errmsg":"ok","unlicenseduser":"wang"}', "person_without_licence"),
        ('{"errcode":81013,"errmsg":"user & party & tag all invalid"}', "person_not_in_application"),
    ],
)
def test_wecom_says_0_and_yet_the_person_got_nothing(vendor: Vendor, answer: str, reason: str) -> None:
    vendor.answer = Accounts(secret="s-1", taken=answer)
    submission = wecom(vendor, ManualClock()).submit(a_request("wang"))
    assert (submission.ok, submission.reason, submission.retry) == (False, reason, False)
