"""What was found, for people and for programs, and the lines for node.toml. No user's password is known here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import tomlkit
from rich.console import Console
from rich.table import Table

from sealwatch.base import text
from sealwatch.base.text import Language
from sealwatch.edge.cameras.advice import Choice, advise, choose
from sealwatch.edge.cameras.sheet import Profile, Sheet


def camera_ids(sheets: Sequence[Sheet]) -> list[str]:
    """An id for each camera: the last part of its address, or a number where two would be the same."""
    plain = [f"cam-{sheet.host.rpartition('.')[2].replace(':', '-').strip('-')}" for sheet in sheets]
    return [one if plain.count(one) == 1 else f"{one}-{number}" for number, one in enumerate(plain, start=1)]


def table_of(camera_id: str, profile: Profile, username: str) -> str:
    """The ``[[cameras]]`` table of a stream: the password by reference, never itself."""
    table = tomlkit.table()
    table.add("camera_id", camera_id)
    table.add("source", profile.uri)
    if username:
        table.add("username", username)
        table.add("password", f"file:/etc/sealwatch/{camera_id}.password")
    cameras = tomlkit.aot()
    cameras.append(table)
    document = tomlkit.document()
    document.add("cameras", cameras)
    return tomlkit.dumps(document).strip()


def as_json(sheets: Sequence[Sheet], username: str) -> str:
    """One JSON document: each camera with its streams, the choice and the advice, sentences in both languages."""

    def said(finding: Any) -> dict[str, Any]:
        return {
            "reason": finding.reason,
            "values": dict(finding.values),
            **{f"sentence_{language.value}": finding.sentence(language) for language in Language},
        }

    found = []
    for camera_id, sheet in zip(camera_ids(sheets), sheets, strict=True):
        choice = choose(sheet.profiles)
        taken = _taken(sheet, choice)
        found.append(
            {
                **asdict(sheet),
                "camera_id": camera_id,
                "choice": None if choice is None else {"token": choice.token, "why": said(choice.why)},
                "others": {} if choice is None else {token: said(one) for token, one in choice.others.items()},
                "advice": [said(finding) for finding in advise(sheet)],
                "toml": table_of(camera_id, taken, username) if taken else "",
            }
        )
    return json.dumps({"cameras": found}, ensure_ascii=False, indent=2)


def print_tables(sheets: Sequence[Sheet], username: str, language: Language, console: Console | None = None) -> None:
    """The table of cameras, one of streams for each that was read, what to change, and the lines for node.toml."""
    out = console or Console()
    out.print(_cameras(sheets, language))
    ready = []
    for camera_id, sheet in zip(camera_ids(sheets), sheets, strict=True):
        choice = choose(sheet.profiles)
        if sheet.profiles:
            out.print(_streams(sheet, choice, language))
        if choice is not None:
            out.print("  ✓ " + choice.why.sentence(language), markup=False)
        advice = advise(sheet)
        for finding in advice:
            out.print(f"  ! {sheet.host}: {finding.sentence(language)}", markup=False)
        if sheet.profiles and not advice:
            out.print("  " + text.say(language, "cameras.all_good", camera=sheet.host), markup=False)
        taken = _taken(sheet, choice)
        if taken is not None:
            ready.append((camera_id, taken))
    if ready:
        out.print("\n" + text.say(language, "cameras.config"), markup=False)
        for camera_id, profile in ready:
            out.print(f"\n{table_of(camera_id, profile, username)}", markup=False, highlight=False, soft_wrap=True)
        if username:
            out.print("")
        for camera_id, _ in ready if username else ():
            line = f"sudo install -m 600 -o sealwatch /dev/stdin /etc/sealwatch/{camera_id}.password"
            out.print(line, markup=False, highlight=False, soft_wrap=True)
    elif not username and not all(sheet.failure for sheet in sheets):
        out.print(text.say(language, "cameras.log_in"), markup=False)


def _taken(sheet: Sheet, choice: Choice | None) -> Profile | None:
    return next((one for one in sheet.profiles if choice is not None and one.token == choice.token), None)


def _cameras(sheets: Sequence[Sheet], language: Language) -> Table:
    table = Table(title=text.say(language, "cameras.title"), title_justify="left")
    for column in ("address", "maker", "model", "serial", "clock", "state"):
        table.add_column(text.say(language, f"cameras.column.{column}"), overflow="fold")
    for sheet in sheets:
        offset = "–" if sheet.clock_offset_s is None else f"{sheet.clock_offset_s:+.0f}"
        state = sheet.failure or ("read" if sheet.profiles else "found")
        row = (sheet.host, sheet.maker, sheet.model, sheet.serial or "–", offset)
        table.add_row(*map(_plain, row), text.say(language, f"cameras.state.{state}"))
    return table


def _streams(sheet: Sheet, choice: Choice | None, language: Language) -> Table:
    camera = f"{sheet.host} {sheet.maker} {sheet.model}".strip()
    table = Table(title=_plain(text.say(language, "cameras.streams", camera=camera)), title_justify="left")
    for column in ("stream", "codec", "size", "fps", "rate", "key", "uri", "advice"):
        table.add_column(text.say(language, f"cameras.column.{column}"), overflow="fold")
    for one in sheet.profiles:
        taken = choice is not None and one.token == choice.token
        other = choice.others.get(one.token) if choice is not None else None
        advice = text.say(language, "cameras.yes") if taken else other.sentence(language) if other else ""
        table.add_row(
            _plain(one.name or one.token),
            one.codec.replace("H26", "H.26"),
            f"{one.width}×{one.height}" if one.pixels else "–",
            f"{one.fps:g}" if one.fps else "–",
            str(one.bit_rate_kbps or "–"),
            f"{one.key_interval_s:.1f}" if one.key_interval_s else "–",
            _plain(one.uri),
            advice,
        )
    return table


def _plain(said: str) -> str:
    """A camera's own words are no markup."""
    return said.replace("[", r"\[")
