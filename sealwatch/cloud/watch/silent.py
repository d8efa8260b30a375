"""Who says nothing any more, and how bad that is by now: pure.

A node's silence grows by grades. The first is a note: the alarm is recorded and found, it opens no incident, because
mobile links drop for minutes every day. Then it is yellow, then orange: cutting the power or the link is a known way
to blind a site, and the sooner the less reason the site has to use either.

    declared                     note     yellow    orange      over a wired link: half of each but the note
    power_cut, flooded           5 min    20 min     60 min
    drainage_only, guard_hut     5 min    30 min    120 min
    permitted_work               5 min    60 min    240 min

Silence is counted from the node's last word, but only while the service itself listens: after a start, and after the
broker was away, nodes get `OVERDUE_S` to say something.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sealwatch.cloud.incidents.fuse import NODE_SILENT, SOURCE_SILENT
from sealwatch.contract.codes import DeclaredStatus, Level

OVERDUE_S: Final = 660.0
"""A node says how it is every five minutes: two missed words and a minute."""
SOURCE_STALE_S: Final = 900.0
"""A camera or meter whose evidence is older, by the node's own word, though the node lives."""
_NOTE_MIN: Final = 5.0
_DEAD: Final = (20.0, 60.0)
_LIVING: Final = (30.0, 120.0)
_MINUTES: Final[Mapping[DeclaredStatus, tuple[float, float]]] = {
    DeclaredStatus.POWER_CUT: _DEAD,
    DeclaredStatus.FLOODED: _DEAD,
    DeclaredStatus.DRAINAGE_ONLY: _LIVING,
    DeclaredStatus.GUARD_HUT_ONLY: _LIVING,
    DeclaredStatus.PERMITTED_WORK: (60.0, 240.0),
}
_WIRED: Final = 0.5
_SOURCES: Final = frozenset({"camera", "meter"})


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSeen:
    """A node's last word. `heard_ms` None: it has never said anything, which is for who installs it to mend."""

    node_id: str
    site_id: str
    declared: DeclaredStatus
    mobile: bool
    offline: bool  # the broker said so
    heard_ms: int | None
    status: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Grade:
    """How bad a silence is. `noted`: it is recorded and opens no incident yet."""

    level: Level
    noted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Silent:
    """Something that says nothing: a node, or (`source_id`) a camera or meter of a node that lives."""

    node_id: str
    site_id: str
    source_id: str
    kind: str
    since_ms: int
    grade: Grade


def look(nodes: Sequence[NodeSeen], *, now_ms: int, listening_ms: int) -> list[Silent]:
    """Everything that is silent at `now_ms`. `listening_ms`: since when the service has heard without a break."""
    found: list[Silent] = []
    for node in nodes:
        if node.heard_ms is None:
            continue
        heard_ms = max(node.heard_ms, min(listening_ms, now_ms))
        silent = node.offline or now_ms - heard_ms > OVERDUE_S * 1000
        if not silent:
            found += _sources(node)
            continue
        grade = grade_of((now_ms - node.heard_ms) / 60_000, node.declared, mobile=node.mobile)
        if grade is not None:
            found.append(
                Silent(
                    node_id=node.node_id,
                    site_id=node.site_id,
                    source_id=node.node_id,
                    kind=NODE_SILENT,
                    since_ms=node.heard_ms,
                    grade=grade,
                )
            )
    return found


def grade_of(minutes: float, declared: DeclaredStatus, *, mobile: bool) -> Grade | None:
    """The grade of a node's silence; None: too short to speak of."""
    yellow, orange = (limit if mobile else limit * _WIRED for limit in _MINUTES[declared])
    if minutes >= orange:
        return Grade(Level.ORANGE, noted=False)
    if minutes >= yellow:
        return Grade(Level.YELLOW, noted=False)
    return Grade(Level.BLUE, noted=True) if minutes >= _NOTE_MIN else None


def _sources(node: NodeSeen) -> list[Silent]:
    """Cameras and meters that have proved nothing for too long, by the node's own clock and last word."""
    status = node.status or {}
    said_ms, found = status.get("reported_at_ms"), []
    for part in status.get("parts", ()):
        at_ms = part.get("evidence_at_ms")
        if part.get("kind") not in _SOURCES or at_ms is None or said_ms is None:
            continue
        if said_ms - at_ms > SOURCE_STALE_S * 1000:
            found.append(
                Silent(
                    node_id=node.node_id,
                    site_id=node.site_id,
                    source_id=part["part_id"],
                    kind=SOURCE_SILENT,
                    since_ms=at_ms,
                    grade=Grade(Level.YELLOW, noted=False),
                )
            )
    return found
