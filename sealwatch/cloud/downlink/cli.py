"""`sealwatch cloud command` and `configure`: ask something of a node, and what it answered."""

from __future__ import annotations

import argparse
import getpass
import time
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy import select

from sealwatch.base import settings as settings_
from sealwatch.base import text
from sealwatch.base.clock import SystemClock
from sealwatch.base.errors import UsageError
from sealwatch.base.text import Language
from sealwatch.cloud.config import data_dir, load_cloud
from sealwatch.cloud.db.engine import Database
from sealwatch.cloud.db.place import open_for_shell
from sealwatch.cloud.db.tables import CommandReply, Downlink
from sealwatch.cloud.downlink import queue
from sealwatch.contract import wire
from sealwatch.contract.messages import Command
from sealwatch.contract.topics import Channel

_WAIT_S: Final = 20.0
_TRIAL_S: Final = 120.0  # restart, a minute of trial, perhaps the way back
_LOOK_S: Final = 0.2
_SHOWN: Final = 20


def configure(commands: Any) -> None:
    """Add the commands of this room to those of `sealwatch cloud`."""
    command = commands.add_parser(
        "command", help="ask a node to do something; without a NAME: what it was asked so far"
    )
    command.add_argument("node", metavar="NODE", help="node_id")
    command.add_argument("name", metavar="NAME", nargs="?", help="ping, snapshot …")
    command.add_argument("arguments", metavar="KEY=VALUE", nargs="*", help="arguments of the command")
    command.add_argument(
        "--wait", type=float, default=_WAIT_S, metavar="SECONDS", help=f"for the answer, at most ({_WAIT_S:.0f})"
    )
    command.add_argument("--config", type=Path, required=True, metavar="cloud.toml")
    command.set_defaults(run=_command)
    push = commands.add_parser("configure", help="push a configuration, which the node tries and takes back by itself")
    push.add_argument("node", metavar="NODE", help="node_id")
    push.add_argument("file", metavar="FILE", type=Path, help="the whole new node.toml")
    push.add_argument(
        "--wait", type=float, default=_TRIAL_S, metavar="SECONDS", help=f"for the outcome, at most ({_TRIAL_S:.0f})"
    )
    push.add_argument("--config", type=Path, required=True, metavar="cloud.toml")
    push.set_defaults(run=_configure)


def actor() -> str:
    """Who acts on the command line, as records name it."""
    return f"shell:{getpass.getuser()}"[:100]


def open_database(config: Path) -> Database:
    """The database that a running service works on. Raises UsageError."""
    settings = load_cloud(config)
    return open_for_shell(settings.database, data_dir(settings, config))


def _command(arguments: argparse.Namespace) -> int:
    language, database = text.terminal_language(), open_database(arguments.config)
    try:
        if not arguments.name:
            _show(database, arguments.node, language)
            return 0
        with database.write() as session:
            command_id = queue.queue_command(
                session,
                node_id=arguments.node,
                name=arguments.name,
                arguments=_pairs(arguments.arguments),
                author=actor(),
                now_ms=SystemClock().wall_ms(),
            )
        return _wait(database, arguments.node, command_id, arguments.wait, language)
    finally:
        database.close()


def _configure(arguments: argparse.Namespace) -> int:
    toml = settings_.read_text(arguments.file)
    try:
        tomllib.loads(toml)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{arguments.file}: not valid TOML: {error}") from None
    database = open_database(arguments.config)
    try:
        with database.write() as session:
            now_ms = SystemClock().wall_ms()
            version = queue.push_config(session, node_id=arguments.node, toml=toml, author=actor(), now_ms=now_ms)
        message_id = queue.message_id(Channel.CONFIG, version)
        return _wait(database, arguments.node, message_id, arguments.wait, text.terminal_language())
    finally:
        database.close()


def _pairs(given: list[str]) -> dict[str, str]:
    found = {}
    for one in given:
        key, equals, value = one.partition("=")
        if not equals:
            raise UsageError(f"'{one}' is no argument of a command; write KEY=VALUE")
        found[key] = value
    return found


def _wait(database: Database, node_id: str, message_id: str, wait_s: float, language: Language) -> int:
    until_s = time.monotonic() + wait_s
    while True:
        with database.read() as session:
            reply = session.get(CommandReply, (node_id, message_id))
            sent = select(Downlink.sent_at_ms).where(Downlink.node_id == node_id, Downlink.message_id == message_id)
            sent_at_ms = session.scalars(sent).one()
        if reply is not None:
            print(reply_sentence(reply, language))
            return 0 if reply.ok else 1
        if time.monotonic() >= until_s:
            key = "downlink.not_sent" if sent_at_ms is None else "downlink.no_answer"
            print(text.say(language, key, node=node_id, seconds=f"{wait_s:g}"))
            return 1
        time.sleep(_LOOK_S)


def reply_sentence(reply: CommandReply, language: Language) -> str:
    """What a node answered and, where it refused, what to do."""
    key = f"downlink.reason.{reply.reason}"
    meaning = text.say(language, key) if key in text.catalogue() else reply.reason
    values = {"node": reply.node_id, "meaning": meaning, "detail": reply.detail}
    return text.say(language, "downlink.answered_more" if reply.detail else "downlink.answered", **values)


def _show(database: Database, node_id: str, language: Language) -> None:
    with database.read() as session:
        rows = session.scalars(
            select(Downlink)
            .where(Downlink.node_id == node_id, Downlink.channel == str(Channel.COMMAND))
            .order_by(Downlink.id.desc())
            .limit(_SHOWN)
        ).all()
        asked_for = [row.message_id for row in rows]
        wanted = select(CommandReply).where(CommandReply.node_id == node_id, CommandReply.command_id.in_(asked_for))
        replies = {reply.command_id: reply for reply in session.scalars(wanted)}
    table = Table()
    for column in ("asked", "who", "command", "answer"):
        table.add_column(text.say(language, f"downlink.column_{column}"), overflow="fold")
    for row in reversed(rows):
        command = wire.decode(Command, row.body)
        asked = datetime.fromtimestamp(row.created_at_ms / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        said = " ".join([command.name, *(f"{key}={value}" for key, value in command.arguments.items())])
        reply = replies.get(row.message_id)
        if reply is not None:
            answer = reply_sentence(reply, language)
        else:
            answer = text.say(language, "downlink.waiting" if row.sent_at_ms is None else "downlink.sent")
        table.add_row(asked, row.author, Text(said), Text(answer))
    Console().print(table)
