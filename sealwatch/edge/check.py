"""`sealwatch edge check`: is everything there that this node needs, and if not, what has to be done?

Every probe runs on a thread of its own and none is waited for longer than `DEADLINE_S`: a camera or meter that is dead,
or a library that hangs on it, costs a line in the table and not the answer.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sealwatch.base import text
from sealwatch.base.text import Language
from sealwatch.edge import probes
from sealwatch.edge.config import NodeSettings
from sealwatch.edge.probes import Found

DEADLINE_S: Final = 8.5

State = Literal["good", "attention", "wrong"]
_ATTENTION: Final = {
    ("clock", "never_synchronised"),
    ("clock", "source_away"),
    ("clock", "kernel_says_nothing"),
    ("disk", "slow"),
    ("outbox", "refused"),
}
_MARKS: Final[dict[State, tuple[str, str]]] = {
    "good": ("✓", "green"),
    "attention": ("!", "yellow"),
    "wrong": ("✗", "red"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one probe came to. `subject` is camera, meter, model, disk, outbox, key, clock or broker."""

    subject: str
    name: str
    reason: str
    ok: bool
    seconds: float
    values: dict[str, str] = field(default_factory=dict)

    @property
    def state(self) -> State:
        """`attention` is worth knowing and no reason to fail."""
        if self.ok:
            return "good"
        return "attention" if (self.subject, self.reason) in _ATTENTION else "wrong"

    def sentence(self, language: Language) -> str:
        """What was found and, where it is wrong, what to do."""
        key = f"edge.check.{self.subject}.{self.reason}"
        if key not in text.catalogue():
            key = f"edge.check.{self.subject}.other"
        return text.say(language, key, **{"reason": self.reason, "detail": "", **self.values})


@dataclass(frozen=True, slots=True)
class Probe:
    """Something to be tried. Probes that share a `line` are tried one after the other (meters behind one converter)."""

    subject: str
    name: str
    look: Callable[[], Found]
    line: str = ""


def check_node(node: NodeSettings, path: Path, *, deadline_s: float = DEADLINE_S) -> list[Finding]:
    """Try everything a node is told to use. Answers within `deadline_s` (real seconds), whatever hangs."""
    return try_all(probes_of(node, path), deadline_s=deadline_s)


def probes_of(node: NodeSettings, path: Path) -> list[Probe]:
    """What there is to be tried, in the order of the table."""
    bus = probes.MeterLines()
    wanted = [Probe("camera", c.camera_id, lambda c=c: probes.camera(c)) for c in node.cameras]  # type: ignore[misc]  # mypy cannot infer a lambda with a bound default
    wanted += [Probe("meter", m.meter_id, lambda m=m: bus.read(m), line=m.url) for m in node.meters]  # type: ignore[misc]  # the same
    if node.cameras:
        wanted.append(Probe("model", "", probes.model))
    wanted += [
        Probe("disk", "", lambda: probes.disk(node, path)),
        Probe("outbox", "", lambda: probes.outbox(node, path)),
        Probe("key", "", lambda: probes.key(node, path)),
        Probe("clock", "", probes.clock),
        Probe("broker", "", lambda: probes.broker(node)),
    ]
    return wanted


def try_all(wanted: Sequence[Probe], *, deadline_s: float) -> list[Finding]:
    """Every probe on threads of their own; one that does not answer in time is found `no_answer`."""
    began_s = time.monotonic()
    answers: queue.SimpleQueue[tuple[int, Finding]] = queue.SimpleQueue()
    lines: dict[str, list[int]] = {}
    for number, probe in enumerate(wanted):
        lines.setdefault(probe.line or f"#{number}", []).append(number)

    def work(numbers: list[int]) -> None:
        for number in numbers:
            answers.put((number, _try(wanted[number])))

    for numbers in lines.values():
        threading.Thread(target=work, args=(numbers,), name="probe", daemon=True).start()
    found: dict[int, Finding] = {}
    while len(found) < len(wanted):
        left_s = deadline_s - (time.monotonic() - began_s)
        try:
            number, finding = answers.get(timeout=max(0.0, left_s))
        except queue.Empty:
            break
        found[number] = finding
    return [found.get(n) or _unanswered(probe, deadline_s) for n, probe in enumerate(wanted)]


def _try(probe: Probe) -> Finding:
    began_s = time.monotonic()
    try:
        seen = probe.look()
    except Exception as error:  # noqa: BLE001 - the edge of foreign code: what a library does is a line in the table
        seen = Found(ok=False, reason="broke", values={"detail": f"{type(error).__name__}: {error}"})
    return Finding(
        subject=probe.subject,
        name=probe.name,
        reason=seen.reason,
        ok=seen.ok,
        seconds=time.monotonic() - began_s,
        values=seen.values,
    )


def _unanswered(probe: Probe, deadline_s: float) -> Finding:
    return Finding(
        subject=probe.subject,
        name=probe.name,
        reason="no_answer",
        ok=False,
        seconds=deadline_s,
        values={"seconds": f"{deadline_s:.0f}"},
    )


def passed(findings: Sequence[Finding]) -> bool:
    """Whether nothing is wrong."""
    return all(finding.state != "wrong" for finding in findings)


def as_json(findings: Sequence[Finding]) -> str:
    """One JSON document: `ok`, and each finding with its sentences in both languages."""
    return json.dumps(
        {
            "ok": passed(findings),
            "findings": [
                {
                    "subject": finding.subject,
                    "name": finding.name,
                    "state": finding.state,
                    "reason": finding.reason,
                    "seconds": round(finding.seconds, 3),
                    "values": finding.values,
                    "sentence_zh": finding.sentence(Language.ZH),
                    "sentence_en": finding.sentence(Language.EN),
                }
                for finding in findings
            ],
        },
        ensure_ascii=False,
        indent=2,
    )


def print_table(findings: Sequence[Finding], language: Language, console: Console | None = None) -> None:
    """The table for people, and one line that says how it stands. Colours only on a terminal."""
    out = console or Console()
    table = Table(title=text.say(language, "edge.check.title"), title_justify="left", show_lines=False)
    for column in ("what", "state", "finding"):
        table.add_column(text.say(language, f"edge.check.column_{column}"), overflow="fold")
    for finding in findings:
        mark, colour = _MARKS[finding.state]
        subject = text.say(language, f"edge.check.subject_{finding.subject}")
        table.add_row(
            f"{subject} {finding.name}".strip(),
            Text(f"{mark} {text.say(language, f'edge.check.state_{finding.state}')}", style=colour),
            finding.sentence(language),
        )
    out.print(table)
    wrong = sum(finding.state == "wrong" for finding in findings)
    out.print(text.say(language, "edge.check.all_good" if not wrong else "edge.check.some_wrong", count=wrong))
