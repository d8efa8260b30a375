"""`sealwatch doctor`: how a running service is, and what to do about it."""

from __future__ import annotations

import argparse
import contextlib
import json
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sealwatch.base import text
from sealwatch.base.clock import SystemClock
from sealwatch.base.text import Language
from sealwatch.cloud.config import data_dir, load_cloud
from sealwatch.cloud.db.place import open_for_shell
from sealwatch.cloud.doctor import look
from sealwatch.cloud.doctor.judge import Finding, Verdict
from sealwatch.cloud.telemetry.store import open_for_reading

_STYLE: Final = {Verdict.OK: "green", Verdict.WATCH: "yellow", Verdict.WRONG: "bold red"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options; the room is one command."""
    parser.add_argument("--config", type=Path, required=True, metavar="cloud.toml")
    parser.add_argument(
        "--backups", type=Path, metavar="FOLDER", help="where backups lie; then their age is judged too"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    settings, language, clock = load_cloud(arguments.config), text.terminal_language(), SystemClock()
    folder = data_dir(settings, arguments.config)
    with contextlib.ExitStack() as opened:
        database = open_for_shell(settings.database, folder)
        opened.callback(database.close)
        telemetry = open_for_reading(settings.telemetry, folder, clock=clock)
        opened.callback(telemetry.close)
        found = list(
            look.findings(settings, folder, database, telemetry, backups=arguments.backups, now_ms=clock.wall_ms())
        )
    if arguments.json:
        print(json.dumps([_plain(finding) for finding in found], ensure_ascii=False))
    else:
        _show(found, language)
    return 1 if any(finding.verdict is Verdict.WRONG for finding in found) else 0


def sentence(finding: Finding, language: Language) -> str:
    """The finding in words."""
    return text.say(language, f"doctor.{finding.subject}.{finding.reason}", **finding.values)


def _plain(finding: Finding) -> dict[str, object]:
    return {
        "subject": finding.subject,
        "verdict": str(finding.verdict),
        "reason": finding.reason,
        **{f"sentence_{language}": sentence(finding, language) for language in Language},
    }


def _show(found: list[Finding], language: Language) -> None:
    table = Table(title=text.say(language, "doctor.title"))
    for column in ("subject", "verdict", "finding"):
        table.add_column(text.say(language, f"doctor.column.{column}"))
    for finding in found:
        verdict = Text(text.say(language, f"doctor.verdict.{finding.verdict}"), style=_STYLE[finding.verdict])
        table.add_row(text.say(language, f"doctor.subject.{finding.subject}"), verdict, sentence(finding, language))
    Console().print(table)
