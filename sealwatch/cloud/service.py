"""The service put together: who owns what, in which order it starts and stops."""

from __future__ import annotations

import fcntl
import logging
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from sealwatch.base import settings as settings_
from sealwatch.base.clock import Clock, SystemClock
from sealwatch.base.errors import UsageError
from sealwatch.cloud.auth import secret as secrets_
from sealwatch.cloud.auth.links import LinkSigner
from sealwatch.cloud.config import CloudSettings, data_dir
from sealwatch.cloud.db import migrate
from sealwatch.cloud.db.engine import Database, open_database, sqlite_url
from sealwatch.cloud.evidence.store import FileEvidence
from sealwatch.cloud.ingest.worker import Ingest
from sealwatch.cloud.paging import ladder as ladders
from sealwatch.cloud.paging.mail import EmailChannel
from sealwatch.cloud.paging.pager import Pager
from sealwatch.cloud.paging.webhook import WebhookChannel
from sealwatch.cloud.ports import ChangeBus, PageChannel
from sealwatch.cloud.registry.sync import sync
from sealwatch.cloud.telemetry.sqlite import SqliteTelemetry

logger = logging.getLogger(__name__)


class Service:
    """Everything of one county in one process. Start it once, stop it once."""

    def __init__(self, settings: CloudSettings, config_path: Path, clock: Clock | None = None) -> None:
        """Open what is on disk. Raises UsageError and SettingsError; nothing is sent or received before `start`."""
        self.settings, self._config_path = settings, config_path
        self.clock = clock or SystemClock()
        self.data_dir = data_dir(settings, config_path)
        self._lock = _only_service(self.data_dir)
        self.database = _database(self.data_dir)
        with self.database.write() as session:
            report = sync(session, settings)
        logger.info(
            "registry: %d added, %d changed, %d removed",
            *(len(n) for n in (report.added, report.changed, report.removed)),
        )
        secret = secrets_.load_or_create(self.data_dir)
        self.changes = ChangeBus()
        self.links = LinkSigner(secret, settings.web.public_url)
        self.telemetry = SqliteTelemetry(self.data_dir / "telemetry.sqlite")
        self.evidence = FileEvidence(self.data_dir / "evidence")
        self.channels = channels(settings)
        worker = _worker_name(self.data_dir)
        self.pager = Pager(
            self.database,
            channels=self.channels,
            links=self.links,
            clock=self.clock,
            changes=self.changes,
            worker=worker,
        )
        self.ingest = Ingest(
            mqtt=settings.mqtt,
            group=settings.ingest_group,
            worker=worker,
            database=self.database,
            telemetry=self.telemetry,
            evidence=self.evidence,
            ladder=ladders.from_settings(settings),
            clock=self.clock,
            committed=self.changes.announce,
        )

    def counters(self) -> Mapping[str, int]:
        """Running totals of ingestion (``ingest_…``) and paging (``pages_…``)."""
        pages = {f"pages_{name}": count for name, count in self.pager.counters.items()}
        return {f"ingest_{name}": count for name, count in self.ingest.counters.flat().items()} | pages

    def start(self) -> None:
        """Page what is due, then listen. Raises UsageError where the port is taken."""
        self.pager.take_over()
        self.pager.start()
        self.ingest.start()

    def stop(self) -> None:
        """Finish what is under way: batches with their acks, pages with their outcome."""
        self.ingest.stop()
        self.pager.stop()
        for channel in self.channels.values():
            if isinstance(channel, WebhookChannel):
                channel.close()
        self.telemetry.close()
        self.database.close()
        self._lock.close()


def channels(settings: CloudSettings) -> dict[str, PageChannel]:
    """The configured ways to reach people, by the name that the ladder uses. Raises SettingsError for a bad secret."""
    found: dict[str, PageChannel] = {}
    if settings.webhook is not None:
        found["webhook"] = WebhookChannel(settings_.secret(settings.webhook.secret))
    if settings.smtp is not None:
        found["email"] = EmailChannel(settings.smtp)
    return found


def _only_service(folder: Path) -> IO[str]:
    """A lock that lives as long as this process. Raises UsageError where another service has the folder."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (folder / "service.lock").open("a")
    except OSError as error:
        raise UsageError(f"{folder}: the data folder cannot be used: {error.strerror}; see data_dir") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise UsageError(f"{folder}: another service already works in this folder; stop it first") from None
    return lock


def _database(folder: Path) -> Database:
    database = open_database(sqlite_url(folder / "cloud.sqlite"))
    if migrate.is_behind(database.engine):
        before, after = migrate.migrate(database.engine)
        logger.info("database schema %s -> %s", before or "none", after)
    return database


def _worker_name(folder: Path) -> str:
    """A name drawn once for this data folder: broker sessions of the next start must be those of the last one."""
    file = folder / "worker.id"
    try:
        return file.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        name = secrets.token_hex(6)
        file.write_text(name + "\n", encoding="ascii")
        return name
