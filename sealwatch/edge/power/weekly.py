"""``sealwatch edge profile FILE.csv --html out.html``: a site's weeks as a picture, with what was recognised."""

from __future__ import annotations

import argparse
import html
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from sealwatch.base import text
from sealwatch.base.errors import CommandFailed, UsageError
from sealwatch.contract.codes import DeclaredStatus, Level, Phase
from sealwatch.edge.config import load_node
from sealwatch.edge.power.edges import Array
from sealwatch.edge.power.recorded import Rows, read_power
from sealwatch.edge.power.replay import replay
from sealwatch.edge.power.sentences import CHINA, kilowatts

_DAY_S = 86400
_BINS_S = (120, 300, 900, 3600)
_OFFSET_S = 8 * 3600
_WIDTH, _HEIGHT, _LEFT = 960, 64, 96
_LONGEST_DAYS = 400
_COLOURS = {Level.RED: "#c62828", Level.ORANGE: "#ef6c00", Level.YELLOW: "#f9a825", Level.BLUE: "#1565c0"}
_STYLE = (
    "body{font:14px/1.5 'Noto Sans CJK SC','Microsoft YaHei',sans-serif;margin:24px;max-width:1100px;color:#222}"
    "h1{font-size:20px}.e{color:#666}svg{display:block}li{margin:4px 0}"
)


def by_day(path: Path) -> dict[int, Array]:
    """Highest power (W) of every two minutes (or longer, for slow meters) of each day (UTC+8); NaN: not recorded."""
    days: dict[int, Array] = {}
    bin_s = 0
    for t_s, power_w, _ in read_power(path, Rows()):
        if not bin_s:
            interval_s = float(np.median(np.diff(t_s))) if len(t_s) > 1 else 1.0
            bin_s = next((b for b in _BINS_S if b >= interval_s), _BINS_S[-1])
        slots = ((t_s + _OFFSET_S) // bin_s).astype(np.int64)
        firsts = np.flatnonzero(np.diff(slots, prepend=slots[0] - 1))
        for slot, peak in zip(slots[firsts], np.maximum.reduceat(power_w, firsts), strict=True):
            day, place = divmod(int(slot), _DAY_S // bin_s)
            row = days.setdefault(day, np.full(_DAY_S // bin_s, np.nan))
            row[place] = np.fmax(row[place], peak)
        if len(days) > _LONGEST_DAYS:
            raise UsageError(f"{path}: more than {_LONGEST_DAYS} days; give a shorter recording")
    return days


def page(days: dict[int, Array], lines: list[dict[str, Any]]) -> str:
    """The page: one strip a day, alarms as coloured bars under the curve, sentences below."""
    top = max(float(np.nanmax(row)) for row in days.values()) or 1.0
    alarms = _spans([line for line in lines if line["type"] == "alarm"])
    summary = lines[-1]
    strips = "".join(_strip(day, row, top, alarms) for day, row in sorted(days.items()))
    said = {
        language: text.say(
            language,
            "power.page.summary",
            days=len(days),
            kwh=f"{summary['energy_kwh']:.0f}",
            kw=kilowatts(top),
            alarms=len(alarms),
        )
        for language in ("zh", "en")
    }
    items = "".join(
        f"<li><b style='color:{_COLOURS[Level(a['level'])]}'>●</b> {_moment(a['started_s'])} "
        f"{html.escape(a['sentence_zh'])}<br><span class=e>{html.escape(a['sentence_en'])}</span></li>"
        for a in alarms
    )
    if not items:
        items = f"<li>{text.say('zh', 'power.page.none')} <span class=e>{text.say('en', 'power.page.none')}</span></li>"
    title = f"{text.say('zh', 'power.page.title')} · {text.say('en', 'power.page.title')}"
    return (
        f"<!doctype html><html lang=zh><meta charset=utf-8><title>{title}</title><style>{_STYLE}</style>"
        f"<h1>{title}</h1><p>{said['zh']}<br><span class=e>{said['en']}</span></p>{strips}<ul>{items}</ul></html>\n"
    )


def _spans(alarms: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One entry per alarm with its last sentence and its end."""
    spans: dict[tuple[str, float], dict[str, Any]] = {}
    for line in alarms:
        entry = spans.setdefault((line["kind"], line["started_s"]), dict(line))
        entry |= {"to_s": line["t_s"], "sentence_zh": line["sentence_zh"], "sentence_en": line["sentence_en"]}
        entry["open"] = line["phase"] != Phase.END
    return sorted(spans.values(), key=lambda a: a["started_s"])


def _strip(day: int, row: Array, top: float, alarms: list[dict[str, Any]]) -> str:
    x = _LEFT + np.arange(len(row)) * (_WIDTH - _LEFT) / len(row)
    y = _HEIGHT - 14 - (_HEIGHT - 20) * np.clip(np.nan_to_num(row), 0, None) / top
    runs, begin = [], None
    for k, known in enumerate([*np.isfinite(row).tolist(), False]):
        if known and begin is None:
            begin = k
        elif not known and begin is not None:
            points = " ".join(f"{x[i]:.1f},{y[i]:.1f}" for i in (range(begin, k) if k - begin > 1 else (begin, begin)))
            runs.append(f"<polyline points='{points}' fill=none stroke='#37474f' stroke-width=1 />")
            begin = None
    start_s = day * _DAY_S - _OFFSET_S
    bars = []
    for alarm in alarms:
        low, high = max(alarm["started_s"], start_s), min(alarm["to_s"], start_s + _DAY_S)
        if low < high:
            left, right = (_LEFT + (s - start_s) / _DAY_S * (_WIDTH - _LEFT) for s in (low, high))
            colour = _COLOURS[Level(alarm["level"])]
            bars.append(
                f"<rect x={left:.1f} y={_HEIGHT - 11} width={max(2.0, right - left):.1f} height=6 fill='{colour}' />"
            )
    name = datetime.fromtimestamp(start_s, UTC).astimezone(CHINA).strftime("%m-%d %a")
    ticks = "".join(_tick(hour) for hour in range(0, 24, 3))
    label = f"<text x=4 y=34 font-size=12>{name}</text>"
    return f"<svg width={_WIDTH} height={_HEIGHT} role=img>{ticks}{label}{''.join(runs)}{''.join(bars)}</svg>"


def _tick(hour: int) -> str:
    x = _LEFT + hour * (_WIDTH - _LEFT) / 24
    line = f"<line x1={x:.1f} x2={x:.1f} y1=4 y2={_HEIGHT - 12} stroke='#eceff1' />"
    return f"{line}<text x={x + 2:.1f} y=12 font-size=9 fill='#90a4ae'>{hour:02d}</text>"


def _moment(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).astimezone(CHINA).strftime("%m-%d %H:%M")


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of ``sealwatch edge profile``."""
    parser.add_argument(
        "file", type=Path, metavar="FILE.csv", help="columns t (Unix seconds or ISO 8601), active_power_w"
    )
    parser.add_argument("--html", type=Path, required=True, metavar="OUT.html")
    parser.add_argument("--config", type=Path, help="node.toml: what the site declares")
    parser.add_argument("--declared", choices=[d.value for d in DeclaredStatus])
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the page."""
    declared = load_node(arguments.config).declared_status if arguments.config else DeclaredStatus.POWER_CUT
    if arguments.declared:
        declared = DeclaredStatus(arguments.declared)
    lines = [line for line in replay(arguments.file, declared) if line["type"] != "event"]
    days = by_day(arguments.file)
    try:
        arguments.html.write_text(page(days, lines), encoding="utf-8")
    except OSError as error:
        raise CommandFailed(f"{arguments.html}: cannot be written: {error.strerror}") from None
    sys.stdout.write(f"{arguments.html}: {len(days)} days\n")
    return 0
