"""The service put together: who owns what, in which order it starts and stops."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import secrets
import socket
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Final

from sealwatch.base import settings as settings_
from sealwatch.base.clock import Clock, SystemClock
from sealwatch.base.errors import CommandFailed, UsageError
from sealwatch.cloud.answering.modems import ModemInboxes
from sealwatch.cloud.auth import push_key, service_key
from sealwatch.cloud.auth import secret as secrets_
from sealwatch.cloud.auth.links import LinkSigner
from sealwatch.cloud.config import CloudSettings, data_dir
from sealwatch.cloud.db import away
from sealwatch.cloud.db.engine import hold_alone
from sealwatch.cloud.db.place import open_for_service
from sealwatch.cloud.downlink.queue import publish_declaration
from sealwatch.cloud.downlink.sender import DownlinkSender
from sealwatch.cloud.duty.ladder import DutyLadder
from sealwatch.cloud.duty.selftest import NightlyTest
from sealwatch.cloud.enrolment.authority import Authority
from sealwatch.cloud.enrolment.cli import CA_FOLDER
from sealwatch.cloud.enrolment.desk import Desk, write_crl
from sealwatch.cloud.evidence.intake import open_receiver
from sealwatch.cloud.evidence.store import FileEvidence
from sealwatch.cloud.ingest.worker import Ingest
from sealwatch.cloud.paging.channels import factory
from sealwatch.cloud.paging.channels.gsm import GsmChannel
from sealwatch.cloud.paging.channels.settings import Robot, WebPushSettings
from sealwatch.cloud.paging.channels.web_push import PushMeans
from sealwatch.cloud.paging.mail import EmailChannel
from sealwatch.cloud.paging.pager import Pager
from sealwatch.cloud.paging.queue import Limits
from sealwatch.cloud.paging.webhook import WebhookChannel
from sealwatch.cloud.ports import ChangeBus, PageChannel
from sealwatch.cloud.registry.sync import sync
from sealwatch.cloud.telemetry.store import open_store
from sealwatch.cloud.telemetry.teller import Teller
from sealwatch.cloud.updates.files import ReleaseFiles
from sealwatch.cloud.watch.heartbeat import Heartbeat
from sealwatch.cloud.watch.watcher import Watcher
from sealwatch.cloud.web.server import build_server, listen
from sealwatch.cloud.web.services import WebServices

logger = logging.getLogger(__name__)
_WEB_START_S: Final = 15.0
_STANDS_STILL_S: Final = 30.0


class Service:
    """Everything of one county in one process. Start it once, stop it once."""

    def __init__(self, settings: CloudSettings, config_path: Path, clock: Clock | None = None) -> None:
        """Open what is on disk. Raises UsageError and SettingsError; nothing is sent or received before `start`."""
        self.settings = settings
        self.clock = clock or SystemClock()
        self.data_dir = data_dir(settings, config_path)
        self.changes = ChangeBus()
        self._socket: socket.socket | None = None
        self._web = threading.Thread(target=self._serve, name="web", daemon=True)
        with contextlib.ExitStack() as opened:
            opened.enter_context(_only_service(self.data_dir))
            self.database, moved = open_for_service(settings.database, self.data_dir)
            opened.callback(self.database.close)
            if moved is not None:
                logger.info("database schema %s -> %s", moved[0] or "none", moved[1])
            self._register()
            self.secret = secrets_.load_or_create(self.data_dir)
            self.signing_key = service_key.load_or_create(self.data_dir)
            self.push_key = push_key.load_or_create(self.data_dir)
            self.enrolment = self._open_enrolment()
            self.links = LinkSigner(self.secret, settings.web.public_url)
            self.telemetry = open_store(settings.telemetry, self.data_dir, clock=self.clock)
            opened.callback(self.telemetry.close)
            self.evidence = FileEvidence(self.data_dir / "evidence")
            self._receiver = open_receiver(self.data_dir / "uploads", self.evidence, self.database, self.clock)
            self._build_workers(opened)
            self._server = build_server(self._web_services())
            self._opened = opened.pop_all()

    def _register(self) -> None:
        with self.database.write() as session:
            hold_alone(session)
            report = sync(session, self.settings)
            session.flush()
            for site in self.settings.sites:
                publish_declaration(session, site.site_id, author="system", now_ms=self.clock.wall_ms())
        counts = (len(report.added), len(report.changed), len(report.removed))
        logger.info("registry: %d added, %d changed, %d removed", *counts)

    def _open_enrolment(self) -> Desk:
        now_ms = self.clock.wall_ms()
        authority = Authority(self.data_dir / CA_FOLDER, now_ms)
        with self.database.read() as session:
            write_crl(session, authority, now_ms)
        return Desk(
            database=self.database,
            authority=authority,
            key=self.signing_key,
            mqtt_url=self.settings.node_mqtt_url or self.settings.mqtt.url,
            clock=self.clock,
        )

    def _build_workers(self, opened: contextlib.ExitStack) -> None:
        worker = _worker_name(self.data_dir)
        self.teller = Teller(
            self.database,
            self.telemetry,
            folder=self.data_dir,
            worker=worker,
            turns=self._turns,
            clock=self.clock,
            changes=self.changes,
        )
        known = channels(self.settings, opened, self.clock, PushMeans(self.database, self.push_key))
        modems = {name: one for name, one in known.items() if isinstance(one, GsmChannel) and one.answerable}
        self.inboxes = ModemInboxes(self.database, modems, clock=self.clock, changes=self.changes)
        self.nightly = NightlyTest(self.database, settings=self.settings, channels=known, clock=self.clock)
        self.pager = Pager(
            self.database,
            channels=known,
            links=self.links,
            clock=self.clock,
            changes=self.changes,
            worker=worker,
            robots={one.name: Limits(one.per_minute) for one in self.settings.channels if isinstance(one, Robot)},
        )
        ladder = DutyLadder(self.settings)
        heartbeat = Heartbeat(self.settings.heartbeat_url, turns=self._turns)
        opened.callback(heartbeat.close)
        self.watcher = Watcher(
            self.database,
            ladder=ladder,
            clock=self.clock,
            changes=self.changes,
            connected=lambda: self.ingest.connected,
            heartbeat=heartbeat,
        )
        self.ingest = Ingest(
            mqtt=self.settings.mqtt,
            group=self.settings.ingest_group,
            worker=worker,
            database=self.database,
            telemetry=self.telemetry,
            evidence=self.evidence,
            ladder=ladder,
            clock=self.clock,
            committed=self.changes.announce,
            tell=self.teller.note,
        )
        self.downlink = DownlinkSender(
            self.database, key=self.signing_key, mqtt=self.settings.mqtt, worker=worker, clock=self.clock
        )

    def _turns(self) -> dict[str, int]:
        """How often each worker's wheel has turned."""
        own = {"pager": self.pager.turns, "watcher": self.watcher.turns}
        return {f"ingest-{lane.spec.name}": lane.turns for lane in self.ingest.lanes} | own

    def _web_services(self) -> WebServices:
        return WebServices(
            database=self.database,
            telemetry=self.telemetry,
            evidence=self.evidence,
            links=self.links,
            settings=self.settings,
            secret=self.secret,
            receiver=self._receiver,
            releases=ReleaseFiles(self.data_dir),
            enrolment=self.enrolment,
            changes=self.changes,
            counters=self.counters,
            clock=self.clock,
            push_key=push_key.public_text(self.push_key),
        )

    @property
    def port(self) -> int:
        """The TCP port of the pages, once started."""
        return int(self._socket.getsockname()[1]) if self._socket is not None else self.settings.web.port

    @property
    def serving(self) -> bool:
        """Whether the pages are being served."""
        return self._web.is_alive() and self._server.started

    @property
    def turning(self) -> bool:
        """Whether the loop of the web server has turned lately: what the machine's watchdog wants to know."""
        return self.serving and time.monotonic() - self._server.turned_s < _STANDS_STILL_S

    def _serve(self) -> None:
        self._server.run(sockets=None if self._socket is None else [self._socket])

    def counters(self) -> Mapping[str, int]:
        """Running totals of ingestion (``ingest_…``), paging (``pages_…``), own figures (``facts_…``), watching
        (``watch_…``) and the workers' turns that failed (``failed_turns_…``)."""
        pages = {f"pages_{name}": count for name, count in self.pager.counters.items()}
        facts = {f"facts_{name}": count for name, count in self.teller.counters.items()}
        watch = {f"watch_{name}": count for name, count in self.watcher.counters.items()}
        ingest = {f"ingest_{name}": count for name, count in self.ingest.counters.flat().items()}
        workers = (self.pager, self.watcher, self.nightly, self.inboxes, self.downlink)
        return ingest | pages | facts | watch | away.counted(*(worker.failed_turns for worker in workers))

    def start(self) -> None:
        """Serve the pages, page what is due, then listen to the nodes. Raises UsageError where the port is taken."""
        web = self.settings.web
        self._socket = _listen(web.host, web.port)
        self._web.start()
        until_s = time.monotonic() + _WEB_START_S
        while not self._server.started and self._web.is_alive() and time.monotonic() < until_s:
            time.sleep(0.01)
        if not self.serving:
            raise CommandFailed("the web server did not start; see the log above")
        self.pager.take_over()
        self.pager.start()
        self.inboxes.start()
        self.nightly.start()
        self.watcher.start()
        self.teller.start()
        self.ingest.start()
        self.downlink.start()
        logger.info("serving %s on port %d", web.public_url, self.port)

    def stop(self) -> None:
        """Finish what is under way: batches with their acks, pages with their outcome, answers being given."""
        self.downlink.stop()
        self.ingest.stop()
        self.watcher.stop()
        self.inboxes.stop()
        self.nightly.stop()
        self.pager.stop()
        self.teller.stop()
        self._server.should_exit = True
        if self._web.is_alive():
            self._web.join()
        if self._socket is not None:
            self._socket.close()
        self.close()

    def close(self) -> None:
        """Let go of what is on disk, for a service that was never started; `stop` does it too."""
        self._opened.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        return listen(host, port)
    except OSError as error:
        raise UsageError(
            f"web: {host}:{port} cannot be listened on ({error.strerror}); stop what uses it, or change web.port"
        ) from None


def channels(
    settings: CloudSettings, opened: contextlib.ExitStack, clock: Clock | None = None, push: PushMeans | None = None
) -> dict[str, PageChannel]:
    """The configured ways to reach people, by the name that the ladder uses. Raises SettingsError for a bad secret."""
    found: dict[str, PageChannel] = {}
    if settings.webhook is not None:
        webhook = WebhookChannel(settings_.secret(settings.webhook.secret))
        opened.callback(webhook.close)
        found["webhook"] = webhook
    if settings.smtp is not None:
        found["email"] = EmailChannel(settings.smtp)
    found |= factory.build(settings, opened, clock, push)
    return found


def channels_alone(settings: CloudSettings, config_path: Path, opened: contextlib.ExitStack) -> dict[str, PageChannel]:
    """`channels` for a command that runs without the service, which may run beside it. Raises UsageError as well."""
    push = None
    if any(isinstance(one, WebPushSettings) for one in settings.channels):
        folder = data_dir(settings, config_path)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        database, _ = open_for_service(settings.database, folder)
        opened.callback(database.close)
        push = PushMeans(database, push_key.load_or_create(folder))
    return channels(settings, opened, push=push)


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


def _worker_name(folder: Path) -> str:
    """A name drawn once for this data folder: broker sessions of the next start must be those of the last one."""
    file = folder / "worker.id"
    try:
        return file.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        name = secrets.token_hex(6)
        file.write_text(name + "\n", encoding="ascii")
        return name
