"""The telephones of the demo's two people: a webhook receiver and a mail server, on loopback.

They answer as real receivers do (the webhook says in its body that it took the page) and hand on what came.
"""

from __future__ import annotations

import email
import email.policy
import hashlib
import hmac
import json
import logging
import re
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from sealwatch.base.broker import free_port
from sealwatch.base.clock import Clock, SystemClock

logger = logging.getLogger(__name__)
_ANSWER_URL = re.compile(r"https?://\S+/a/[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedPage:
    """A page as a person's device got it."""

    channel: str
    address: str
    page_id: str
    title: str
    answer_url: str
    received_at_ms: int


class Telephones:
    """Both receivers. `on_page` is called on a receiver's own thread."""

    def __init__(
        self, *, secret: str, on_page: Callable[[ReceivedPage], None] = lambda _page: None, clock: Clock | None = None
    ) -> None:
        self._secret, self._on_page, self._clock = secret.encode(), on_page, clock or SystemClock()
        self._lock = threading.Lock()
        self._pages: list[ReceivedPage] = []
        self._servers = ExitStack()
        self.webhook_url, self.smtp_port = "", 0  # known once they listen

    @property
    def pages(self) -> list[ReceivedPage]:
        """Everything received so far, oldest first."""
        with self._lock:
            return list(self._pages)

    def __enter__(self) -> Self:
        from aiosmtpd.controller import Controller

        http = self._servers.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), self._handler()))
        self.webhook_url = f"http://127.0.0.1:{http.server_address[1]}/page"
        threading.Thread(target=http.serve_forever, name="telephone-webhook", daemon=True).start()
        self._servers.callback(http.shutdown)
        self.smtp_port = free_port()
        smtp = Controller(self, hostname="127.0.0.1", port=self.smtp_port)
        smtp.start()
        self._servers.callback(smtp.stop)
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._servers.close()

    def _came(self, page: ReceivedPage) -> None:
        with self._lock:
            self._pages.append(page)
        self._on_page(page)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        telephones = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                wanted = "sha256=" + hmac.new(telephones._secret, body, hashlib.sha256).hexdigest()
                genuine = hmac.compare_digest(wanted, self.headers.get("X-SealWatch-Signature", ""))
                if genuine:
                    telephones._webhook_came(json.loads(body))
                answer = json.dumps({"ok": genuine} if genuine else {"ok": False, "error": "bad signature"}).encode()
                self.send_response(200 if genuine else 403)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's own name
                logger.debug(format, *args)

        return Handler

    def _webhook_came(self, body: dict[str, Any]) -> None:
        self._came(
            ReceivedPage(
                channel="webhook",
                address=str(body.get("person", "")),
                page_id=str(body.get("page_id", "")),
                title=str(body.get("title", "")),
                answer_url=str(body.get("answer_url", "")),
                received_at_ms=self._clock.wall_ms(),
            )
        )

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Take a mail (called by the mail server)."""
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        part = message.get_body(preferencelist=("plain",))
        link = _ANSWER_URL.search(part.get_content() if part is not None else "")
        self._came(
            ReceivedPage(
                channel="email",
                address=", ".join(envelope.rcpt_tos),
                page_id=str(message.get("Message-ID", "")).strip("<>").split("@")[0],
                title=str(message.get("Subject", "")),
                answer_url=link[0] if link else "",
                received_at_ms=self._clock.wall_ms(),
            )
        )
        return "250 taken"
