"""The figures behind `judge`, read from a running service and from what it stands on. Nothing is changed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx
from cryptography import x509
from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from sealwatch.base.mqtt import MqttSettings
from sealwatch.cloud.backup import make, manifest
from sealwatch.cloud.config import CloudSettings, WebSettings
from sealwatch.cloud.db.engine import Database
from sealwatch.cloud.db.tables import Incident, Page, Quarantined
from sealwatch.cloud.doctor import judge
from sealwatch.cloud.doctor.judge import DAY_MS, Finding
from sealwatch.cloud.incidents import states
from sealwatch.cloud.paging import plan
from sealwatch.cloud.ports import TelemetryStore
from sealwatch.cloud.telemetry.facts import SERVICE
from sealwatch.cloud.telemetry.remote import TelemetryUnavailable
from sealwatch.cloud.telemetry.spool import Spool
from sealwatch.cloud.telemetry.store import SPOOL
from sealwatch.cloud.web import views

_WAIT_S: Final = 5.0
_WORKERS_MS: Final = 15 * 60_000


def findings(
    settings: CloudSettings,
    folder: Path,
    database: Database,
    telemetry: TelemetryStore,
    *,
    backups: Path | None,
    now_ms: int,
) -> Iterator[Finding]:
    """One finding a subject, in the order in which a person would look."""
    yield healthz(settings.web)
    yield _workers(telemetry, now_ms)
    with database.read() as session:
        yield judge.stranded(_stranded(session))
        yield judge.channels(_outcomes(session, now_ms))
        silent = {node.node_id: node.reason for node in views.silent_nodes(session, now_ms=now_ms)}
        yield judge.nodes(silent, views.node_count(session))
        yield judge.quarantine(_quarantined(session, now_ms))
    if settings.telemetry.engine != "embedded":
        yield _spool(folder, now_ms)
    usage = shutil.disk_usage(folder)
    yield judge.disk(usage.free, usage.total, str(folder))
    yield judge.certificates(_days_left(settings.mqtt, now_ms))
    if backups is not None:
        yield judge.backup(_newest_ms(backups), str(backups), now_ms)
    yield judge.clock(_synchronised())


def healthz(web: WebSettings) -> Finding:
    """What the service says of itself at its own address."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(web.host, web.host)  # noqa: S104 - asked, not listened on
    url = f"http://{host}:{web.port}/healthz"
    try:
        # Not through a proxy from the environment: the question is whether this machine's service answers.
        with httpx.Client(trust_env=False, timeout=_WAIT_S) as client:
            status = client.get(url).status_code
    except httpx.HTTPError as error:
        return judge.pages(None, str(error), url)
    return judge.pages(status, "", url)


def _workers(telemetry: TelemetryStore, now_ms: int) -> Finding:
    since_ms = now_ms - _WORKERS_MS
    try:
        found = telemetry.read(site_id=SERVICE, metric="worker_alive", from_ms=since_ms, to_ms=now_ms)
    except TelemetryUnavailable as error:
        return judge.store_away(str(error))
    last = {name: (series.at_ms[-1], float(series.values[-1] or 0.0)) for name, series in found.items() if series.at_ms}
    return judge.workers(last, now_ms)


def _stranded(session: Session) -> list[str]:
    """Unanswered incidents of a level that is paged, with a ladder, and no page due or under way."""
    under_way = select(Page.incident_id).where(Page.state.in_(["due", "sending"]))
    query = select(Incident).where(
        Incident.state.in_([str(state) for state in states.UNANSWERED]),
        Incident.level.in_([str(level) for level in plan.PAGED_LEVELS]),
        Incident.incident_id.not_in(under_way),
    )
    return [incident.incident_id for incident in session.scalars(query) if incident.ladder.get("steps")]


def _outcomes(session: Session, now_ms: int) -> dict[str, tuple[int, int]]:
    failed = func.sum(case((Page.state == "failed", 1), else_=0))
    taken = func.sum(case((Page.submitted_at_ms.is_not(None), 1), else_=0))
    query = select(Page.channel, taken, failed).where(Page.due_at_ms > now_ms - DAY_MS).group_by(Page.channel)
    return {channel: (int(one or 0), int(other or 0)) for channel, one, other in session.execute(query)}


def _quarantined(session: Session, now_ms: int) -> dict[str, int]:
    query = (
        select(Quarantined.reason, func.count())
        .where(Quarantined.received_at_ms > now_ms - DAY_MS)
        .group_by(Quarantined.reason)
    )
    return {reason: int(count) for reason, count in session.execute(query)}


def _spool(folder: Path, now_ms: int) -> Finding:
    spool = Spool(folder / SPOOL)
    try:
        state = spool.state()
    finally:
        spool.close()
    set_aside = sum(count for name, count in state.counts.items() if name.startswith("set_aside."))
    return judge.spool(state.points, state.oldest_added_at_ms, set_aside, now_ms)


def _days_left(mqtt: MqttSettings, now_ms: int) -> Mapping[str, float | None]:
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    found: dict[str, float | None] = {}
    for file in filter(None, (mqtt.ca_file, mqtt.certificate_file)):
        try:
            ends = x509.load_pem_x509_certificate(Path(file).read_bytes()).not_valid_after_utc
        except (OSError, ValueError):
            found[file] = None
        else:
            found[file] = (ends - now).total_seconds() / 86_400
    return found


def _newest_ms(backups: Path) -> int | None:
    whole = make.backups(backups)
    return manifest.read(whole[-1]).made_at_ms if whole else None


def _synchronised() -> bool | None:
    """What systemd says of the clock; None where there is no systemd."""
    command = ["timedatectl", "show", "--property=NTPSynchronized", "--value"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=_WAIT_S).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return None
    return {"yes": True, "no": False}.get(said)
