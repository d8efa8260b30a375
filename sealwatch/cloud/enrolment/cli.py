"""`sealwatch cloud token`, `revoke` and `certificate`: who may become a node, who is one no longer, and servers."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import select

from sealwatch.base import text
from sealwatch.base.clock import SystemClock
from sealwatch.base.errors import UsageError
from sealwatch.base.files import replace_file
from sealwatch.cloud.auth import service_key
from sealwatch.cloud.config import data_dir, load_cloud
from sealwatch.cloud.db.tables import FormerKey, Node
from sealwatch.cloud.downlink.cli import actor, open_database
from sealwatch.cloud.enrolment import desk
from sealwatch.cloud.enrolment.authority import Authority, private_pem

CA_FOLDER: Final = "ca"
_HOURS: Final = 24.0


def configure(commands: Any) -> None:
    """Add the commands of this room to those of `sealwatch cloud`."""
    token = commands.add_parser("token", help="print a one-time token with which one node can be enrolled")
    token.add_argument("node", metavar="NODE", help="node_id that it will have")
    token.add_argument("site", metavar="SITE", help="site_id where it stands")
    token.add_argument("--hours", type=float, default=_HOURS, help=f"how long the token holds ({_HOURS:.0f})")
    token.set_defaults(run=_token)
    gone = commands.add_parser("revoke", help="take a stolen or retired node's certificate and every right")
    gone.add_argument("node", metavar="NODE", help="node_id")
    gone.set_defaults(run=_revoke)
    known = commands.add_parser("keys", help="every key a node ever had, one a line, for `sealwatch evidence verify`")
    known.add_argument("node", metavar="NODE", help="node_id")
    known.set_defaults(run=_keys)
    leaf = commands.add_parser("certificate", help="make key and certificate for the broker or for this service")
    leaf.add_argument("name", metavar="NAME", help="common name, such as sealwatch-cloud")
    leaf.add_argument("--host", action="append", default=[], help="name or address of a server; may be repeated")
    leaf.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="where NAME.pem, NAME.key, ca.pem and crl.pem go"
    )
    leaf.set_defaults(run=_certificate)
    for command in (token, gone, known, leaf):
        command.add_argument("--config", type=Path, required=True, metavar="cloud.toml")


def _token(arguments: argparse.Namespace) -> int:
    if not 0 < arguments.hours <= 24 * 31:
        raise UsageError("--hours: a token holds for more than none and at most 744 hours")
    database = open_database(arguments.config)
    folder = data_dir(load_cloud(arguments.config), arguments.config)
    try:
        with database.write() as session:
            made = desk.make_token(
                session,
                key=service_key.load_or_create(folder),
                node_id=arguments.node,
                site_id=arguments.site,
                author=actor(),
                now_ms=SystemClock().wall_ms(),
                valid_s=arguments.hours * 3600,
            )
    finally:
        database.close()
    print(made)
    return 0


def _revoke(arguments: argparse.Namespace) -> int:
    database, now_ms = open_database(arguments.config), SystemClock().wall_ms()
    folder = data_dir(load_cloud(arguments.config), arguments.config)
    authority = Authority(folder / CA_FOLDER, now_ms)
    try:
        with database.write() as session:
            count = desk.revoke(session, arguments.node, now_ms=now_ms)
            desk.write_crl(session, authority, now_ms)
    finally:
        database.close()
    values = {"node": arguments.node, "count": count, "file": authority.crl_file}
    print(text.say(text.terminal_language(), "enrolment.revoked", **values))
    return 0


def _keys(arguments: argparse.Namespace) -> int:
    database = open_database(arguments.config)
    try:
        with database.read() as session:
            node = session.get(Node, arguments.node)
            if node is None:
                raise UsageError(f"no node '{arguments.node}'")
            former = select(FormerKey).where(FormerKey.node_id == arguments.node).order_by(FormerKey.replaced_at_ms)
            lines = [f"{row.public_key}  # until {_utc(row.replaced_at_ms)}" for row in session.scalars(former)]
            lines.append(node.public_key)
    finally:
        database.close()
    print("\n".join(lines))
    return 0


def _utc(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _certificate(arguments: argparse.Namespace) -> int:
    now_ms = SystemClock().wall_ms()
    folder = data_dir(load_cloud(arguments.config), arguments.config)
    authority, database = Authority(folder / CA_FOLDER, now_ms), open_database(arguments.config)
    try:
        with database.read() as session:
            desk.write_crl(session, authority, now_ms)
            if session.get(Node, arguments.name) is not None:
                raise UsageError(f"'{arguments.name}' is a node: it gets its certificate by `sealwatch edge enrol`")
    finally:
        database.close()
    key = ec.generate_private_key(ec.SECP256R1())
    issued = authority.issue(key.public_key(), arguments.name, now_ms=now_ms, hosts=arguments.host, days=5 * 365)
    out: Path = arguments.out
    try:
        out.mkdir(parents=True, exist_ok=True)
        replace_file(out / f"{arguments.name}.key", private_pem(key))
        replace_file(out / f"{arguments.name}.pem", issued.pem.encode(), mode=0o644)
        replace_file(out / "ca.pem", authority.pem.encode(), mode=0o644)
        replace_file(out / "crl.pem", authority.crl_file.read_bytes(), mode=0o644)
    except OSError as error:
        raise UsageError(f"{out}: cannot be written: {error.strerror}") from None
    print(text.say(text.terminal_language(), "enrolment.issued", name=arguments.name, folder=out))
    return 0
