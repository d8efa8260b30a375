"""``sealwatch edge replay-power``: the live rules on recorded power."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from sealwatch.base.errors import CommandFailed, UsageError
from sealwatch.contract import messages
from sealwatch.contract.codes import DeclaredStatus, Phase
from sealwatch.edge.config import load_node
from sealwatch.edge.power.analysis import Analyser, Verdict
from sealwatch.edge.power.events import Event
from sealwatch.edge.power.recorded import Rows, read_power
from sealwatch.edge.power.rules.envelope import Permit, permits_of
from sealwatch.edge.power.sentences import power_sentences


@dataclass(frozen=True)
class Circumstances:
    """What the rules know about a site besides its power: see `Analyser`."""

    declared: DeclaredStatus
    permits: tuple[Permit, ...] | None = None
    production_w: tuple[float, ...] = ()


def replay(path: Path, site: Circumstances) -> Iterator[dict[str, Any]]:
    """A line per event and alarm in order of time, and a summary last. Raises UsageError, CommandFailed."""
    declared = site.declared
    rows = Rows()
    analyser: Analyser | None = None
    counts: Counter[str] = Counter()
    first_s = last_s = energy_wh = interval_s = 0.0
    begun_s = time.perf_counter()
    for t_s, power_w, phases_w in read_power(path, rows):
        if analyser is None:
            first_s = float(t_s[0])
            interval_s = float(np.median(np.diff(t_s))) if len(t_s) > 1 else 1.0
            analyser = Analyser(declared, interval_s=interval_s, permits=site.permits, production_w=site.production_w)
        found = analyser.feed(t_s, power_w, phases_w)
        lines = [event_line(e) for e in found.events] + [alarm_line(v) for v in found.verdicts]
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


def alarm_line(verdict: Verdict) -> dict[str, Any]:
    found = verdict.transition
    zh, en = power_sentences(
        verdict.kind,
        found.phase,
        subject=found.subject,
        started_ms=found.started_s * 1000,
        at_ms=found.at_s * 1000,
        numbers=found.numbers,
        declared=verdict.declared,
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
    add_circumstances(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.set_defaults(run=run)


def add_circumstances(parser: argparse.ArgumentParser) -> None:
    """Options that say what the site declared and may do."""
    parser.add_argument("--config", type=Path, help="node.toml: declared_status, and production_w of its first meter")
    parser.add_argument(
        "--declaration",
        type=Path,
        metavar="FILE.json",
        help="declared_status and permits as the service sends them to a node; comes before --config",
    )
    parser.add_argument(
        "--declared",
        choices=[d.value for d in DeclaredStatus],
        help="comes before both; where none is given: power_cut",
    )


def circumstances(arguments: argparse.Namespace) -> Circumstances:
    """What those options say. Raises UsageError."""
    site = Circumstances(DeclaredStatus.POWER_CUT)
    if arguments.config:
        node = load_node(arguments.config)
        production_w = tuple(node.meters[0].production_w) if node.meters else ()
        site = Circumstances(node.declared_status, production_w=production_w)
    if arguments.declaration:
        said = _declaration(arguments.declaration)
        site = replace(site, declared=said.declared_status, permits=tuple(permits_of(said.permits)))
    return replace(site, declared=DeclaredStatus(arguments.declared)) if arguments.declared else site


class _Declaration(msgspec.Struct, frozen=True):
    """The part of a `Declaration` that the rules of the meter look at."""

    declared_status: DeclaredStatus
    permits: list[messages.Permit] = []


def _declaration(path: Path) -> _Declaration:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Declaration)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}; name an existing JSON file") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path}: {error}; it must hold declared_status and permits, as a declaration of the service does"
        ) from None


def run(arguments: argparse.Namespace) -> int:
    """Print every line."""
    for line in replay(arguments.file, circumstances(arguments)):
        if arguments.json:
            sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
        elif line["type"] == "alarm" and line["phase"] != Phase.UPDATE:
            sys.stdout.write(f"{line['level']:6} {line['kind']:17} {line['phase']:5} {line['sentence_zh']}\n")
        elif line["type"] == "summary":
            sys.stdout.write(f"{line['rows']} rows, {line['energy_kwh']} kWh, alarms: {line['alarms'] or 'none'}\n")
    return 0
