"""`sealwatch cloud update`: offer a release to nodes, withdraw it, see what came of it."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy import select

from sealwatch.base import settings as settings_
from sealwatch.base import text
from sealwatch.base.clock import SystemClock
from sealwatch.base.errors import UsageError
from sealwatch.cloud.config import data_dir, load_cloud
from sealwatch.cloud.db.tables import Node
from sealwatch.cloud.downlink.cli import actor, open_database, reply_sentence
from sealwatch.cloud.updates import offers
from sealwatch.cloud.updates.files import ReleaseFiles
from sealwatch.contract.release import Kind


def configure(commands: Any) -> None:
    """Add the commands of this room to those of `sealwatch cloud`."""
    update = commands.add_parser("update", help="new versions of agent and model for nodes")
    actions = update.add_subparsers(dest="action", required=True, metavar="ACTION")
    made = actions.add_parser("offer", help="offer a signed release to all nodes, or to some of them first")
    made.add_argument("release", type=Path, metavar="RELEASE", help="what `sealwatch release sign` wrote")
    made.add_argument("--files", type=Path, required=True, metavar="FOLDER", help="where its files are")
    made.add_argument("--share", type=float, default=100.0, metavar="PERCENT", help="to so many of them first (100)")
    made.add_argument("--again", action="store_true", help="although it did not work on a node")
    made.set_defaults(run=_offer)
    gone = actions.add_parser("withdraw", help="offer it no longer; what is installed stays")
    gone.add_argument("kind", choices=get_args(Kind))
    gone.set_defaults(run=_withdraw)
    status = actions.add_parser("status", help="what is offered to each node and what it answered")
    status.set_defaults(run=_status)
    for action in (made, gone):
        action.add_argument("--site", action="append", default=[], help="nodes of this site; may be repeated")
        action.add_argument("--county", action="append", default=[], help="nodes of this county_code; may be repeated")
        action.add_argument("--node", action="append", default=[], help="this node; may be repeated")
    for action in (made, gone, status):
        action.add_argument("--config", type=Path, required=True, metavar="cloud.toml")


def _chosen(arguments: argparse.Namespace) -> offers.Chosen:
    return offers.Chosen(sites=arguments.site, counties=arguments.county, nodes=arguments.node)


def _offer(arguments: argparse.Namespace) -> int:
    if not 0 < arguments.share <= 100:
        raise UsageError("--share: above 0 and at most 100 percent")
    sealed = settings_.read_text(arguments.release)
    release = offers.read_release(sealed)
    database = open_database(arguments.config)
    try:
        ReleaseFiles(data_dir(load_cloud(arguments.config), arguments.config)).add(release, arguments.files)
        with database.write() as session:
            nodes = offers.drawn(offers.choose(session, _chosen(arguments)), sealed, arguments.share)
            now_ms = SystemClock().wall_ms()
            told = offers.offer(session, nodes, sealed, again=arguments.again, author=actor(), now_ms=now_ms)
    finally:
        database.close()
    language = text.terminal_language()
    kind = text.say(language, f"update.{release.kind}")
    values = {"count": len(told), "chosen": len(nodes), "kind": kind, "version": release.version}
    print(text.say(language, "update.offered", **values))
    return 0


def _withdraw(arguments: argparse.Namespace) -> int:
    database = open_database(arguments.config)
    try:
        with database.write() as session:
            nodes = offers.choose(session, _chosen(arguments))
            told = offers.withdraw(session, nodes, arguments.kind, author=actor(), now_ms=SystemClock().wall_ms())
    finally:
        database.close()
    language = text.terminal_language()
    kind = text.say(language, f"update.{arguments.kind}")
    print(text.say(language, "update.withdrawn", count=len(told), kind=kind))
    return 0


def _status(arguments: argparse.Namespace) -> int:
    language, database = text.terminal_language(), open_database(arguments.config)
    try:
        with database.read() as session:
            found = offers.standings(session)
            runs = {
                node.node_id: str((node.status or {}).get("agent_version", ""))
                for node in session.scalars(select(Node))
            }
    finally:
        database.close()
    if not found:
        print(text.say(language, "update.nothing_offered"))
        return 0
    table = Table()
    for column in ("node", "runs", "offered", "when", "who", "answer"):
        table.add_column(text.say(language, f"update.column_{column}"), overflow="fold")
    for one in found:
        when = datetime.fromtimestamp(one.offered_at_ms / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        offered = f"{text.say(language, f'update.{one.kind}')} {one.version}"
        answer = text.say(language, "downlink.waiting") if one.reply is None else reply_sentence(one.reply, language)
        row = (one.node_id, runs.get(one.node_id, ""), offered, when, one.author, answer)
        table.add_row(*(Text(value) for value in row))
    Console().print(table)
    return 0
