"""`sealwatch cloud`: the county's service on the command line."""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import threading
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy.exc import DatabaseError

from sealwatch.base import text
from sealwatch.base.errors import CommandFailed, UsageError
from sealwatch.base.systemd import Notifier
from sealwatch.cloud import check, logs
from sealwatch.cloud.accounts import cli as account_cli
from sealwatch.cloud.answering import http as answering
from sealwatch.cloud.auth import secret as secrets_
from sealwatch.cloud.auth import service_key
from sealwatch.cloud.backup import cli as backup_cli
from sealwatch.cloud.config import data_dir, load_cloud
from sealwatch.cloud.db import migrate
from sealwatch.cloud.db.engine import open_engine
from sealwatch.cloud.db.place import database_url, unusable
from sealwatch.cloud.downlink import cli as downlink_cli
from sealwatch.cloud.downlink import rotation
from sealwatch.cloud.enrolment import cli as enrolment_cli
from sealwatch.cloud.evidence import cli as evidence_cli
from sealwatch.cloud.ingest.lane import LANES
from sealwatch.cloud.ingest.worker import end_sessions
from sealwatch.cloud.paging.channels import trial
from sealwatch.cloud.service import Service, channels_alone
from sealwatch.cloud.setup import cli as setup_cli
from sealwatch.cloud.updates import cli as update_cli
from sealwatch.contract import signing

_LOOK_S = 1.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this room's commands."""
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="take alarms, page people, serve the pages; until it is told to stop")
    serve.add_argument("--verbose", action="store_true", help="log details too")
    serve.set_defaults(run=_serve)
    schema = commands.add_parser("migrate", help="bring the database to the newest schema")
    schema.set_defaults(run=_migrate)
    checks = commands.add_parser("check", help="try everything the service stands on; sends nothing, changes nothing")
    checks.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    checks.set_defaults(run=_check)
    channel = commands.add_parser("channel", help="the ways to reach people")
    actions = channel.add_subparsers(dest="action", required=True, metavar="ACTION")
    one_test = actions.add_parser("test", help="send one person a page marked as a test, and explain the answer")
    one_test.add_argument("name", metavar="NAME", help="webhook, email, or a name of [[channels]]")
    one_test.add_argument("--to", required=True, metavar="PERSON", help="person_id of the one who gets it")
    one_test.set_defaults(run=_channel_test)
    inbound = actions.add_parser("inbound", help="print the URL that a carrier calls with people's answers")
    inbound.add_argument("name", metavar="NAME", help="a name of [[channels]] of kind tencent_sms or aliyun_sms")
    inbound.set_defaults(run=_channel_inbound)
    key = commands.add_parser("key", help="print the public key that nodes pin; made where there is none yet")
    key.add_argument("--next", action="store_true", help="make and print the key that will take its place")
    key.add_argument("--use-next", action="store_true", help="put it in place, once every node believes it")
    key.add_argument("--anyway", action="store_true", help="with --use-next: although not every node has said so")
    key.set_defaults(run=_key)
    leave = commands.add_parser("leave", help="have the broker forget a service of several that does not come back")
    leave.add_argument("worker", metavar="WORKER", help="what stands in worker.id of its data_dir, and in its figures")
    leave.set_defaults(run=_leave)
    account_cli.configure(commands)
    downlink_cli.configure(commands)
    enrolment_cli.configure(commands)
    update_cli.configure(commands)
    evidence_cli.configure(commands)
    backup_cli.configure(commands)
    setup_cli.configure(commands)
    for command in (serve, schema, checks, one_test, inbound, key, leave):
        command.add_argument("--config", type=Path, required=True, metavar="cloud.toml")


def _serve(arguments: argparse.Namespace) -> int:
    settings = load_cloud(arguments.config)
    logs.configure(verbose=arguments.verbose)
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    service = Service(settings, arguments.config)
    systemd = Notifier()
    try:
        service.start()
        _say_first_link(service)
        systemd.ready()
        while not told.wait(_LOOK_S):
            if not service.serving:
                raise CommandFailed("the web server has ended by itself; see the log above")
            if service.turning:
                systemd.alive(f"serving on port {service.port}")
        systemd.stopping()
    finally:
        service.stop()
    return 0


def _say_first_link(service: Service) -> None:
    """Where nobody can log in yet: how the first administrator does."""
    url = account_cli.first_link(service.database, service.settings, service.secret, author="system")
    if url is not None:
        print(text.say(text.terminal_language(), "accounts.first_link"), url, sep="\n", flush=True)


def _migrate(arguments: argparse.Namespace) -> int:
    settings, language = load_cloud(arguments.config), text.terminal_language()
    folder = data_dir(settings, arguments.config)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    url = database_url(settings.database, folder)
    engine = open_engine(url)
    try:
        before, after = migrate.migrate(engine)
    except DatabaseError as error:
        raise UsageError(unusable(url, error)) from None
    finally:
        engine.dispose()
    if before == after:
        print(text.say(language, "cloud.schema.same", revision=after))
    else:
        none = text.say(language, "cloud.schema.none")
        print(text.say(language, "cloud.schema.moved", before=before or none, after=after))
    return 0


def _key(arguments: argparse.Namespace) -> int:
    folder = data_dir(load_cloud(arguments.config), arguments.config)
    if arguments.use_next:
        return rotation.use_next(arguments.config, folder, anyway=arguments.anyway)
    found = service_key.prepare_next(folder) if arguments.next else service_key.load_or_create(folder)
    print(signing.public_key_text(found.public_key()))
    return 0


def _leave(arguments: argparse.Namespace) -> int:
    settings, folder = load_cloud(arguments.config), data_dir(load_cloud(arguments.config), arguments.config)
    own = folder / "worker.id"
    if own.exists() and own.read_text(encoding="ascii").strip() == arguments.worker:
        raise UsageError(
            f"{arguments.worker} is the service of this configuration; it takes part for as long as it runs"
        )
    ended = end_sessions(settings.mqtt, arguments.worker, timeout_s=check.WAIT_S)
    if ended < len(LANES):
        raise CommandFailed(
            f"{settings.mqtt.url}: {ended} of {len(LANES)} sessions could be ended; see that it answers"
        )
    print(text.say(text.terminal_language(), "cloud.left", worker=arguments.worker))
    return 0


def _check(arguments: argparse.Namespace) -> int:
    settings, language = load_cloud(arguments.config), text.terminal_language()
    findings = check.run(settings, arguments.config, language)
    if arguments.json:
        print(json.dumps([msgspec.to_builtins(finding) for finding in findings], ensure_ascii=False))
    else:
        table = Table(title=text.say(language, "cloud.check.title", file=arguments.config))
        for column in ("part", "state", "finding"):
            table.add_column(text.say(language, f"cloud.check.{column}"))
        for finding in findings:
            state = text.say(language, "cloud.check.ok" if finding.ok else "cloud.check.bad")
            colour = "green" if finding.ok else "bold red"
            part = text.say(language, f"cloud.part.{finding.part}")
            table.add_row(part, Text(state, style=colour), Text(finding.sentence))
        Console().print(table)
    return 0 if all(finding.ok for finding in findings) else 1


def _channel_test(arguments: argparse.Namespace) -> int:
    settings, language = load_cloud(arguments.config), text.terminal_language()
    with contextlib.ExitStack() as opened:
        known = channels_alone(settings, arguments.config, opened)
        submission, sentences = trial.run(settings, known, arguments.name, arguments.to, language)
    print("\n".join(sentences))
    return 0 if submission.ok else 1


def _channel_inbound(arguments: argparse.Namespace) -> int:
    settings = load_cloud(arguments.config)
    channel = next((one for one in settings.channels if one.name == arguments.name), None)
    if channel is None or not answering.answered_by(channel):
        raise UsageError(
            f"{arguments.name} is no channel whose messages can be answered; use tencent_sms or aliyun_sms"
        )
    secret = secrets_.load_or_create(data_dir(settings, arguments.config))
    print(f"{settings.web.public_url}{answering.PREFIX}{channel.name}/{answering.token(secret, channel.name)}")
    return 0
