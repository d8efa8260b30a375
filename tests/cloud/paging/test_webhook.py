"""The webhook against real servers that take a page, refuse it, lie about it, or never answer."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealwatch.cloud.paging.webhook import WebhookChannel, judge, signature
from sealwatch.cloud.ports import PageRequest

SECRET = "shared-secret"


@dataclass
class Receiver:
    """What the server is told to answer, and what it got."""

    status: int = 200
    body: bytes = b'{"ok": true}'
    headers: dict[str, str] = field(default_factory=dict)
    hang: bool = False
    trickle: bool = False
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)
    url: str = ""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    told = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
            if told.hang:
                told.release.wait(10)
                return
            self.send_response(told.status)
            for name, value in told.headers.items():
                self.send_header(name, value)
            if told.trickle:
                self.send_header("Content-Length", "100000")
                self.end_headers()
                while not told.release.wait(0.05):
                    self.wfile.write(b" ")
                return
            self.send_header("Content-Length", str(len(told.body)))
            self.end_headers()
            self.wfile.write(told.body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that gave up is no error here
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    told.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    yield told
    told.release.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def channel() -> Iterator[WebhookChannel]:
    made = WebhookChannel(SECRET, timeout_s=0.5)
    yield made
    made.close()


def a_request(url: str, **changes: str) -> PageRequest:
    values = {
        "page_id": "0123456789abcdef0123456789abcdef",
        "incident_id": "i1",
        "person_name": "王×",
        "language": "zh",
        "level": "red",
        "title": "【红】一号井:疑似非法生产",
        "body": "请核查\n应答:https://seal.example/a/x",
        "answer_url": "https://seal.example/a/x",
        "address": url,
    }
    return PageRequest(**(values | changes))


def test_a_page_that_the_receiver_took_is_submitted(receiver: Receiver, channel: WebhookChannel) -> None:
    submission = channel.submit(a_request(receiver.url))
    assert (submission.ok, submission.outcome) == (True, '200 {"ok": true}')
    ((headers, body),) = receiver.got
    assert headers["idempotency-key"] == "0123456789abcdef0123456789abcdef"
    assert headers["x-sealwatch-signature"] == signature(SECRET.encode(), body)
    assert headers["content-type"] == "application/json"
    sent = json.loads(body)
    assert sent["title"] == "【红】一号井:疑似非法生产"
    assert (sent["v"], sent["level"], sent["person"], sent["answer_url"]) == (
        1,
        "red",
        "王×",
        "https://seal.example/a/x",
    )


def test_accepted_with_202_is_taken_too(receiver: Receiver, channel: WebhookChannel) -> None:
    receiver.status, receiver.body = 202, b'{"status": "accepted", "id": 5}'
    assert channel.submit(a_request(receiver.url)).ok


@pytest.mark.parametrize(
    "body",
    [
        b'{"errcode": 310000, "errmsg": "keywords not in content"}',  # the way of group robots
        b'{"ok": false}',
        b'{"ok": "true"}',
        b'{"ok": 1}',
        b'{"status": "error"}',
        b"ok",
        b"",
        b"true",
        b"<html>login</html>",
        b"[" * 50_000,
        b"\xff\xfe",
    ],
)
def test_200_with_anything_but_a_yes_is_a_failure_with_the_body_as_outcome(
    receiver: Receiver, channel: WebhookChannel, body: bytes
) -> None:
    receiver.body = body
    submission = channel.submit(a_request(receiver.url))
    assert (submission.ok, submission.retry) == (False, False)
    assert submission.outcome.startswith("200")
    assert body[:20].decode("utf-8", "replace") in submission.outcome


@pytest.mark.parametrize(
    ("status", "retry"), [(400, False), (401, False), (404, False), (408, True), (429, True), (500, True), (503, True)]
)
def test_an_error_status_is_a_failure_and_says_whether_to_try_again(
    receiver: Receiver, channel: WebhookChannel, status: int, retry: bool
) -> None:
    receiver.status = status
    submission = channel.submit(a_request(receiver.url))
    assert (submission.ok, submission.retry) == (False, retry)
    assert submission.outcome.startswith(str(status))


def test_a_redirect_is_not_followed(receiver: Receiver, channel: WebhookChannel) -> None:
    receiver.status, receiver.headers = 302, {"Location": receiver.url}
    assert not channel.submit(a_request(receiver.url)).ok
    assert len(receiver.got) == 1


def test_a_receiver_that_never_answers_is_left_after_the_timeout(receiver: Receiver, channel: WebhookChannel) -> None:
    receiver.hang = True
    submission = channel.submit(a_request(receiver.url))
    assert (submission.ok, submission.retry) == (False, True)
    assert "in time" in submission.outcome


def test_a_receiver_whose_answer_trickles_in_is_left_after_the_timeout(
    receiver: Receiver, channel: WebhookChannel
) -> None:
    receiver.trickle = True
    submission = channel.submit(a_request(receiver.url))
    assert (submission.ok, submission.retry) == (False, True)


def test_an_answer_without_end_is_cut_off(receiver: Receiver, channel: WebhookChannel) -> None:
    receiver.body = b"x" * 5_000_000
    submission = channel.submit(a_request(receiver.url))
    assert not submission.ok
    assert len(submission.outcome) < 1000


def test_a_receiver_that_is_not_there_is_worth_another_try(channel: WebhookChannel) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    submission = channel.submit(a_request(f"http://127.0.0.1:{port}/"))
    assert (submission.ok, submission.retry) == (False, True)


@pytest.mark.parametrize(
    "url",
    ["", "ftp://host/x", "not a url", "http://", "http://[::1", "http://xn--/", "http://" + "a" * 70, "http://a\nb/"],
)
def test_an_unusable_address_is_a_failure_and_not_worth_another_try(channel: WebhookChannel, url: str) -> None:
    submission = channel.submit(a_request(url))
    assert (submission.ok, submission.retry) == (False, False)


def test_the_secret_is_in_nothing_that_is_kept_or_sent(receiver: Receiver, channel: WebhookChannel) -> None:
    submission = channel.submit(a_request(receiver.url))
    ((headers, body),) = receiver.got
    assert SECRET not in submission.outcome + body.decode() + str(headers)


@given(st.integers(100, 599), st.binary(max_size=200))
def test_only_a_2xx_that_says_yes_is_a_yes(status: int, body: bytes) -> None:
    submission = judge(status, body)
    if submission.ok:
        value = json.loads(body)
        assert 200 <= status < 300
        assert value.get("ok") is True or value.get("status") == "accepted"
