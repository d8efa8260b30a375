"""An identity provider on this machine: discovery, keys, codes that are good once, PKCE, signed ID tokens."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

from sealwatch.base.clock import Clock

CLIENT, SECRET = "sealwatch", "the-client's-secret"


def one(values: dict[str, list[str]], name: str) -> str:
    return values.get(name, [""])[0]


@dataclass
class Provider:
    """Logs in whoever `person` says, without asking. `change` alters the claims of the next ID tokens."""

    clock: Clock
    url: str = ""
    person: dict[str, Any] = field(default_factory=lambda: {"sub": "u-1", "preferred_username": "wang"})
    change: dict[str, Any] = field(default_factory=dict)
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "k1"}))
    sign_with: RSAKey | None = None
    says_issuer: str = ""
    refuses: str = ""
    hangs_up: bool = False
    asked: list[str] = field(default_factory=list)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        return {
            "issuer": self.says_issuer or self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        }

    def authorize(self, query: dict[str, list[str]]) -> str:
        """Where the browser is sent, as if its person had agreed."""
        assert one(query, "response_type") == "code"
        assert one(query, "client_id") == CLIENT
        assert "openid" in one(query, "scope").split()
        assert one(query, "code_challenge_method") == "S256"
        assert min(len(one(query, name)) for name in ("state", "nonce", "code_challenge")) >= 43
        answer = {"state": one(query, "state"), "iss": self.url}
        if self.refuses:
            return f"{one(query, 'redirect_uri')}?{urlencode(answer | {'error': self.refuses})}"
        code = secrets.token_urlsafe(16)
        self.codes[code] = {name: one(query, name) for name in ("redirect_uri", "nonce", "code_challenge")}
        return f"{one(query, 'redirect_uri')}?{urlencode(answer | {'code': code})}"

    def token(self, form: dict[str, list[str]], authorization: str) -> tuple[int, dict[str, Any]]:
        given = base64.b64decode(authorization.removeprefix("Basic ")).decode()
        if [unquote(part) for part in given.split(":")] != [CLIENT, SECRET]:
            return 401, {"error": "invalid_client"}
        issued = self.codes.pop(one(form, "code"), None)  # good once
        digest = hashlib.sha256(one(form, "code_verifier").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if (
            issued is None
            or one(form, "grant_type") != "authorization_code"
            or one(form, "redirect_uri") != issued["redirect_uri"]
            or challenge != issued["code_challenge"]
        ):
            return 400, {"error": "invalid_grant"}
        now_s = self.clock.wall_ms() // 1000
        claims = {"iss": self.url, "aud": CLIENT, "iat": now_s, "exp": now_s + 300, "nonce": issued["nonce"]}
        claims |= self.person | self.change
        key = self.sign_with or self.key
        signed = jwt.encode({"alg": "RS256", "kid": key.kid}, {k: v for k, v in claims.items() if v is not None}, key)
        return 200, {"access_token": "a", "token_type": "Bearer", "expires_in": 300, "id_token": signed}


@contextmanager
def serving(clock: Clock) -> Iterator[Provider]:
    provider = Provider(clock)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            provider.asked.append(parts.path)
            if parts.path == "/authorize":
                self.send_response(302)
                self.send_header("Location", provider.authorize(parse_qs(parts.query)))
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif parts.path == "/keys":
                self._say(200, {"keys": [provider.key.as_dict(private=False)]})
            elif parts.path == "/.well-known/openid-configuration":
                self._say(200, provider.document())
            else:
                self._say(404, {})

        def do_POST(self) -> None:
            provider.asked.append(self.path)
            if provider.hangs_up:
                return
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self._say(*provider.token(form, self.headers.get("Authorization", "")))

        def _say(self, status: int, value: dict[str, Any]) -> None:
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    provider.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
