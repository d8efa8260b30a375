"""Web push against a push service that checks the claim and a browser that reads the message, both by the RFCs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec

from sealwatch.base.clock import ManualClock
from sealwatch.base.errors import UsageError
from sealwatch.cloud.accounts import sessions, store
from sealwatch.cloud.accounts.sessions import LoggedIn
from sealwatch.cloud.auth import push_key
from sealwatch.cloud.db.account_tables import AuditEntry, PushSubscription
from sealwatch.cloud.db.engine import Database, open_database
from sealwatch.cloud.db.tables import Person
from sealwatch.cloud.paging import choices, subscriptions
from sealwatch.cloud.paging.channels import web_push
from sealwatch.cloud.paging.channels.settings import PUSH_SERVICES
from sealwatch.cloud.paging.channels.web_push import PushMeans, WebPush
from sealwatch.cloud.paging.subscriptions import Offered
from sealwatch.cloud.refused import NotAllowed
from tests.cloud.paging.channels.browser import SubscribedBrowser, claims, raw
from tests.cloud.paging.channels.vendor import Vendor, a_request

NOW_MS = 1_790_000_000_000
SERVICES = ["127.0.0.1"]


class World:
    """A person with an account, and the channel."""

    def __init__(self, database: Database) -> None:
        self.database, self.clock = database, ManualClock(wall_ms=NOW_MS)
        self.key = ec.generate_private_key(ec.SECP256R1())
        with database.write() as session:
            session.add(Person(person_id="wang", name="王建国", level=5))
            session.flush()
            account = store.invite(
                session, login="wang", name="", role="inspector", region="", person_id="wang", author="t", now_ms=NOW_MS
            )
            self.who: LoggedIn = sessions.logged_in(account)
        means = PushMeans(database, self.key)
        self.channel = WebPush(means, services=SERVICES, subject="https://seal.example:8443", clock=self.clock)

    def add(self, offered: Offered, services: list[str] = SERVICES) -> None:
        with self.database.write() as session:
            subscriptions.subscribe(session, self.who, offered, services=services, agent="x", now_ms=NOW_MS)

    @property
    def kept(self) -> int:
        with self.database.read() as session:
            return session.query(PushSubscription).count()


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    database = open_database(database_url)
    made = World(database)
    yield made
    made.channel.close()
    database.close()


def test_the_reader_of_these_tests_reads_the_example_of_the_rfc() -> None:
    """RFC 8291, 5."""
    private = int.from_bytes(raw("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"))
    browser = SubscribedBrowser(ec.derive_private_key(private, ec.SECP256R1()), raw("BTBZMqHH6r4Tts7J_aSIgg"))
    body = raw(
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl"
        "7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )
    assert browser.read(body) == b"When I grow up, I want to be a watermelon"


def test_a_page_reaches_the_browser_that_subscribed_and_nobody_else_can_read_it(world: World, vendor: Vendor) -> None:
    browser = SubscribedBrowser()
    vendor.answer = lambda _: (201, "")
    world.add(browser.offered(f"{vendor.url}/push/abc?x=1"))
    submission = world.channel.submit(a_request("wang"))
    assert (submission.ok, submission.reason) == (True, "taken")
    assert submission.outcome == f"taken: 1 of 1 browsers; 201 {urlsplit(vendor.url).netloc}"
    (call,) = vendor.calls
    assert (call.method, call.path, call.raw_query) == ("POST", "/push/abc", "x=1")
    assert call.headers["content-encoding"] == "aes128gcm"
    assert (call.headers["urgency"], call.headers["ttl"]) == ("high", "3600")
    assert call.headers["topic"] == a_request().page_id  # RFC 8030, 5.4: at most 32 characters of base64url
    assert claims(call, push_key.public_text(world.key)) == {
        "aud": vendor.url, "exp": NOW_MS // 1000 + 12 * 3600, "sub": "https://seal.example:8443",
    }  # fmt: skip
    told = json.loads(browser.read(call.body))
    assert told == {
        "title": "【红】一号井:疑似非法生产",
        "body": "请核查",
        "url": "https://seal.example/a/x",
        "tag": "i1",
        "language": "zh",
        "choices": [
            {"title": "我去现场", "url": "https://seal.example/a/x?do=going"},
            {"title": "去不了，转下一人", "url": "https://seal.example/a/x?do=next"},
            {"title": "误报", "url": "https://seal.example/a/x?do=false_alarm#step-close"},
        ],
    }
    with world.database.read() as session:
        assert session.query(PushSubscription).one().taken_at_ms == NOW_MS


def test_a_changed_claim_is_noticed_by_the_push_service(world: World, vendor: Vendor) -> None:
    vendor.answer = lambda _: (201, "")
    world.add(SubscribedBrowser().offered(f"{vendor.url}/1"))
    world.channel.submit(a_request("wang"))
    (call,) = vendor.calls
    head, _, tail = call.headers["authorization"].partition(".")
    call.headers["authorization"] = f"{head}.e30{tail[3:]}"
    with pytest.raises(InvalidSignature):
        claims(call, push_key.public_text(world.key))


@pytest.mark.parametrize("status", [404, 410])
def test_a_browser_that_is_gone_is_forgotten_and_that_is_written_down(
    world: World, vendor: Vendor, status: int
) -> None:
    vendor.answer = lambda call: (status if call.path == "/old" else 201, "")
    for path in ("old", "new"):
        world.add(SubscribedBrowser().offered(f"{vendor.url}/{path}"))
    submission = world.channel.submit(a_request("wang"))
    assert submission.ok
    assert f"{status} " in submission.outcome
    assert world.kept == 1
    with world.database.read() as session:
        line = session.query(AuditEntry).filter_by(action="push.gone").one()
        assert (line.actor, line.target, line.outcome) == ("system", "wang", str(status))


def test_where_every_browser_is_gone_the_ladder_goes_on_at_once(world: World, vendor: Vendor) -> None:
    vendor.answer = lambda _: (410, "")
    world.add(SubscribedBrowser().offered(f"{vendor.url}/1"))
    first, second = (world.channel.submit(a_request("wang")) for _ in range(2))
    assert (first.ok, first.retry, first.reason) == (False, False, "browser_gone")
    assert (second.ok, second.retry, second.reason) == (False, False, "nobody_subscribed")
    assert len(vendor.calls) == 1


@pytest.mark.parametrize(
    ("status", "retry", "reason"),
    [
        (429, True, "http_trouble"),
        (503, True, "http_trouble"),
        (403, False, "http_refused"),
        (302, False, "http_refused"),
    ],
)
def test_a_push_service_that_refuses_took_nothing(
    world: World, vendor: Vendor, status: int, retry: bool, reason: str
) -> None:
    vendor.answer = lambda _: (status, "no")
    world.add(SubscribedBrowser().offered(f"{vendor.url}/1"))
    submission = world.channel.submit(a_request("wang"))
    assert (submission.ok, submission.retry, submission.reason) == (False, retry, reason)
    assert world.kept == 1


def test_a_push_service_that_is_not_there_is_tried_again(world: World) -> None:
    world.add(SubscribedBrowser().offered("http://127.0.0.1:9/1"))
    submission = world.channel.submit(a_request("wang"))
    assert (submission.ok, submission.retry, submission.reason) == (False, True, "unreachable")


@pytest.mark.parametrize("most", [4000, 700, 300])
def test_a_long_page_is_cut_where_it_may_be_and_keeps_its_link(most: int) -> None:
    request = a_request(body="\n".join(["井口有人" * 300, "应答:https://seal.example/a/x"]))
    data = web_push.message(request, most)
    told = json.loads(data)
    assert told["url"] == request.answer_url
    assert len(told["choices"]) == 3
    if told["body"]:
        assert len(data) <= most
        assert told["body"].endswith("…") or most == 4000


def test_a_report_has_no_buttons() -> None:
    assert choices.of(a_request(answer_url="https://seal.example/")) == []


@pytest.mark.parametrize(
    ("endpoint", "allowed"),
    [
        ("https://fcm.googleapis.com/fcm/send/x", True),
        ("https://wns2-par02p.notify.windows.com/w/?token=x", True),
        ("https://web.push.apple.com/x", True),
        ("http://fcm.googleapis.com/x", False),
        ("https://fcm.googleapis.com.evil.example/x", False),
        ("https://evilpush.apple.com/x", False),
        ("https://user@fcm.googleapis.com/x", False),
        ("https://fcm.googleapis.com:99999/x", False),
        ("https://10.0.0.1/x", False),
        ("http://127.0.0.1:8000/api", False),
        ("https://[::1]/x", False),
        ("https://[bad/x", False),
        ("file:///etc/passwd", False),
        ("", False),
    ],
)
def test_a_browser_does_not_choose_where_the_service_sends(endpoint: str, allowed: bool) -> None:
    assert subscriptions.is_allowed(endpoint, PUSH_SERVICES) is allowed


def test_what_is_no_subscription_is_refused(world: World) -> None:
    browser = SubscribedBrowser()
    good = browser.offered("http://127.0.0.1/1")
    for bad in (
        browser.offered("https://elsewhere.example/1"),
        Offered(endpoint=good.endpoint, p256dh=good.p256dh, auth="AAAA"),
        Offered(endpoint=good.endpoint, p256dh="BAAA", auth=good.auth),
        Offered(endpoint=good.endpoint, p256dh=good.p256dh[:-4] + "AAAA", auth=good.auth),
    ):
        with pytest.raises(NotAllowed, match="push_refused"):
            world.add(bad)
    for n in range(subscriptions.MOST):
        world.add(SubscribedBrowser().offered(f"http://127.0.0.1/{n}"))
    with pytest.raises(NotAllowed, match="too_many_browsers"):
        world.add(SubscribedBrowser().offered("http://127.0.0.1/more"))
    world.add(SubscribedBrowser().offered("http://127.0.0.1/0"))  # the same browser with new keys
    assert world.kept == subscriptions.MOST


def test_an_account_that_is_shut_out_takes_its_browsers_along(world: World) -> None:
    from sealwatch.cloud.db.account_tables import Account

    world.add(SubscribedBrowser().offered("http://127.0.0.1/1"))
    with world.database.write() as session:
        account = session.get_one(Account, world.who.account_id)
        store.disable(session, account, disabled=True, author="t", now_ms=NOW_MS)
    assert world.kept == 0


def test_the_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    made = push_key.load_or_create(tmp_path)
    assert push_key.public_text(push_key.load_or_create(tmp_path)) == push_key.public_text(made)
    assert (tmp_path / push_key.KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert len(raw(push_key.public_text(made))) == 65
    (tmp_path / push_key.KEY_FILE).write_bytes(b"broken")
    with pytest.raises(UsageError, match="not a readable PEM"):
        push_key.load_or_create(tmp_path)
