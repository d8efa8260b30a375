"""From alarms to an incident: a pure decision with a named reason.

`RULES` is the whole knowledge, strongest first: the first rule whose conditions hold gives level, verdict and reason.
An incident's level only rises while it is open; a person brings it down by closing it.

Decision.reason
  opened                        the site had no open incident
  joined, changed, ended        nothing new for the people who have it
  level_raised                  it is worse than what was paged or answered for: page (again)
  acknowledgement_too_old       a new alarm long after the answer: page again
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from sealwatch.cloud.incidents import states
from sealwatch.cloud.incidents.states import Event, State
from sealwatch.contract.codes import AlarmKind, DeclaredStatus, Level, Phase

ACKNOWLEDGEMENT_HOLDS_S: Final = 4 * 3600
"""A person who took an incident on answers for what happens in this time after their last step. Without an end, one
forgotten closing would silence a site for ever."""

OVERSTAY: Final = "permit_overstay"
"""What is still there after its permit's end: the service's own fact, beside that of the alarm."""
NODE_SILENT: Final = "node_silent"
SOURCE_SILENT: Final = "source_silent"
OWN_KINDS: Final = frozenset({OVERSTAY, NODE_SILENT, SOURCE_SILENT})
"""Kinds of fact that no node sends."""

_PERSON: Final = frozenset({AlarmKind.PERSON, AlarmKind.COUNT})
_HOIST_LIKE: Final = frozenset({AlarmKind.HOIST_LIKE_CYCLE, AlarmKind.EQUIPMENT})
_POWER: Final = frozenset({AlarmKind.POWER_STEP, AlarmKind.POWER_ANOMALY, AlarmKind.HOIST_LIKE_CYCLE})
_DEAD: Final = frozenset({DeclaredStatus.POWER_CUT, DeclaredStatus.FLOODED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One alarm, or several of the same kind and level, as far as the decision needs them.

    `explained`: it was set aside (announced work). It makes no incident by itself, but it counts beside one that
    nothing explains: announced people, and a hoist that nobody has announced.
    """

    kind: str
    level: Level
    standing: bool
    explained: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenIncident:
    """The site's open incident."""

    state: State
    level: Level
    verdict: str
    reason: str
    progress_at_ms: int | None  # when a person last did something


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Holds where every group of `kinds` has an alarm in the incident (a standing one for `standing`).

    `level` None takes the node's own view of the alarms of the first group, but nothing above `at_most`.
    """

    reason: str
    verdict: str
    level: Level | None
    kinds: tuple[Collection[str], ...]
    standing: Collection[str] = ()
    declared: Collection[str] | None = None
    at_most: Level = Level.RED


RULES: Final = (
    Rule(
        reason="person_with_hoist_like_power",
        verdict="suspected_illegal_production",
        level=Level.RED,
        kinds=(_PERSON, _HOIST_LIKE),
    ),
    Rule(
        reason="hoist_like_power_at_dead_site",
        verdict="hoist_like_power_at_dead_site",
        level=Level.RED,
        kinds=(_HOIST_LIKE,),
        declared=_DEAD,
    ),
    Rule(
        reason="power_without_picture",
        verdict="power_without_picture",
        level=Level.ORANGE,
        kinds=(_POWER,),
        standing=(AlarmKind.CAMERA_FAULT,),
    ),
    Rule(reason="permit_overstay", verdict="permit_overstay", level=Level.ORANGE, kinds=({OVERSTAY},)),
    Rule(reason="hoist_like_power", verdict="hoist_like_power", level=Level.ORANGE, kinds=(_HOIST_LIKE,)),
    Rule(reason="person_seen", verdict="person_present", level=Level.ORANGE, kinds=(_PERSON,)),
    Rule(reason="picture_not_live", verdict="picture_not_live", level=Level.ORANGE, kinds=({AlarmKind.LIVENESS},)),
    Rule(
        reason="surroundings_changed",
        verdict="surroundings_changed",
        level=Level.ORANGE,
        kinds=({AlarmKind.SCENE_CHANGE},),
    ),
    Rule(
        reason="input_reported",
        verdict="input_alarm",
        level=None,
        kinds=({AlarmKind.INPUT},),
    ),
    Rule(reason="vehicle_seen", verdict="vehicle_present", level=Level.YELLOW, kinds=({AlarmKind.VEHICLE},)),
    Rule(reason="power_step", verdict="power_step", level=Level.YELLOW, kinds=({AlarmKind.POWER_STEP},)),
    Rule(reason="power_unusual", verdict="power_anomaly", level=Level.YELLOW, kinds=({AlarmKind.POWER_ANOMALY},)),
    Rule(
        reason="camera_fault",
        verdict="camera_fault",
        level=None,
        kinds=({AlarmKind.CAMERA_FAULT},),
        at_most=Level.YELLOW,
    ),
    Rule(
        reason="meter_fault", verdict="meter_fault", level=None, kinds=({AlarmKind.METER_FAULT},), at_most=Level.YELLOW
    ),
    Rule(reason="node_silent", verdict="node_silent", level=None, kinds=({NODE_SILENT},), at_most=Level.ORANGE),
    Rule(reason="source_silent", verdict="source_silent", level=None, kinds=({SOURCE_SILENT},), at_most=Level.YELLOW),
    Rule(reason="node_fault", verdict="node_fault", level=None, kinds=({AlarmKind.NODE_FAULT},), at_most=Level.YELLOW),
    Rule(reason="disarmed", verdict="disarmed", level=Level.YELLOW, kinds=({AlarmKind.DISARMED},)),
    Rule(
        reason="seen_while_disarmed",
        verdict="seen_while_disarmed",
        level=Level.BLUE,
        kinds=({AlarmKind.WHILE_DISARMED},),
    ),
    Rule(reason="animal_seen", verdict="animal_present", level=Level.BLUE, kinds=({AlarmKind.ANIMAL},)),
)
_OTHER: Final = Rule(reason="kind_not_known_here", verdict="other", level=None, kinds=())
"""A kind that this version does not know is still an alarm: the node's word counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What an alarm does to the site's incident. `page` tells whether the ladder starts (again)."""

    action: Literal["open", "join"]
    level: Level
    verdict: str
    why: str  # reason of the rule that gave level and verdict
    reason: str
    event: Event | None = None
    page: bool = False


def judge(facts: Sequence[Fact], declared: str) -> tuple[Level, Rule]:
    """Level and rule of a set of alarms at a site with this declared status: the most urgent rule that holds.

    Between rules of the same level the earlier one names the verdict. At least one of `facts` must be unexplained.
    """
    held = [(level, rule) for rule in RULES if (level := _level(rule, facts, declared)) is not None]
    known = frozenset(kind for rule in RULES for group in rule.kinds for kind in group)
    others = [fact.level for fact in facts if fact.kind not in known and not fact.explained]
    if others:
        held.append((min(others, key=_urgency), _OTHER))
    return min(held, key=lambda item: item[0].urgency)


def _level(rule: Rule, facts: Sequence[Fact], declared: str) -> Level | None:
    if rule.declared is not None and declared not in rule.declared:
        return None
    if not all(any(fact.kind in group for fact in facts) for group in rule.kinds):
        return None
    if rule.standing and not any(fact.kind in rule.standing and fact.standing for fact in facts):
        return None
    plain = [fact for fact in facts if not fact.explained]
    if not any(fact.kind in group for fact in plain for group in (*rule.kinds, rule.standing)):
        return None
    if rule.level is not None:
        return rule.level
    own = min((fact.level for fact in plain if fact.kind in rule.kinds[0]), key=_urgency)
    return max(own, rule.at_most, key=_urgency)


def _urgency(level: Level) -> int:
    return level.urgency


def fuse(
    incident: OpenIncident | None, others: Sequence[Fact], alarm: Fact, *, phase: Phase, declared: str, now_ms: int
) -> Decision:
    """What `alarm` does to the site's open incident, which holds `others` already."""
    level, rule = judge([*others, alarm], declared)
    if incident is None:
        return Decision(action="open", level=level, verdict=rule.verdict, why=rule.reason, reason="opened", page=True)
    if level.urgency < incident.level.urgency:
        return Decision(
            action="join",
            level=level,
            verdict=rule.verdict,
            why=rule.reason,
            reason="level_raised",
            event=Event.LEVEL_RAISED,
            page=True,
        )
    if phase is Phase.START and _answer_is_too_old(incident, now_ms):
        return Decision(
            action="join",
            level=incident.level,
            verdict=incident.verdict,
            why=incident.reason,
            reason="acknowledgement_too_old",
            event=Event.RECURRED,
            page=True,
        )
    reason = {Phase.START: "joined", Phase.UPDATE: "changed", Phase.END: "ended"}[phase]
    return Decision(action="join", level=incident.level, verdict=incident.verdict, why=incident.reason, reason=reason)


def _answer_is_too_old(incident: OpenIncident, now_ms: int) -> bool:
    return (
        incident.state in states.IN_HAND
        and incident.progress_at_ms is not None
        and now_ms - incident.progress_at_ms > ACKNOWLEDGEMENT_HOLDS_S * 1000
    )
