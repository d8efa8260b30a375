"""`sealwatch edge cameras`: find the cameras on the network, read how they are set up, and say what to write down."""

from __future__ import annotations

import argparse
import getpass
import queue
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from sealwatch.base import settings, text
from sealwatch.base.clock import SystemClock
from sealwatch.base.errors import CommandFailed, UsageError
from sealwatch.base.text import Language
from sealwatch.edge.cameras import discovery, reading, show
from sealwatch.edge.cameras.reading import Login
from sealwatch.edge.cameras.sheet import CameraError, Sheet

DEADLINE_S: Final = 40.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `cameras`."""
    parser.add_argument(
        "address", nargs="*", metavar="ADDRESS", help="host, host:port or http://host/path; none: whoever answers"
    )
    parser.add_argument("--user", metavar="NAME", help="user of the cameras; reads their streams as well")
    parser.add_argument(
        "--password", metavar="REFERENCE", help="file:/path or env:NAME; without it the password is asked for"
    )
    parser.add_argument("--wait", type=float, default=discovery.WAIT_S, metavar="S", help="wait for answers, seconds")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of tables")
    parser.add_argument("--lang", choices=[str(language) for language in Language], help="language (zh)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 where every camera could be read, 1 where one could not. Raises UsageError, CommandFailed."""
    language = Language(arguments.lang or Language.ZH)
    if not 0 < arguments.wait <= 60:
        raise UsageError(f"--wait {arguments.wait:g}: name 1 to 60 seconds")
    named = [_named(address) for address in arguments.address]
    login = _login(arguments, language)
    if not named and not discovery.networks():
        raise CommandFailed(text.say(language, "cameras.no_network"))
    sheets = named or discovery.find(wait_s=arguments.wait)
    if not sheets:
        raise CommandFailed(text.say(language, "cameras.none"))
    sheets = read_all(sheets, login)
    if arguments.json:
        print(show.as_json(sheets, login.username if login else ""))
    else:
        show.print_tables(sheets, login.username if login else "", language)
    return 1 if any(sheet.failure for sheet in sheets) else 0


def _named(address: str) -> Sheet:
    whole = address if "://" in address else f"http://{address}"
    try:
        parts = urlsplit(whole)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise UsageError("ADDRESS: name a camera as 192.168.1.64, 192.168.1.64:8000 or http://192.168.1.64/path")
    path = parts.path if parts.path not in ("", "/") else "/onvif/device_service"
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return Sheet(host=parts.hostname, xaddr=f"{parts.scheme}://{host}{f':{port}' if port else ''}{path}")


def _login(arguments: argparse.Namespace, language: Language) -> Login | None:
    if not arguments.user:
        if arguments.password:
            raise UsageError("--password needs --user: whose password is it?")
        return None
    if arguments.password:
        return Login(arguments.user, settings.secret(arguments.password))
    if sys.stdin.isatty():
        return Login(arguments.user, getpass.getpass(text.say(language, "cameras.ask", user=arguments.user)))
    return Login(arguments.user, sys.stdin.readline().rstrip("\n"))


def read_all(sheets: Sequence[Sheet], login: Login | None, *, deadline_s: float = DEADLINE_S) -> list[Sheet]:
    """Every camera on a thread of its own; one that is not done after `deadline_s` (real seconds) is ``slow``."""
    clock = SystemClock()
    answers: queue.SimpleQueue[tuple[int, Sheet | Exception]] = queue.SimpleQueue()

    def work(number: int) -> None:
        try:
            answers.put((number, reading.read(sheets[number], login, clock)))
        except CameraError as error:
            answers.put((number, replace(sheets[number], failure=error.reason)))
        except Exception as error:  # noqa: BLE001 - told to the caller's thread, which knows what to do with it
            answers.put((number, error))

    for number in range(len(sheets)):
        threading.Thread(target=work, args=(number,), name="camera", daemon=True).start()
    done: dict[int, Sheet] = {}
    until_s = time.monotonic() + deadline_s
    while len(done) < len(sheets):
        try:
            number, answer = answers.get(timeout=max(0.0, until_s - time.monotonic()))
        except queue.Empty:
            break
        if isinstance(answer, Exception):
            raise answer
        done[number] = answer
    return [done.get(number, replace(sheet, failure="slow")) for number, sheet in enumerate(sheets)]
