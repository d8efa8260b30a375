"""The page's HTTP server: the standard library's, a few threads, strict headers, nothing answered without a login."""

from __future__ import annotations

import json
import logging
import re
import socket
import socketserver
import ssl
import sys
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import msgspec

from sealwatch.base import text
from sealwatch.base.errors import CommandFailed, UsageError
from sealwatch.base.settings import SettingsError
from sealwatch.base.text import Language
from sealwatch.edge.page import render
from sealwatch.edge.page.access import Access, Refused, Session
from sealwatch.edge.page.desk import Desk
from sealwatch.edge.rewrite import ChangedMeanwhileError, Drawn

logger = logging.getLogger(__name__)

_MOST_BODY_BYTES: Final = 128 * 1024
_CONNECTIONS: Final = 12
_TIMEOUT_S: Final = 15.0
_COOKIE: Final = "seal_session"
_CHANGES_SHOWN: Final = 200
_CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": _CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_STATIC: Final = {"page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8"}
_CAMERA: Final = re.compile(r"^/(api/)?cameras/([A-Za-z0-9][A-Za-z0-9_.-]{0,63})(/picture|/drawn|/night)?$")
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "[::1]", "::1"})


class SaveRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the browser sends to save: the revision it looked at, and what is drawn."""

    revision: str
    drawn: Drawn


class PageServer(ThreadingHTTPServer):
    """Serves a `Desk`. `serve_forever` blocks, `shutdown` ends it."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 32

    def __init__(
        self, address: tuple[str, int], desk: Desk, access: Access, *, tls: ssl.SSLContext | None = None
    ) -> None:
        """Raises OSError where the address cannot be listened on."""
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        self.desk, self.access, self.tls = desk, access, tls
        self.hosts = _LOOPBACK if tls is None else None  # with TLS the certificate says which name is meant
        self._places = threading.BoundedSemaphore(_CONNECTIONS)
        super().__init__(address, Handler)

    def get_request(self) -> tuple[Any, Any]:
        connection, peer = super().get_request()
        connection.settimeout(_TIMEOUT_S)
        if self.tls is not None:  # the handshake waits for the thread of the connection
            connection = self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, peer

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, _request: Any, client_address: Any) -> None:
        logger.debug("a connection from %s broke", client_address[0], exc_info=sys.exception())

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # the base class asks a name server, which may not be there
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: PageServer
    protocol_version = "HTTP/1.1"

    def version_string(self) -> str:
        return "SealWatch"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's own name
        logger.debug("page: %s", format % args)

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def do_PUT(self) -> None:
        self._answer(self._put)

    # -- one request ---------------------------------------------------------------------------------------------

    def _answer(self, work: Callable[[], None]) -> None:
        self._language = self._wanted_language()
        self._set_language = False
        try:
            if self._foreign():
                self.close_connection = True  # its body is not read, and must not be taken for the next request
                self._send_problem(HTTPStatus.BAD_REQUEST, "foreign")
                return
            work()
        except (SettingsError, CommandFailed, UsageError) as error:
            logger.warning("page: %s", error)
            self._send(HTTPStatus.CONFLICT, json.dumps({"error": str(error)}), "application/json")
        except (TimeoutError, ConnectionError):
            self.close_connection = True

    def _foreign(self) -> bool:
        """Whether this is asked under another name (a rebound one) or from another site's page."""
        host = self.headers.get("Host", "")
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        if self.server.hosts is not None and name.lower() not in self.server.hosts:
            return True
        origin = self.headers.get("Origin")
        if self.command != "GET" and origin is not None and urlsplit(origin).netloc != host:
            return True
        return self.command != "GET" and self.headers.get("Sec-Fetch-Site", "same-origin") not in (
            "same-origin",
            "none",
        )

    def _get(self) -> None:
        path = urlsplit(self.path).path
        if path.startswith("/static/"):
            self._static(path.removeprefix("/static/"))
            return
        if path == "/login":
            self._send_html(render.login(self._language, node=self._node))
            return
        session = self._session()
        if session is None:
            self._turn_away(path)
            return
        known = {"node": self._node, "who": session.name, "csrf": session.csrf}
        desk, language = self.server.desk, self._language
        if path == "/":
            lines = desk.checklist()
            self._send_html(render.home(language, **known, cameras=desk.cameras(), lines=lines))
        elif path == "/changes":
            changes = desk.changes(_CHANGES_SHOWN)
            self._send_html(render.change_list(language, **known, changes=changes))
        elif path == "/api/checklist":
            lines = desk.checklist()
            document = {
                "html": render.checks(language, lines),
                "summary": render.summary(language, lines),
                "lines": [
                    {"item": x.item, "subject": x.subject, "state": x.state, "reason": x.reason, "zh": x.sentence("zh"),  # type: ignore[arg-type]  # a Language is a string
                     "en": x.sentence("en")}  # type: ignore[arg-type]  # the same
                    for x in lines
                ],
            }  # fmt: skip
            self._send(HTTPStatus.OK, json.dumps(document, ensure_ascii=False), "application/json")
        elif (camera := _CAMERA.match(path)) is not None and camera[2] in desk.cameras():
            self._get_camera(camera[2], bool(camera[1]), camera[3] or "", known)
        else:
            self._send_problem(HTTPStatus.NOT_FOUND, "not_found")

    def _get_camera(self, camera_id: str, api: bool, what: str, known: Mapping[str, str]) -> None:
        desk = self.server.desk
        if not api and not what:
            self._send_html(render.editor(self._language, **known, camera=camera_id))
        elif api and what == "/picture":
            view = desk.live(camera_id)
            if view is None:
                self._send_problem(HTTPStatus.SERVICE_UNAVAILABLE, "no_picture")
                return
            seen = {
                "at": render.local_time(view.captured_at_ms),
                "boxes": [
                    [round(v, 4) for v in (b.x1, b.y1, b.x2, b.y2)] + [label, round(score, 2)]
                    for b, label, score in view.boxes
                ],
                "gate": text.say(self._language, f"installer.gate.{view.gate}"),
                "motion": round(view.motion_ratio, 4),
                "faults": [text.say(self._language, f"video.fault.{code}") for code in view.faults],
                "active": list(view.active),
            }
            self._send(HTTPStatus.OK, view.jpeg, "image/jpeg", {"X-Seen": json.dumps(seen)})
        elif api and what == "/drawn":
            revision, drawn = desk.drawn(camera_id)
            body = msgspec.json.encode({"revision": revision, "drawn": drawn})
            self._send(HTTPStatus.OK, body, "application/json")
        elif api and what == "/night" and (jpeg := desk.night_picture(camera_id)) is not None:
            self._send(HTTPStatus.OK, jpeg, "image/jpeg")
        else:
            self._send_problem(HTTPStatus.NOT_FOUND, "not_found")

    def _post(self) -> None:
        path, form = urlsplit(self.path).path, self._form()
        if form is None:
            return
        if path == "/login":
            self._login(form.get("name", ""), form.get("password", ""))
        elif path == "/logout":
            session = self._session()
            if session is not None and form.get("csrf") == session.csrf:
                self.server.access.logout(self._token())
            self._redirect("/login", {"Set-Cookie": self._cookie("", 0)})
        else:
            self._send_problem(HTTPStatus.NOT_FOUND, "not_found")

    def _login(self, name: str, password: str) -> None:
        answer = self.server.access.login(name, password)
        if not isinstance(answer, Refused):
            token, session = answer
            logger.info("page: %s logged in from %s", session.name, self._where)
            self._redirect("/", {"Set-Cookie": self._cookie(token, None)})
            return
        if answer.locks:
            self.server.desk.locked(name, self._where)
        sentence = text.say(self._language, f"installer.login_{answer.reason}", seconds=f"{answer.wait_s:.0f}")
        page = render.login(self._language, node=self._node, sentence=sentence)
        locked = answer.reason == "locked"
        headers = {"Retry-After": f"{answer.wait_s:.0f}"} if locked else {}
        self._send(HTTPStatus.TOO_MANY_REQUESTS if locked else HTTPStatus.FORBIDDEN, page, "text/html", headers)

    def _put(self) -> None:
        body = self._body()
        if body is None:
            return
        session, camera = self._session(), _CAMERA.match(urlsplit(self.path).path)
        if session is None or self.headers.get("X-CSRF", "") != session.csrf:
            self._send_error(HTTPStatus.FORBIDDEN, text.say(self._language, "installer.problem.logged_out"))
            return
        if camera is None or camera[3] != "/drawn" or not camera[1]:
            self._send_error(HTTPStatus.NOT_FOUND, text.say(self._language, "installer.problem.not_found"))
            return
        try:
            wanted = msgspec.json.decode(body, type=SaveRequest)
            applied = self.server.desk.redraw(
                camera[2], wanted.drawn, expected=wanted.revision, who=session.name, where=self._where
            )
        except msgspec.MsgspecError as error:
            sentence = text.say(self._language, "installer.problem.invalid", detail=str(error))
            self._send_error(HTTPStatus.BAD_REQUEST, sentence)
            return
        except ChangedMeanwhileError:
            self._send_error(HTTPStatus.CONFLICT, text.say(self._language, "installer.problem.changed_meanwhile"))
            return
        revision, drawn = self.server.desk.drawn(camera[2])
        answer = msgspec.json.encode({"applied": applied, "revision": revision, "drawn": drawn})
        self._send(HTTPStatus.OK, answer, "application/json")

    # -- what comes in -------------------------------------------------------------------------------------------

    @property
    def _node(self) -> str:
        return f"{self.server.desk.site_id} / {self.server.desk.node_id}"

    @property
    def _where(self) -> str:
        return str(self.client_address[0])

    def _body(self) -> bytes | None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _MOST_BODY_BYTES or self.headers.get("Transfer-Encoding"):
            self.close_connection = True
            self._send_problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large")
            return None
        return self.rfile.read(int(length))

    def _form(self) -> dict[str, str] | None:
        body = self._body()
        if body is None:
            return None
        try:
            fields = parse_qs(body.decode(), max_num_fields=8)
        except ValueError:
            self._send_problem(HTTPStatus.BAD_REQUEST, "foreign")
            return None
        return {name: values[0] for name, values in fields.items()}

    def _crumbs(self) -> Mapping[str, str]:
        try:
            return {name: crumb.value for name, crumb in SimpleCookie(self.headers.get("Cookie", "")).items()}
        except CookieError:
            return {}

    def _token(self) -> str:
        return self._crumbs().get(_COOKIE, "")

    def _session(self) -> Session | None:
        token = self._token()
        return self.server.access.session(token) if token else None

    def _wanted_language(self) -> Language:
        asked = parse_qs(urlsplit(self.path).query).get("lang", [""])[0] or self._crumbs().get("lang", "")
        if asked in set(Language):
            return Language(asked)
        return Language.EN if self.headers.get("Accept-Language", "").lower().startswith("en") else Language.ZH

    # -- what goes out -------------------------------------------------------------------------------------------

    def _turn_away(self, path: str) -> None:
        if path.startswith("/api/"):
            self._send_error(HTTPStatus.FORBIDDEN, text.say(self._language, "installer.problem.logged_out"))
        else:
            self._redirect("/login", {})

    def _static(self, name: str) -> None:
        if name not in _STATIC:
            self._send_problem(HTTPStatus.NOT_FOUND, "not_found")
            return
        data = resources.files("sealwatch.edge.page").joinpath("static", name).read_bytes()
        self._send(HTTPStatus.OK, data, _STATIC[name], {"Cache-Control": "no-cache"})

    def _cookie(self, token: str, seconds: int | None) -> str:
        secure = "; Secure" if self.server.tls is not None else ""
        age = "" if seconds is None else f"; Max-Age={seconds}"
        return f"{_COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict{secure}{age}"

    def _redirect(self, to: str, headers: Mapping[str, str]) -> None:
        self._send(HTTPStatus.SEE_OTHER, b"", "text/plain", {"Location": to, **headers})

    def _send_html(self, page: str) -> None:
        self._send(HTTPStatus.OK, page, "text/html")

    def _send_problem(self, status: HTTPStatus, name: str) -> None:
        sentence = text.say(self._language, f"installer.problem.{name}")
        if self.path.startswith("/api/"):
            self._send_error(status, sentence)
        else:
            self._send(status, render.problem(self._language, sentence), "text/html")

    def _send_error(self, status: HTTPStatus, sentence: str) -> None:
        self._send(status, json.dumps({"error": sentence}, ensure_ascii=False), "application/json")

    def _send(self, status: HTTPStatus, body: str | bytes, kind: str, headers: Mapping[str, str] | None = None) -> None:
        data = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        self.send_header(
            "Content-Type", f"{kind}; charset=utf-8" if kind in ("text/html", "application/json") else kind
        )
        self.send_header("Content-Length", str(len(data)))
        for name, value in {**_HEADERS, **(headers or {})}.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        if "lang=" in urlsplit(self.path).query:
            self.send_header("Set-Cookie", f"lang={self._language}; Path=/; SameSite=Strict; Max-Age=31536000")
        self.end_headers()
        self.wfile.write(data)
