"""`sealwatch edge update`: how updates stand, take the offered one now, go back to the former one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from sealwatch import __version__
from sealwatch.base import text
from sealwatch.base.errors import CommandFailed, UsageError
from sealwatch.base.files import replace_file
from sealwatch.base.text import Language
from sealwatch.contract.release import KINDS, Kind
from sealwatch.edge.config import NodeSettings, data_dir, load_node
from sealwatch.edge.update.files import ASKED_FILE, load, may_go_back
from sealwatch.edge.update.slots import Slots
from sealwatch.edge.update.state import Known


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the actions."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    status = actions.add_parser("status", help="what is in use, and what became of the newest update")
    status.set_defaults(run=_status)
    now = actions.add_parser("now", help="fetch what is offered whatever today's data budget says")
    now.set_defaults(run=_now)
    back = actions.add_parser("rollback", help="use the agent or model before the newest one again")
    back.add_argument("kind", choices=get_args(Kind))
    back.set_defaults(run=_rollback)
    for action in (status, now, back):
        action.add_argument("--config", type=Path, required=True, metavar="FILE", help="node.toml")


def _status(arguments: argparse.Namespace) -> int:
    language, folder = text.terminal_language(), data_dir(load_node(arguments.config), arguments.config)
    known = load(folder)
    for kind in KINDS:
        print(_line(language, known, kind, Slots(folder, kind)))
    print(text.say(language, "update.received", megabytes=f"{known.received_bytes / 1e6:.1f}"))
    return 0


def _line(language: Language, known: Known, kind: Kind, slots: Slots) -> str:
    update = known.of(kind)
    installed = text.say(language, "update.installed")
    in_use = __version__ if kind == "agent" else update.in_use_version or installed
    slot = slots.current()
    values = {
        "kind": text.say(language, f"update.{kind}"),
        "in_use": in_use,
        "slot": installed if slot == "factory" else slot,
    }
    if update.outcome == "none":
        return text.say(language, "update.line_none", **values)
    outcome = text.say(language, f"update.outcome.{update.outcome}", reason=update.reason, detail=update.detail)
    return text.say(language, "update.line", **values, version=update.version, outcome=outcome)


def _now(arguments: argparse.Namespace) -> int:
    node = load_node(arguments.config)
    folder = data_dir(node, arguments.config)
    if not any(load(folder).of(kind).outcome == "fetching" for kind in KINDS):
        raise CommandFailed("nothing is offered that is not in use already; see `sealwatch edge update status`")
    _ask(node, folder, "now")
    print(text.say(text.terminal_language(), "update.asked_now"))
    return 0


def _rollback(arguments: argparse.Namespace) -> int:
    node = load_node(arguments.config)
    folder = data_dir(node, arguments.config)
    if not may_go_back(load(folder).of(arguments.kind), Slots(folder, arguments.kind)):
        raise CommandFailed(f"there is no former {arguments.kind} to go back to; see `sealwatch edge update status`")
    _ask(node, folder, f"rollback {arguments.kind}")
    print(text.say(text.terminal_language(), "update.asked_back"))
    return 0


def _ask(node: NodeSettings, folder: Path, what: str) -> None:
    """The running agent reads it within seconds; one that does not run when it starts."""
    if node.update is None:
        raise UsageError("node.toml has no [update]; without it nothing is updated")
    try:
        replace_file(folder / "update" / ASKED_FILE, what.encode())
    except OSError as error:
        raise CommandFailed(f"{folder / 'update'}: {error.strerror}; run it as the agent's user") from None
