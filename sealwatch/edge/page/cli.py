"""`sealwatch edge page`: who may use the page on the node."""

from __future__ import annotations

import argparse
import getpass
import sys
from pathlib import Path

from sealwatch.base.errors import UsageError
from sealwatch.edge.config import data_dir, load_node
from sealwatch.edge.page.access import Keyring


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the commands of `page`."""
    commands = parser.add_subparsers(dest="page_command", required=True, metavar="COMMAND")
    summary = "set the password of one person, asked for twice or read from standard input; it counts at once"
    password = commands.add_parser("password", help=summary, description=summary)
    password.add_argument("name", metavar="NAME", help="who; it stands beside every change made on the page")
    password.add_argument("--remove", action="store_true", help="take the password away instead")
    summary = "who has a password"
    people = commands.add_parser("people", help=summary, description=summary)
    for command, run in ((password, _password), (people, _people)):
        command.add_argument("--config", type=Path, required=True, metavar="FILE", help="the node's configuration")
        command.set_defaults(run=run)


def _password(arguments: argparse.Namespace) -> int:
    keyring = _keyring(arguments)
    if arguments.remove:
        keyring.remove(arguments.name)
        print(f"{arguments.name} can no longer use the page")
        return 0
    keyring.set(arguments.name, _ask())
    print(f"{arguments.name} can use the page now")
    return 0


def _people(arguments: argparse.Namespace) -> int:
    for name in _keyring(arguments).names():
        print(name)
    return 0


def _keyring(arguments: argparse.Namespace) -> Keyring:
    return Keyring(data_dir(load_node(arguments.config), arguments.config))


def _ask() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    first = getpass.getpass("password: ")
    if getpass.getpass("once more: ") != first:
        raise UsageError("the two are not the same; nothing was changed")
    return first
