"""E-mail against a real SMTP server: taken, refused at each step, broken off, silent; in clear, STARTTLS and TLS."""

from __future__ import annotations

import email
import email.policy
import socket
import ssl
import threading
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Self

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session

from sealwatch.base.broker import free_port
from sealwatch.base.clock import ManualClock
from sealwatch.base.settings import SettingsError
from sealwatch.cloud.config import SmtpSettings
from sealwatch.cloud.paging.mail import EmailChannel
from sealwatch.cloud.ports import PageRequest
from tests.certificates import Authority


class Mailbox:
    """A server's behaviour: what it answers at each step, and what it got."""

    def __init__(self) -> None:
        self.mail_reply = self.rcpt_reply = ""
        self.data_reply = "250 2.0.0 queued as 4711"
        self.got: list[tuple[list[str], bytes]] = []
        self.port = 0

    async def handle_MAIL(  # noqa: N802 - the server's name for it
        self, _server: Any, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if self.mail_reply:
            return self.mail_reply
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(  # noqa: N802 - the server's name for it
        self, _server: Any, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if self.rcpt_reply:
            return self.rcpt_reply
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - as above
        content = envelope.content
        assert isinstance(content, bytes)
        self.got.append((envelope.rcpt_tos, content))
        return self.data_reply


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    box = Mailbox()
    controller = serving(box)
    box.port = port(controller)
    yield box
    controller.stop()


def a_channel(port: int, **changes: Any) -> EmailChannel:
    values: dict[str, Any] = {"host": "127.0.0.1", "port": port, "security": "none", "sender": "seal@county.example"}
    context = changes.pop("context", None)
    return EmailChannel(SmtpSettings(**(values | changes)), timeout_s=1.0, clock=ManualClock(), context=context)


def a_request(address: str = "li@county.example", **changes: str) -> PageRequest:
    values = {
        "page_id": "0123456789abcdef0123456789abcdef",
        "incident_id": "i1",
        "person_name": "李×",
        "language": "zh",
        "level": "red",
        "title": "【红】一号井:疑似非法生产",
        "body": "请核查\n应答:https://seal.example/a/x",
        "answer_url": "https://seal.example/a/x",
        "address": address,
    }
    return PageRequest(**(values | changes))


def read(content: bytes) -> EmailMessage:
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def test_a_mail_that_the_server_took_is_submitted(mailbox: Mailbox) -> None:
    submission = a_channel(mailbox.port).submit(a_request())
    assert (submission.ok, submission.outcome) == (True, "taken: 250 2.0.0 queued as 4711")
    ((recipients, content),) = mailbox.got
    assert recipients == ["li@county.example"]
    message = read(content)
    assert message["Subject"] == "【红】一号井:疑似非法生产"
    assert message["Message-ID"] == "<0123456789abcdef0123456789abcdef@county.example>"
    assert (message["Auto-Submitted"], message["Importance"]) == ("auto-generated", "high")
    assert "https://seal.example/a/x" in message.get_content()


def test_the_same_page_again_is_the_same_message_to_the_reader(mailbox: Mailbox) -> None:
    channel = a_channel(mailbox.port)
    channel.submit(a_request())
    channel.submit(a_request())
    assert len({read(content)["Message-ID"] for _, content in mailbox.got}) == 1


@pytest.mark.parametrize(
    ("step", "reply", "retry", "words"),
    [
        ("rcpt_reply", "550 5.1.1 no such user", False, "recipient was refused: 550"),
        ("rcpt_reply", "451 4.7.1 greylisted", True, "recipient was refused: 451"),
        ("mail_reply", "553 sender not allowed", False, "sender was refused: 553"),
        ("data_reply", "554 looks like spam", False, "text was refused: 554"),
        ("data_reply", "452 disk is full", True, "text was refused: 452"),
    ],
)
def test_a_refusal_at_any_step_is_a_failure_with_the_servers_words(
    mailbox: Mailbox, step: str, reply: str, retry: bool, words: str
) -> None:
    setattr(mailbox, step, reply)
    submission = a_channel(mailbox.port).submit(a_request())
    assert (submission.ok, submission.retry) == (False, retry)
    assert words in submission.outcome


@pytest.mark.parametrize(
    "address", ["", "nobody", "a b@c", "x@y\r\nBcc: all@county.example", "李@county.example", "a@b, c@d"]
)
def test_an_address_that_is_none_is_a_failure_and_never_reaches_the_server(mailbox: Mailbox, address: str) -> None:
    submission = a_channel(mailbox.port).submit(a_request(address))
    assert (submission.ok, submission.retry) == (False, False)
    assert mailbox.got == []


def test_a_server_that_is_not_there_is_worth_another_try() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    submission = a_channel(port).submit(a_request())
    assert (submission.ok, submission.retry) == (False, True)


class Script:
    """A server that says its lines one after the other, whatever it is told, and then hangs up or falls silent."""

    def __init__(self, *lines: bytes, silent: bool = False) -> None:
        self._lines, self._silent = lines, silent
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            connection.settimeout(5)
            for line in self._lines:
                connection.sendall(line + b"\r\n")
                connection.recv(65536)
            if self._silent:
                self._done.wait(10)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._listener.close()


@pytest.mark.parametrize(
    ("lines", "silent"),
    [
        ((), True),
        ((b"220 hello",), False),
        ((b"220 hello", b"250 fine"), True),
        ((b"220 hello", b"250 fine", b"250 fine", b"250 fine"), False),
        ((b"421 too busy",), False),
        ((b"220 hello", b"\xff\xff\xff not a reply"), False),
    ],
)
def test_a_server_that_breaks_off_or_falls_silent_is_worth_another_try(lines: tuple[bytes, ...], silent: bool) -> None:
    with Script(*lines, silent=silent) as server:
        submission = a_channel(server.port).submit(a_request())
    assert (submission.ok, submission.retry) == (False, True)


def test_what_the_server_says_to_the_goodbye_does_not_undo_that_it_took_the_page() -> None:
    lines = (b"220 hi", b"250 fine", b"250 fine", b"250 fine", b"354 go on", b"250 taken", b"500 what?")
    with Script(*lines) as server:
        submission = a_channel(server.port).submit(a_request())
    assert submission.ok


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def serving(box: Mailbox, **options: Any) -> Controller:
    controller = Controller(box, hostname="127.0.0.1", port=free_port(), **options)
    controller.start()
    return controller


def port(controller: Controller) -> int:
    number: int = controller.port
    return number


def server_context(authority: Authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("mail"))
    return context


def client_context(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority.ca_file))


def test_with_starttls_login_and_mail_travel_encrypted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTP_PASSWORD", "hush")
    seen: list[tuple[bool, str]] = []

    def authenticate(
        _server: Any, session: Session, _envelope: Envelope, _how: str, login: LoginPassword
    ) -> AuthResult:
        seen.append((session.ssl is not None, login.login.decode()))
        return AuthResult(success=login.password == b"hush", handled=False)

    box = Mailbox()
    controller = serving(box, tls_context=server_context(authority), require_starttls=True, authenticator=authenticate)
    settings: dict[str, Any] = {"security": "starttls", "username": "seal", "context": client_context(authority)}
    good = a_channel(port(controller), password="env:SMTP_PASSWORD", **settings).submit(a_request())
    monkeypatch.setenv("SMTP_PASSWORD", "wrong")
    bad = a_channel(port(controller), password="env:SMTP_PASSWORD", **settings).submit(a_request())
    controller.stop()
    assert good.ok
    assert seen[0] == (True, "seal")
    assert (bad.ok, bad.retry) == (False, False)
    assert "login" in bad.outcome
    assert "wrong" not in bad.outcome


def test_with_tls_from_the_start(authority: Authority) -> None:
    box = Mailbox()
    controller = serving(box, server_hostname="127.0.0.1", ssl_context=server_context(authority))
    submission = a_channel(port(controller), security="tls", context=client_context(authority)).submit(a_request())
    controller.stop()
    assert submission.ok
    assert len(box.got) == 1


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_server_whose_certificate_nobody_vouches_for_gets_no_mail(authority: Authority, security: str) -> None:
    box = Mailbox()
    option = "tls_context" if security == "starttls" else "ssl_context"
    controller = serving(box, **{option: server_context(authority)})
    submission = a_channel(port(controller), security=security).submit(a_request())
    controller.stop()
    assert not submission.ok
    assert "TLS" in submission.outcome
    assert box.got == []


def test_a_server_that_cannot_encrypt_gets_no_mail_where_encryption_is_wanted(mailbox: Mailbox) -> None:
    submission = a_channel(mailbox.port, security="starttls").submit(a_request())
    assert not submission.ok
    assert mailbox.got == []


def test_a_password_that_cannot_be_read_is_found_at_the_start() -> None:
    with pytest.raises(SettingsError, match="SEAL_NO_SUCH"):
        a_channel(25, username="seal", password="env:SEAL_NO_SUCH")
