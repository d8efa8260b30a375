"""`sealwatch cloud check`: everything the service stands on, tried without sending a page or changing anything."""

from __future__ import annotations

import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from sqlalchemy import select
from sqlalchemy.exc import DatabaseError

from sealwatch.base import settings as settings_
from sealwatch.base import text
from sealwatch.base.clock import SystemClock
from sealwatch.base.errors import UsageError
from sealwatch.base.mqtt import Session
from sealwatch.base.text import Language
from sealwatch.cloud.accounts.oidc import OidcRefusal
from sealwatch.cloud.config import CloudSettings, OidcSettings, data_dir
from sealwatch.cloud.db import migrate
from sealwatch.cloud.db.engine import open_engine
from sealwatch.cloud.db.place import database_url, is_server, unusable
from sealwatch.cloud.db.tables import Node
from sealwatch.cloud.paging.mail import EmailChannel
from sealwatch.cloud.web.oidc_routes import BACK, open_provider
from sealwatch.cloud.web.services import refuse_open

WAIT_S: Final = 4.0
_LEAST_FREE_GB: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the table. `part` is a stable name."""

    part: str
    ok: bool
    sentence: str


def run(settings: CloudSettings, path: Path, language: Language) -> list[Finding]:
    """Try everything at once; the slowest part decides how long it takes (a few seconds)."""
    folder = data_dir(settings, path)
    tries: list[tuple[str, Callable[[], tuple[bool, str]]]] = [
        ("registry", lambda: _registry(settings, folder, language)),
        ("ladder", lambda: _ladder(settings, language)),
        ("data", lambda: _data(folder, language)),
        ("database", lambda: _database(settings, folder, language)),
        ("broker", lambda: _broker(settings, language)),
        ("web", lambda: _web(settings, language)),
    ]
    if settings.webhook is not None:
        tries.append(("webhook", lambda: _webhook(settings, language)))
    if settings.smtp is not None:
        tries.append(("email", lambda: _email(settings, language)))
    oidc = settings.oidc
    if oidc is not None:
        tries.append(("oidc", lambda: _oidc(oidc, settings.web.public_url, language)))
    with ThreadPoolExecutor(max_workers=len(tries)) as pool:
        running = [(part, pool.submit(_tried, attempt, language)) for part, attempt in tries]
        return [Finding(part=part, ok=future.result()[0], sentence=future.result()[1]) for part, future in running]


def _tried(attempt: Callable[[], tuple[bool, str]], language: Language) -> tuple[bool, str]:
    try:
        return attempt()
    except UsageError as error:
        return False, text.say(language, "cloud.found.refused", cause=error)


def _registry(settings: CloudSettings, folder: Path, language: Language) -> tuple[bool, str]:
    sites, nodes = {one.site_id for one in settings.sites}, {one.node_id for one in settings.nodes}
    enrolled = _enrolled(settings, folder)  # nodes that came by a token stand in no file
    if not nodes | enrolled:
        return False, text.say(language, "cloud.found.no_nodes")
    counts = {"sites": len(sites), "nodes": len(nodes | enrolled), "people": len(settings.people)}
    return True, text.say(language, "cloud.found.registry", **counts)


def _enrolled(settings: CloudSettings, folder: Path) -> set[str]:
    """Nodes of the database; none where it can't be read, which is said in a line of its own."""
    url = database_url(settings.database, folder)
    if not is_server(url) and not Path(str(url.database)).exists():
        return set()
    engine = open_engine(url)
    try:
        with engine.connect() as connection:
            return set(connection.scalars(select(Node.node_id).where(Node.revoked_at_ms.is_(None))))
    except DatabaseError:
        return set()
    finally:
        engine.dispose()


def _ladder(settings: CloudSettings, language: Language) -> tuple[bool, str]:
    if not settings.ladder:
        return False, text.say(language, "cloud.found.no_ladder")
    steps, pause_s = len(settings.ladder), f"{settings.ladder_repeat_s:g}"
    return True, text.say(language, "cloud.found.ladder", steps=steps, pause_s=pause_s)


def _data(folder: Path, language: Language) -> tuple[bool, str]:
    existing = next(p for p in (folder, *folder.parents) if p.exists())
    try:
        with tempfile.TemporaryFile(dir=existing) as probe:
            probe.write(b"x" * 4096)
            probe.flush()
    except OSError as error:
        return False, text.say(language, "cloud.found.no_write", folder=folder, cause=error.strerror)
    free_gb = shutil.disk_usage(existing).free / 1e9
    enough = free_gb >= _LEAST_FREE_GB
    key = "cloud.found.disk" if enough else "cloud.found.disk_full"
    return enough, text.say(language, key, folder=folder, free_gb=f"{free_gb:.1f}")


def _database(settings: CloudSettings, folder: Path, language: Language) -> tuple[bool, str]:
    url = database_url(settings.database, folder)
    if not is_server(url) and not Path(str(url.database)).exists():
        return True, text.say(language, "cloud.found.schema_new")
    engine = open_engine(url)
    try:
        behind = migrate.is_behind(engine)
        revision = migrate.current_revision(engine) or text.say(language, "cloud.schema.none")
    except DatabaseError as error:
        raise UsageError(unusable(url, error)) from None
    finally:
        engine.dispose()
    if not behind:
        return True, text.say(language, "cloud.found.schema", revision=revision)
    key = "cloud.found.schema_behind_server" if is_server(url) else "cloud.found.schema_behind"
    return False, text.say(language, key, revision=revision)


def _broker(settings: CloudSettings, language: Language) -> tuple[bool, str]:
    url = settings.mqtt.url
    session = Session(settings.mqtt, client_id=f"sealwatch-check-{secrets.token_hex(4)}", session_expiry_s=0)
    began_s = time.monotonic()
    session.start()
    try:
        while not session.wait_connected(0.05):
            if session.refusal:
                return False, text.say(language, "cloud.found.broker_refused", url=url, cause=session.refusal)
            if time.monotonic() - began_s > WAIT_S:
                return False, text.say(language, "cloud.found.no_broker", url=url, wait_s=f"{WAIT_S:g}")
    finally:
        session.stop()
    elapsed_ms = round((time.monotonic() - began_s) * 1000)
    return True, text.say(language, "cloud.found.broker", url=url, elapsed_ms=elapsed_ms)


def _webhook(settings: CloudSettings, language: Language) -> tuple[bool, str]:
    if settings.webhook is not None:
        settings_.secret(settings.webhook.secret)
    receivers = [(person.name, person.webhook_url) for person in settings.people if person.webhook_url]
    for name, url in receivers:
        parts = urlsplit(url)
        try:
            port = parts.port or (443 if parts.scheme == "https" else 80)
            socket.create_connection((parts.hostname or "", port), timeout=WAIT_S).close()
        except (OSError, ValueError) as error:
            return False, text.say(
                language, "cloud.found.no_receiver", person=name, host=parts.netloc.rpartition("@")[2], cause=error
            )
    return True, text.say(language, "cloud.found.receivers", count=len(receivers))


def _email(settings: CloudSettings, language: Language) -> tuple[bool, str]:
    if settings.smtp is None:
        return True, ""
    refusal = EmailChannel(settings.smtp, timeout_s=WAIT_S).probe()
    if refusal:
        return False, text.say(language, "cloud.found.refused", cause=refusal)
    return True, text.say(language, "cloud.found.smtp", host=settings.smtp.host)


def _oidc(oidc: OidcSettings, public_url: str, language: Language) -> tuple[bool, str]:
    try:
        open_provider(oidc, public_url, SystemClock()).probe()
    except OidcRefusal as refusal:
        return False, text.say(language, "cloud.found.refused", cause=refusal)
    return True, text.say(language, "oidc.found", issuer=oidc.issuer, back=f"{public_url}{BACK}")


def _web(settings: CloudSettings, language: Language) -> tuple[bool, str]:
    web = settings.web
    if web.access_token:
        settings_.secret(web.access_token)
    elif web.login == "none":
        refuse_open(web)
    try:
        socket.create_server((web.host, web.port)).close()
    except OSError as error:
        values = {"host": web.host, "port": web.port, "cause": error.strerror}
        return False, text.say(language, "cloud.found.port_taken", **values)
    return True, text.say(language, "cloud.found.web", url=web.public_url)
