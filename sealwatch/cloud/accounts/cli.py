"""`sealwatch cloud account`: who may log in, for whoever sits at the server itself."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from sqlalchemy import select
from sqlalchemy.orm import Session

from sealwatch.base import text
from sealwatch.base.clock import SystemClock
from sealwatch.base.errors import UsageError
from sealwatch.cloud.accounts import store
from sealwatch.cloud.accounts.proofs import Sealer
from sealwatch.cloud.auth import secret
from sealwatch.cloud.config import CloudSettings, data_dir, load_cloud
from sealwatch.cloud.db.account_tables import Account
from sealwatch.cloud.db.engine import Database
from sealwatch.cloud.downlink.cli import actor, open_database
from sealwatch.cloud.refused import NotAllowed

ROLES: Final = ("county_admin", "duty_officer", "inspector", "grid_person", "auditor", "installer")


def configure(commands: Any) -> None:
    """Add `account` to the commands of `sealwatch cloud`."""
    parser = commands.add_parser("account", help="who may log in: list, invite, change, disable, …")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    made = {
        "list": actions.add_parser("list", help="every account"),
        "first": actions.add_parser("first", help="print the one-time link for the first county administrator"),
        "invite": actions.add_parser("invite", help="make an account and print its one-time link"),
        "change": actions.add_parser("change", help="give an account another role, region, person or name"),
        "disable": actions.add_parser("disable", help="shut an account out, with its sessions and tokens"),
        "enable": actions.add_parser("enable", help="let a disabled account in again"),
        "reset": actions.add_parser("reset", help="print a link to set a new password and second factor"),
    }
    runs = {"list": _list, "first": _first, "invite": _invite, "change": _change, "reset": _reset}
    for name, run in runs.items():
        made[name].set_defaults(run=run)
    made["disable"].set_defaults(run=_disable, disabled=True)
    made["enable"].set_defaults(run=_disable, disabled=False)
    for name in ("invite", "change", "disable", "enable", "reset"):
        made[name].add_argument("login", metavar="LOGIN", help="what they log in by")
    for name, default in (("invite", ""), ("change", None)):  # None: it stays as it is
        made[name].add_argument("--role", required=name == "invite", choices=ROLES)
        made[name].add_argument("--name", default=default, help="as pages show it")
        made[name].add_argument("--region", default=default, help="what county codes it sees begin with; empty: all")
        made[name].add_argument("--person", default=default, metavar="PERSON", help="person_id of the same human")
    for one in made.values():
        one.add_argument("--config", type=Path, required=True, metavar="cloud.toml")


def first_link(database: Database, settings: CloudSettings, secret_: bytes, *, author: str) -> str | None:
    """The address where the first administrator sets a password, or None where somebody can log in already."""
    with database.write() as session:
        if settings.web.login != "accounts" or store.any_account(session):
            return None
        now_ms = SystemClock().wall_ms()
        token = store.make_link(session, None, sealer=Sealer(secret_), author=author, now_ms=now_ms)
    return f"{settings.web.public_url}/welcome/{token}"


def _work(arguments: argparse.Namespace, work: Callable[[Session, Sealer, int], str | None]) -> str | None:
    """Do it in one transaction; the token of a link, where it made one. Raises UsageError."""
    settings = load_cloud(arguments.config)
    sealer = Sealer(secret.load_or_create(data_dir(settings, arguments.config)))
    database = open_database(arguments.config)
    try:
        with database.write() as session:
            return work(session, sealer, SystemClock().wall_ms())
    except NotAllowed as refused:
        language, key = text.terminal_language(), f"web.problem.{refused.name}"
        raise UsageError(f"{text.say(language, key + '.title')}: {text.say(language, key + '.detail')}") from None
    finally:
        database.close()


def _account(session: Session, login: str) -> Account:
    found = session.scalar(select(Account).where(Account.login == login))
    if found is None:
        raise UsageError(f"'{login}' is no account; `sealwatch cloud account list` shows them all")
    return found


def _show_link(arguments: argparse.Namespace, token: str | None) -> int:
    url = f"{load_cloud(arguments.config).web.public_url}/welcome/{token}"
    print(text.say(text.terminal_language(), "accounts.link", login=arguments.login, hours=store.LINK_MS // 3_600_000))
    print(url)
    return 0


def _list(arguments: argparse.Namespace) -> int:
    language, database = text.terminal_language(), open_database(arguments.config)
    try:
        with database.read() as session:
            found = store.below(session, "")
    finally:
        database.close()
    table = Table()
    for column in ("login", "name", "role_label", "region", "state_label"):
        table.add_column(text.say(language, f"accounts.{column}"))
    for one in found:
        role = text.say(language, f"accounts.role.{one.role}")
        table.add_row(one.login, one.name, role, one.region, text.say(language, f"accounts.state.{state_of(one)}"))
    Console().print(table)
    return 0


def state_of(account: Account) -> str:
    """active, invited or disabled."""
    if account.disabled_at_ms is not None:
        return "disabled"
    return "active" if account.password_hash or account.oidc_subject else "invited"


def _first(arguments: argparse.Namespace) -> int:
    settings = load_cloud(arguments.config)
    if settings.web.login != "accounts":
        raise UsageError('nobody logs in by an account here: set login = "accounts" in [web] first')
    database = open_database(arguments.config)
    try:
        url = first_link(
            database, settings, secret.load_or_create(data_dir(settings, arguments.config)), author=actor()
        )
    finally:
        database.close()
    if url is None:
        raise UsageError("somebody can log in already; invite others with `sealwatch cloud account invite`")
    print(text.say(text.terminal_language(), "accounts.first_link"))
    print(url)
    return 0


def _invite(arguments: argparse.Namespace) -> int:
    def work(session: Session, sealer: Sealer, now_ms: int) -> str:
        account = store.invite(
            session, login=arguments.login.lower(), name=arguments.name, role=arguments.role,
            region=arguments.region, person_id=arguments.person, author=actor(), now_ms=now_ms,
        )  # fmt: skip
        return store.make_link(session, account, sealer=sealer, author=actor(), now_ms=now_ms)

    return _show_link(arguments, _work(arguments, work))


def _change(arguments: argparse.Namespace) -> int:
    def work(session: Session, _sealer: Sealer, now_ms: int) -> None:
        account = _account(session, arguments.login)
        given = {
            "name": arguments.name, "role": arguments.role, "region": arguments.region, "person_id": arguments.person,
        }  # fmt: skip
        kept = {field: getattr(account, field) if value is None else value for field, value in given.items()}
        store.change(session, account, author=actor(), now_ms=now_ms, **kept)

    _work(arguments, work)
    print(text.say(text.terminal_language(), "accounts.changed", login=arguments.login))
    return 0


def _reset(arguments: argparse.Namespace) -> int:
    return _show_link(
        arguments,
        _work(
            arguments,
            lambda session, sealer, now_ms: store.reset(
                session, _account(session, arguments.login), sealer=sealer, author=actor(), now_ms=now_ms
            ),
        ),
    )


def _disable(arguments: argparse.Namespace) -> int:
    def work(session: Session, _sealer: Sealer, now_ms: int) -> None:
        account = _account(session, arguments.login)
        store.disable(session, account, disabled=arguments.disabled, author=actor(), now_ms=now_ms)

    _work(arguments, work)
    key = "accounts.disabled" if arguments.disabled else "accounts.enabled"
    print(text.say(text.terminal_language(), key, login=arguments.login))
    return 0
