"""Pages by e-mail over SMTP (RFC 5321), with STARTTLS (RFC 3207) or TLS from the start.

The ``Message-ID`` is made from the page_id, so that a page sent twice after a crash is one message to the reader's mail
program. Taken is a page whose recipient and text the server has both accepted with a 2xx reply; 4xx replies are worth
another try (RFC 5321, 4.2.1), 5xx are not.
"""

from __future__ import annotations

import contextlib
import smtplib
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final

from sealwatch.base import settings
from sealwatch.base.clock import Clock, SystemClock
from sealwatch.cloud.config import SmtpSettings
from sealwatch.cloud.ports import PageRequest, Submission

TIMEOUT_S: Final = 10.0
_GOODBYE_S: Final = 1.0


class EmailChannel:
    """One connection a page: pages are few, and a connection kept open for hours is a connection lost."""

    def __init__(
        self,
        smtp: SmtpSettings,
        *,
        timeout_s: float = TIMEOUT_S,
        clock: Clock | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        """`context` holds the trusted authorities; the system's by default. Raises SettingsError for a bad secret."""
        self._smtp, self._timeout_s = smtp, timeout_s
        self._clock = clock or SystemClock()
        self._context = context or ssl.create_default_context()
        self._password = settings.secret(smtp.password) if smtp.password else ""

    def submit(self, request: PageRequest) -> Submission:
        """Hand one page over. `request.address` is the reader's e-mail address."""
        try:
            message = compose(request, sender=self._smtp.sender, now_ms=self._clock.wall_ms())
        except ValueError as error:
            return Submission(ok=False, outcome=f"the address {request.address!r} is not usable: {error}")
        return self._talk(lambda server: self._hand_over(server, request, message))

    def probe(self) -> str:
        """Connect and log in without sending anything: "" where that works, else what went wrong."""
        submission = self._talk(self._greet)
        return "" if submission.ok else submission.outcome

    def _talk(self, conversation: Callable[[smtplib.SMTP], Submission]) -> Submission:
        """Hold one conversation with the server; whatever goes wrong is a failed submission with its cause."""
        try:
            server = self._connected()
            try:
                return conversation(server)
            finally:
                _leave(server)
        except smtplib.SMTPAuthenticationError as error:
            outcome = _reply("the server refused the login", error.smtp_code, error.smtp_error)
            return Submission(ok=False, outcome=outcome)
        except smtplib.SMTPResponseException as error:
            outcome = _reply("the server refused", error.smtp_code, error.smtp_error)
            return Submission(ok=False, outcome=outcome, retry=400 <= error.smtp_code < 500 or error.smtp_code < 0)
        except ssl.SSLError as error:
            return Submission(ok=False, outcome=f"no trusted TLS connection: {error.reason or error}")
        except smtplib.SMTPNotSupportedError as error:
            return Submission(ok=False, outcome=f"the server cannot do what is configured: {error}")
        except UnicodeError:
            return Submission(ok=False, outcome="the address has letters that SMTP cannot carry")
        except (smtplib.SMTPException, OSError) as error:
            return Submission(ok=False, outcome=f"the server {self._smtp.host} cannot be reached: {error}", retry=True)

    def _connected(self) -> smtplib.SMTP:
        if self._smtp.security == "tls":
            return smtplib.SMTP_SSL(self._smtp.host, self._smtp.port, timeout=self._timeout_s, context=self._context)
        server = smtplib.SMTP(self._smtp.host, self._smtp.port, timeout=self._timeout_s)
        try:
            if self._smtp.security == "starttls":
                server.starttls(context=self._context)
        except BaseException:
            server.close()
            raise
        return server

    def _greet(self, server: smtplib.SMTP) -> Submission:
        if self._smtp.username:
            server.login(self._smtp.username, self._password)
        server.ehlo_or_helo_if_needed()
        return Submission(ok=True, outcome="")

    def _hand_over(self, server: smtplib.SMTP, request: PageRequest, message: EmailMessage) -> Submission:
        self._greet(server)
        code, reply = server.mail(self._smtp.sender)
        if code != 250:
            return _refused("the sender was refused", code, reply)
        code, reply = server.rcpt(request.address)
        if code not in (250, 251):
            return _refused("the recipient was refused", code, reply)
        code, reply = server.data(message.as_bytes())
        if code != 250:
            return _refused("the text was refused", code, reply)
        return Submission(ok=True, outcome=_reply("taken", code, reply))


def compose(request: PageRequest, *, sender: str, now_ms: int) -> EmailMessage:
    """The message of a page. Raises ValueError for an address that is none."""
    message = EmailMessage()
    message["From"] = sender
    message["To"] = request.address
    message["Subject"] = request.title
    message["Date"] = format_datetime(datetime.fromtimestamp(now_ms / 1000, UTC))
    message["Message-ID"] = f"<{request.page_id}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers, please
    if request.level == "red":
        message["Importance"] = "high"
    addresses = message["To"].addresses
    if len(addresses) != 1 or addresses[0].addr_spec != request.address or message["To"].defects:
        raise ValueError("it is not one plain e-mail address")
    message.set_content(request.body + "\n", charset="utf-8")
    return message


def _leave(server: smtplib.SMTP) -> None:
    """Say goodbye. What the server says to that can't undo that it took the page."""
    with contextlib.suppress(smtplib.SMTPException, OSError):
        if server.sock is not None:
            server.sock.settimeout(_GOODBYE_S)
        server.quit()
    server.close()


def _refused(what: str, code: int, reply: bytes) -> Submission:
    return Submission(ok=False, outcome=_reply(what, code, reply), retry=400 <= code < 500)


def _reply(what: str, code: int, reply: bytes | str) -> str:
    said = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
    return f"{what}: {code} {said}"[:1000]
