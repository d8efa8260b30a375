"""What the pages stand on, handed in once: nothing here opens a database or reads a file by itself."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from sealwatch.base import settings as settings_
from sealwatch.base.clock import Clock, SystemClock
from sealwatch.base.settings import SettingsError
from sealwatch.cloud.auth.links import LinkSigner
from sealwatch.cloud.config import CloudSettings, WebSettings
from sealwatch.cloud.db.engine import Database
from sealwatch.cloud.enrolment.desk import Desk
from sealwatch.cloud.evidence.receive import Receiver
from sealwatch.cloud.ports import ChangeBus, EvidenceStore, TelemetryStore
from sealwatch.cloud.updates.files import ReleaseFiles

SHORTEST_ACCESS_TOKEN = 16


def _no_counters() -> Mapping[str, int]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class WebServices:
    """The service as the pages see it.

    `secret` is the service's own (`sealwatch.cloud.auth.secret`); `counters` gives the running totals of the other
    rooms by name, as shown at /api/v1/counters and /metrics.
    """

    database: Database
    telemetry: TelemetryStore
    evidence: EvidenceStore
    links: LinkSigner
    settings: CloudSettings
    secret: bytes = field(repr=False)
    changes: ChangeBus
    receiver: Receiver | None = None  # takes evidence from nodes; None: this service takes none
    releases: ReleaseFiles | None = None  # gives nodes their updates; None: this service gives none
    enrolment: Desk | None = None  # gives certificates to nodes; None: this service gives none
    counters: Callable[[], Mapping[str, int]] = _no_counters
    clock: Clock = field(default_factory=SystemClock)
    push_key: str = ""  # the public half of `sealwatch.cloud.auth.push_key`, for browsers that subscribe


def access_token(services: WebServices) -> str:
    """The duty desk's token, or "" where none is wanted.

    Raises SettingsError where it can't be read or is too short, or where the pages would be open to a whole network.
    """
    web = services.settings.web
    if not web.access_token:
        if web.login == "none":
            refuse_open(web)
        return ""
    token = settings_.secret(web.access_token)
    if len(token) < SHORTEST_ACCESS_TOKEN:
        raise SettingsError(
            f"web.access_token: the token has {len(token)} characters; at least {SHORTEST_ACCESS_TOKEN} are wanted"
        )
    return token


def refuse_open(web: WebSettings) -> None:
    """Raises SettingsError where others could see the pages without a token, also through a proxy on this machine."""
    reachable = {"web.host": web.host, "web.public_url": urlsplit(web.public_url).hostname or ""}
    for name, host in reachable.items():
        if not is_loopback(host):
            raise SettingsError(
                f"{name} is {getattr(web, name.removeprefix('web.'))}, so others can reach the pages: set "
                'web.login = "accounts", or give web.access_token a reference to a token (file:/path or env:NAME), or '
                "keep both on 127.0.0.1"
            )


def is_loopback(host: str) -> bool:
    """Whether a listening address can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
