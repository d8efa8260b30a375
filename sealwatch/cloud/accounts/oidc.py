"""Logging in by an identity provider of the county's own: OpenID Connect, authorization code with PKCE.

Discovery as in OpenID Connect Discovery 1.0; state, nonce and PKCE (S256, RFC 7636) on every login, the issuer in the
answer (RFC 9207) where the provider gives it; the ID token is believed only where its signature, issuer, audience, time
and nonce are right (OpenID Connect Core 1.0, 3.1.3.7). Protocol and claims are those of `authlib`, signatures those of
`joserfc`. What an identity is worth here is another matter: see `sealwatch.cloud.accounts.oidc_accounts`.
"""

from __future__ import annotations

import hmac
import logging
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx2
import msgspec
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import OAuth2Client
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from sealwatch.base.clock import Clock
from sealwatch.base.settings import secret
from sealwatch.cloud.accounts.proofs import new_token
from sealwatch.cloud.config import OidcSettings

logger = logging.getLogger(__name__)
SCOPE: Final = "openid profile email"
_WELL_KNOWN: Final = "/.well-known/openid-configuration"
_TIMEOUT_S: Final = 5.0
_LEEWAY_S: Final = 60
"""By which the provider's clock may differ."""
_KEPT_S: Final = 3600.0
_ASKED_AGAIN_S: Final = 30.0
"""A key that is not known has the provider asked anew, at most this often."""
_TROUBLE_KEPT_S: Final = 10.0
# Signatures alone that need the provider's private key: never "none", never HMAC under our own client secret.
_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
_METHODS: Final = ("client_secret_basic", "client_secret_post")


class OidcRefusal(Exception):  # noqa: N818 - a named refusal
    """Why nobody is logged in. `name` is stable: provider_away, provider_broken, answer_foreign, login_refused,
    token_refused."""

    def __init__(self, name: str, detail: str = "") -> None:
        super().__init__(f"{name}: {detail}" if detail else name)
        self.name = name


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """A login that was begun; the browser brings it back, sealed, in a cookie."""

    state: str
    nonce: str
    verifier: str
    target: str
    until_ms: int


@dataclass(frozen=True, slots=True)
class _Provider:
    metadata: Mapping[str, Any]
    keys: KeySet
    at_s: float


class Oidc:
    """One provider. Thread-safe; asks it for what it is and for its keys at most once an hour, or for a new key."""

    def __init__(self, settings: OidcSettings, *, redirect_uri: str, clock: Clock) -> None:
        """Raises SettingsError where the client's secret can't be read, OSError or ssl.SSLError for the CA file."""
        self._settings, self._redirect_uri, self._clock = settings, redirect_uri, clock
        self._secret = secret(settings.client_secret) if settings.client_secret else ""
        self._tls = ssl.create_default_context(cafile=settings.ca_file or None)
        self._lock = threading.Lock()
        self._known: _Provider | None = None
        self._trouble: tuple[float, OidcRefusal] | None = None

    def probe(self) -> None:
        """Ask the provider what it is and for its keys. Raises OidcRefusal where that does not work."""
        self._provider()

    def begin(self, target: str, *, until_ms: int) -> tuple[str, Pending]:
        """Where to send the browser, and what it has to bring back. Raises OidcRefusal."""
        metadata = self._provider().metadata
        pending = Pending(
            state=new_token(), nonce=new_token(), verifier=new_token() + new_token(), target=target, until_ms=until_ms
        )
        with self._client(metadata) as client:
            url, _ = client.create_authorization_url(
                metadata["authorization_endpoint"],
                state=pending.state,
                code_verifier=pending.verifier,
                nonce=pending.nonce,
            )
        return str(url), pending

    def finish(self, pending: Pending, answer: Mapping[str, str], *, now_ms: int) -> Mapping[str, Any]:
        """The claims of the ID token that the provider's answer leads to. Raises OidcRefusal."""
        if now_ms >= pending.until_ms or not hmac.compare_digest(
            answer.get("state", "").encode(), pending.state.encode()
        ):
            raise OidcRefusal("answer_foreign", "state")
        if "iss" in answer and answer["iss"] != self._settings.issuer:
            raise OidcRefusal("answer_foreign", "issuer")
        if "code" not in answer:
            raise OidcRefusal("login_refused", answer.get("error", "")[:100])
        metadata = self._provider().metadata
        try:
            with self._client(metadata) as client:
                token = client.fetch_token(
                    metadata["token_endpoint"], code=answer["code"], code_verifier=pending.verifier
                )
        except httpx2.HTTPError as error:
            raise OidcRefusal("provider_away", str(error)) from None
        except (AuthlibBaseError, ValueError, KeyError, TypeError) as error:
            raise OidcRefusal("token_refused", str(error)) from None
        return self._claims(token, pending, now_ms)

    def _claims(self, token: Mapping[str, Any], pending: Pending, now_ms: int) -> Mapping[str, Any]:
        raw = token.get("id_token")
        if not isinstance(raw, str):
            raise OidcRefusal("token_refused", "the provider gave no ID token")
        try:
            decoded = self._decoded(raw)
            claims = CodeIDToken(
                decoded.claims,
                decoded.header,
                {
                    "iss": {"essential": True, "value": self._settings.issuer},
                    "aud": {"essential": True, "value": self._settings.client_id},
                },
                {
                    "nonce": pending.nonce,
                    "client_id": self._settings.client_id,
                    "access_token": token.get("access_token"),
                },
            )
            claims.validate(now=now_ms // 1000, leeway=_LEEWAY_S)
        except (JoseError, AuthlibBaseError, ValueError, TypeError) as error:
            raise OidcRefusal("token_refused", str(error)) from None
        return dict(claims)

    def _decoded(self, raw: str) -> jwt.Token:
        provider = self._provider()
        try:
            return jwt.decode(raw, provider.keys, algorithms=_ALGORITHMS)
        except (JoseError, ValueError):
            if self._clock.monotonic_s() - provider.at_s < _ASKED_AGAIN_S:
                raise
            return jwt.decode(raw, self._provider(anew=True).keys, algorithms=_ALGORITHMS)

    def _client(self, metadata: Mapping[str, Any]) -> OAuth2Client:
        offered = metadata.get("token_endpoint_auth_methods_supported") or [_METHODS[0]]
        method = next((one for one in _METHODS if one in offered), _METHODS[0]) if self._secret else "none"
        return OAuth2Client(
            client_id=self._settings.client_id,
            client_secret=self._secret or None,
            token_endpoint_auth_method=method,
            scope=SCOPE,
            redirect_uri=self._redirect_uri,
            code_challenge_method="S256",
            timeout=_TIMEOUT_S,
            verify=self._tls,
            trust_env=False,
            follow_redirects=False,
        )

    def _provider(self, *, anew: bool = False) -> _Provider:
        """What is known of the provider. One asks, the others wait for it. Raises OidcRefusal.

        Trouble is remembered for a moment: a provider that does not answer must not hold every thread of the pages.
        """
        with self._lock:
            now_s, known = self._clock.monotonic_s(), self._known
            if known is not None and now_s - known.at_s < (_ASKED_AGAIN_S if anew else _KEPT_S):
                return known
            if self._trouble is not None and now_s - self._trouble[0] < _TROUBLE_KEPT_S:
                raise OidcRefusal(self._trouble[1].name, "as a moment ago")
            try:
                self._known, self._trouble = self._asked(now_s), None
            except OidcRefusal as refusal:
                self._trouble = (self._clock.monotonic_s(), refusal)
                raise
            return self._known

    def _asked(self, now_s: float) -> _Provider:
        try:
            with httpx2.Client(timeout=_TIMEOUT_S, verify=self._tls, trust_env=False) as client:
                metadata = _document(client, self._settings.issuer.rstrip("/") + _WELL_KNOWN)
                if metadata.get("issuer") != self._settings.issuer:
                    raise OidcRefusal("provider_broken", f"it calls itself {metadata.get('issuer')!r}")
                for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                    _refuse_plain(name, metadata.get(name), self._settings.issuer)
                keys = KeySet.import_key_set(_document(client, metadata["jwks_uri"]))  # type: ignore[arg-type]
        except httpx2.HTTPError as error:
            raise OidcRefusal("provider_away", str(error)) from None
        except (JoseError, httpx2.InvalidURL, ValueError, KeyError, TypeError) as error:
            raise OidcRefusal("provider_broken", str(error)) from None
        return _Provider(metadata, keys, now_s)


def _document(client: httpx2.Client, url: str) -> dict[str, Any]:
    value = client.get(url).raise_for_status().json()
    if not isinstance(value, dict):
        raise OidcRefusal("provider_broken", f"{url} is no JSON object")
    return value


def _refuse_plain(name: str, url: object, issuer: str) -> None:
    """What begins with https for the issuer does so for each of its addresses. Raises OidcRefusal."""
    scheme = issuer.partition("://")[0]
    if not isinstance(url, str) or not url.startswith(("https://", f"{scheme}://")):
        raise OidcRefusal("provider_broken", f"its {name} is missing or not protected")
