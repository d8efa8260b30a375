"""``sealwatch edge replay-power``: the live rules on recorded power."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sealwatch.base.errors import CommandFailed
from sealwatch.contract.codes import DeclaredStatus, Phase
from sealwatch.edge.config import load_node
from sealwatch.edge.power.analysis import Analyser, Verdict
from sealwatch.edge.power.events import Event
from sealwatch.edge.power.recorded import Rows, read_power
from sealwatch.edge.power.sentences import power_sentences


def replay(path: Path, declared: DeclaredStatus) -> Iterator[dict[str, Any]]:
    """A line per event and alarm in order of time, and a summary last. Raises UsageError, CommandFailed."""
    rows = Rows()
    analyser: Analyser | None = None
    counts: Counter[str] = Counter()
    first_s = last_s = energy_wh = interval_s = 0.0
    begun_s = time.perf_counter()
    for t_s, power_w, phases_w in read_power(path, rows):
        if analyser is None:
            first_s = float(t_s[0])
            interval_s = float(np.median(np.diff(t_s))) if len(t_s) > 1 else 1.0
            analyser = Analyser(declared, interval_s=interval_s)
        found = analyser.feed(t_s, power_w, phases_w)
        lines = [event_line(e) for e in found.events] + [alarm_line(v, declared) for v in found.verdicts]
        lines.sort(key=lambda line: line["t_s"])
        for line in lines:
            counts[f"{line['type']}:{line['kind']}:{line['phase']}"] += 1
            yield line
        last_s = float(t_s[-1])
        energy_wh += analyser.energy_wh(t_s, power_w)
    if not rows.taken:
        example = f", such as '{rows.example}'; times are Unix seconds or ISO 8601" if rows.example else ""
        raise CommandFailed(
            f"{path}: no row with a time and a power could be read ({rows.unreadable} unreadable{example})"
        )
    yield {
        "type": "summary",
        "rows": rows.taken,
        "rows_unreadable": rows.unreadable,
        "rows_out_of_order": rows.out_of_order,
        "from_s": first_s,
        "to_s": last_s,
        "interval_s": round(interval_s, 3),
        "energy_kwh": round(energy_wh / 1000, 3),
        "declared": declared.value,
        "events": {k.split(":", 1)[1]: n for k, n in sorted(counts.items()) if k.startswith("event:")},
        "alarms": {k.split(":", 1)[1]: n for k, n in sorted(counts.items()) if k.startswith("alarm:")},
        "analysed_in_s": round(time.perf_counter() - begun_s, 3),
    }


def event_line(event: Event) -> dict[str, Any]:
    return {
        "type": "event",
        "t_s": round(event.t_s, 3),
        "kind": event.kind,
        "phase": event.phase,
        "reason": event.reason,
        "phases": event.phases,
        "numbers": _rounded(event.numbers),
    }


def alarm_line(verdict: Verdict, declared: DeclaredStatus) -> dict[str, Any]:
    found = verdict.transition
    zh, en = power_sentences(
        verdict.kind,
        found.phase,
        subject=found.subject,
        started_ms=found.started_s * 1000,
        at_ms=found.at_s * 1000,
        numbers=found.numbers,
        declared=declared,
    )
    return {
        "type": "alarm",
        "t_s": round(found.at_s, 3),
        "kind": verdict.kind.value,
        "phase": found.phase.value,
        "reason": found.reason,
        "level": verdict.level.value,
        "started_s": round(found.started_s, 3),
        "score": round(found.score, 3),
        "numbers": _rounded(found.numbers),
        "sentence_zh": zh,
        "sentence_en": en,
    }


def _rounded(numbers: Any) -> dict[str, float]:
    return {name: round(float(value), 3) for name, value in numbers.items()}


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of ``sealwatch edge replay-power``."""
    parser.add_argument(
        "file", type=Path, metavar="FILE.csv", help="columns t (Unix seconds or ISO 8601), active_power_w"
    )
    parser.add_argument("--config", type=Path, help="node.toml: what the site declares")
    parser.add_argument(
        "--declared", choices=[d.value for d in DeclaredStatus], help="instead of --config (default: power_cut)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print every line."""
    declared = DeclaredStatus.POWER_CUT
    if arguments.config:
        declared = load_node(arguments.config).declared_status
    if arguments.declared:
        declared = DeclaredStatus(arguments.declared)
    for line in replay(arguments.file, declared):
        if arguments.json:
            sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
        elif line["type"] == "alarm" and line["phase"] != Phase.UPDATE:
            sys.stdout.write(f"{line['level']:6} {line['kind']:17} {line['phase']:5} {line['sentence_zh']}\n")
        elif line["type"] == "summary":
            sys.stdout.write(f"{line['rows']} rows, {line['energy_kwh']} kWh, alarms: {line['alarms'] or 'none'}\n")
    return 0
