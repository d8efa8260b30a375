"""``sealwatch edge profile FILE.csv --html out.html``: a site's weeks as a picture, with what was recognised."""

from __future__ import annotations

import argparse
import html
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from sealwatch.base import text
from sealwatch.base.errors import CommandFailed, UsageError
from sealwatch.contract.codes import Level
from sealwatch.edge.power.recorded import Rows, read_power
from sealwatch.edge.power.replay import add_circumstances, circumstances, replay
from sealwatch.edge.power.sentences import CHINA, kilowatts
from sealwatch.edge.power.strips import (
    ALARM_COLOURS,
    DAY_S,
    EVENT_COLOURS,
    LONGEST_DAYS,
    Span,
    Strip,
    collect,
    draw,
)

_STYLE = (
    "body{font:14px/1.5 'Noto Sans CJK SC','Microsoft YaHei',sans-serif;margin:24px;max-width:1100px;color:#222}"
    "h1{font-size:20px}.e{color:#666}svg{display:block}li{margin:4px 0}.k{display:inline-block;width:14px;height:8px;"
    "margin:0 6px 0 18px}.g{stroke:#e4e8ea}.c{fill:none;stroke:#37474f;stroke-width:1}text{font-size:11px;fill:#607d8b}"
    ".r{text-anchor:end}.d{font-size:12px;fill:#222}"
)


def page(strips: Sequence[Strip], lines: Sequence[dict[str, Any]]) -> str:
    """The page: strips with their scale, a legend, and the sentence of every alarm in both languages."""
    alarms = _alarms(lines)
    drawn = draw(
        strips,
        [
            Span(a["started_s"], a["to_s"], ALARM_COLOURS[Level(a["level"])], html.escape(a["sentence_zh"]))
            for a in alarms
        ],
        _events(lines),
    )
    items = "".join(
        f"<li><b style='color:{ALARM_COLOURS[Level(a['level'])]}'>●</b> {_moment(a['started_s'])} "
        f"{html.escape(a['sentence_zh'])}<br><span class=e>{html.escape(a['sentence_en'])}</span></li>"
        for a in alarms
    )
    items = items or f"<li>{_both('none')}</li>"
    title = f"{text.say('zh', 'power.page.title')} · {text.say('en', 'power.page.title')}"
    zh, en = (_summary(language, strips, lines[-1], len(alarms)) for language in ("zh", "en"))
    return (
        f"<!doctype html><html lang=zh><meta charset=utf-8><title>{title}</title><style>{_STYLE}</style>"
        f"<h1>{title}</h1><p>{zh}<br><span class=e>{en}</span></p><p>{_legend()}</p>{drawn}"
        f"<ul>{items}</ul></html>\n"
    )


def _summary(language: str, strips: Sequence[Strip], summary: dict[str, Any], alarms: int) -> str:
    span_s = summary["to_s"] - summary["from_s"]
    long = span_s >= DAY_S
    amount = f"{span_s / DAY_S:.0f}" if long else f"{span_s / 3600:.1f}"
    return text.say(
        language,
        "power.page.summary",
        span=text.say(language, f"power.page.{'days' if long else 'hours'}", n=amount),
        kwh=f"{summary['energy_kwh']:.0f}" if abs(summary["energy_kwh"]) >= 10 else f"{summary['energy_kwh']:.2f}",
        kw=kilowatts(max(float(np.nanmax(strip.high_w)) for strip in strips)),
        alarms=alarms,
    )


def _legend() -> str:
    """What the colours of the lanes mean."""
    kinds = [(colour, _both(kind)) for kind, colour in EVENT_COLOURS.items()]
    levels = [(colour, f"{_both('alarm')} {_both(level.value)}") for level, colour in ALARM_COLOURS.items()]
    return "".join(f"<span class=k style='background:{colour}'></span>{name}" for colour, name in [*kinds, *levels])


def _both(key: str) -> str:
    return f"{text.say('zh', f'power.page.{key}')} <span class=e>{text.say('en', f'power.page.{key}')}</span>"


def _events(lines: Sequence[dict[str, Any]]) -> list[Span]:
    """What was recognised and is over; what still went on in the end reaches to it."""
    open_ones: dict[str, dict[str, Any]] = {}
    spans = []
    for line in lines:
        if line["type"] == "event" and line["kind"] in EVENT_COLOURS:
            if line["phase"] == "start":
                open_ones[line["kind"]] = line
            else:
                open_ones.pop(line["kind"], None)
                spans.append(_event(line, line["t_s"]))
    return spans + [_event(line, lines[-1]["to_s"]) for line in open_ones.values()]


def _event(line: dict[str, Any], to_s: float) -> Span:
    numbers = line["numbers"]
    started_s = numbers.get("started_s", line["t_s"] - numbers.get("over_s", 0.0))
    size_w = numbers.get("size_w", numbers.get("change_w", 0.0))
    return Span(started_s, to_s, EVENT_COLOURS[line["kind"]], f"{size_w / 1000:.1f} kW")


def _alarms(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One entry per alarm with its last sentence and its end."""
    spans: dict[tuple[str, float], dict[str, Any]] = {}
    for line in lines:
        if line["type"] != "alarm":
            continue
        entry = spans.setdefault((line["kind"], line["started_s"]), dict(line))
        entry |= {"to_s": line["t_s"], "sentence_zh": line["sentence_zh"], "sentence_en": line["sentence_en"]}
    return sorted(spans.values(), key=lambda a: a["started_s"])


def _moment(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).astimezone(CHINA).strftime("%m-%d %H:%M")


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of ``sealwatch edge profile``."""
    parser.add_argument(
        "file", type=Path, metavar="FILE.csv", help="columns t (Unix seconds or ISO 8601), active_power_w"
    )
    parser.add_argument("--html", type=Path, required=True, metavar="OUT.html")
    add_circumstances(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the page."""
    site = circumstances(arguments)
    lines = [line for line in replay(arguments.file, site) if line.get("kind") != "step"]
    summary = lines[-1]
    if summary["to_s"] - summary["from_s"] > LONGEST_DAYS * DAY_S:
        raise UsageError(f"{arguments.file}: more than {LONGEST_DAYS} days; give a shorter recording")
    strips = collect(
        read_power(arguments.file, Rows()),
        from_s=summary["from_s"],
        to_s=summary["to_s"],
        interval_s=summary["interval_s"],
    )
    try:
        arguments.html.write_text(page(strips, lines), encoding="utf-8")
    except OSError as error:
        raise CommandFailed(f"{arguments.html}: cannot be written: {error.strerror}") from None
    sys.stdout.write(f"{arguments.html}: {_summary('en', strips, summary, len(_alarms(lines)))}\n")
    return 0
