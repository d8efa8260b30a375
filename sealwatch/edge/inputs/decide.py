"""When a contact is an alarm: debounce, delays, line supervision, chattering and silence, decided without I/O.

An input has two tracks, each with at most one alarm: ``state`` (it has left its rest) and ``line`` (what it says can't
be believed). Every moment that matters is computed and not waited for: how often `advance` is called changes nothing.

state
  start    <kind's own reason> after debounce and on-delay | chattering (flaps too fast to settle)
  update   chattering (`CHATTER_CHANGES` settled changes or `CHATTER_FLAPS` raw ones within `CHATTER_WINDOW_S`)
           | <kind's own reason> once it has stood still out of rest for as long
  end      at_rest after the off-delay; after chattering only once nothing has changed for `CHATTER_WINDOW_S`
line
  start    line_cut | line_shorted | line_unclear after `LINE_AFTER_S`; sensor_silent
  update   one of them has become another
  end      line_good

Chattering is contained after ISA-18.2: one alarm that stays, with the number of changes, in place of one per change.
While the line can't be believed an alarm of the state neither begins nor ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, Literal

from sealwatch.contract.codes import Phase

CHATTER_WINDOW_S: Final = 60.0
CHATTER_CHANGES: Final = 6  # three times out of rest and back, ISA-18.2's usual mark for one minute
CHATTER_FLAPS: Final = 30
LINE_AFTER_S: Final = 1.0


class Line(StrEnum):
    """What a line says at one moment."""

    CLOSED = "closed"
    OPEN = "open"
    CUT = "cut"
    SHORTED = "shorted"
    UNCLEAR = "unclear"

    @property
    def believed(self) -> bool:
        return self in (Line.CLOSED, Line.OPEN)


@dataclass(frozen=True, slots=True)
class Windows:
    """The measured ranges of a supervised line, ends included."""

    shorted: tuple[float, float]
    closed: tuple[float, float]
    open: tuple[float, float]
    cut: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How one input is judged. `silent_after_s` None: its wire is asked, and tells by itself when it is gone."""

    rest: Line
    reason: str
    debounce_s: float = 0.05
    on_delay_s: float = 0.0
    off_delay_s: float = 5.0
    silent_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """An alarm that is open: why by now, since when, and when that was told."""

    reason: str
    started_s: float
    told_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class InputState:
    """All that is known of an input. Times are monotonic seconds; `heard_s` is the last sign of life."""

    heard_s: float
    raw: Line | None = None
    raw_since_s: float = 0.0
    settled: Line | None = None
    settled_since_s: float = 0.0
    flaps: tuple[float, ...] = field(default=())
    changes: tuple[float, ...] = field(default=())
    changes_counted: int = 0
    state: Standing | None = None
    line: Standing | None = None

    @property
    def changed_s(self) -> float:
        """When anything changed last, bouncing included."""
        return max(self.raw_since_s, self.settled_since_s)


@dataclass(frozen=True, slots=True)
class Transition:
    """An alarm begins, goes on for another reason, or ends. `changes`: settled changes while it stood."""

    track: Literal["state", "line"]
    phase: Phase
    reason: str
    started_s: float
    at_s: float
    changes: int = 0


Outcome = tuple[InputState, list[Transition]]


def line_of(value: float | bool, windows: Windows | None = None) -> Line:
    """The state that a value stands for: by the windows of a supervised line, else anything but 0 is closed."""
    if windows is None:
        return Line.CLOSED if value else Line.OPEN
    for line in (Line.SHORTED, Line.CLOSED, Line.OPEN, Line.CUT):
        low, high = getattr(windows, line.value)
        if low <= value <= high:
            return line
    return Line.UNCLEAR


def take(state: InputState, rules: Rules, line: Line, now_s: float, *, live: bool = True) -> Outcome:
    """Take in what the line says at `now_s`. Not `live`: an old word (retained), which is no sign of life."""
    state, told = advance(state, rules, now_s)
    if live:
        state = replace(state, heard_s=max(state.heard_s, now_s))
    if line is not state.raw:
        flaps = state.flaps if state.raw is None else (*state.flaps, now_s)[-CHATTER_FLAPS:]
        state = replace(state, raw=line, raw_since_s=now_s, flaps=flaps)
    state, more = advance(state, rules, now_s)
    return state, [*told, *more]


def advance(state: InputState, rules: Rules, now_s: float) -> Outcome:
    """Let time pass until `now_s`: everything that falls due by then happens, in its order and at its own moment."""
    told: list[Transition] = []
    while True:
        due = [(at_s, what) for at_s, what in _due(state, rules) if at_s <= now_s]
        if not due:
            return state, told
        at_s, what = min(due, key=lambda item: item[0])
        state, transition = what(state, rules, at_s)
        if transition is not None:
            told.append(transition)


_Happening = Callable[[InputState, Rules, float], tuple[InputState, Transition | None]]


def _due(state: InputState, rules: Rules) -> list[tuple[float, _Happening]]:
    """What would happen next if nothing is heard, and when."""
    due: list[tuple[float, _Happening]] = []
    if state.raw is not None and state.raw is not state.settled:
        due.append((state.raw_since_s + rules.debounce_s, _settle))
    due += _due_on_line(state, rules)
    flap_s = _full(state.flaps, CHATTER_FLAPS)
    change_s = _full(state.changes, CHATTER_CHANGES)
    chattering_s = max((at_s for at_s in (flap_s, change_s) if at_s is not None), default=None)
    if chattering_s is not None and (state.state is None or state.state.reason != "chattering"):
        due.append((chattering_s, _chatter))
    if state.settled is None or not state.settled.believed:
        return due
    out_of_rest = state.settled is not rules.rest
    if state.state is None:
        if out_of_rest:
            due.append((state.settled_since_s + rules.on_delay_s, _raise))
    elif state.state.reason != "chattering":
        if not out_of_rest:
            due.append((state.settled_since_s + rules.off_delay_s, _end))
    elif state.raw is state.settled:
        still_s = CHATTER_WINDOW_S if out_of_rest else max(CHATTER_WINDOW_S, rules.off_delay_s)
        due.append((state.changed_s + still_s, _steady if out_of_rest else _end))
    return due


def _due_on_line(state: InputState, rules: Rules) -> list[tuple[float, _Happening]]:
    silent_s = None if rules.silent_after_s is None else state.heard_s + rules.silent_after_s
    fault_s = None
    if state.settled is not None and not state.settled.believed:
        fault_s = state.settled_since_s + LINE_AFTER_S
    if state.line is None:
        starts = [at_s for at_s in (silent_s, fault_s) if at_s is not None]
        return [(min(starts), _doubt)] if starts else []
    if state.line.reason == "sensor_silent":
        heard = state.heard_s >= state.line.told_s
        return [(state.heard_s, _trust if fault_s is None else _doubt)] if heard else []
    due: list[tuple[float, _Happening]] = [] if silent_s is None else [(silent_s, _doubt)]
    if fault_s is None:
        due.append((state.settled_since_s + rules.off_delay_s, _trust))
    elif state.line.reason != f"line_{state.settled}":
        due.append((fault_s, _doubt))
    return due


def _full(moments: tuple[float, ...], wanted: int) -> float | None:
    """The moment that made `wanted` of them fall into one window, or None."""
    if len(moments) < wanted or moments[-1] - moments[-wanted] > CHATTER_WINDOW_S:
        return None
    return moments[-1]


def _settle(state: InputState, _rules: Rules, at_s: float) -> tuple[InputState, Transition | None]:
    changes = state.changes if state.settled is None else (*state.changes, at_s)[-CHATTER_CHANGES:]
    counted = state.changes_counted + (state.settled is not None)
    return replace(state, settled=state.raw, settled_since_s=at_s, changes=changes, changes_counted=counted), None


def _raise(state: InputState, rules: Rules, at_s: float) -> tuple[InputState, Transition | None]:
    started_s = state.settled_since_s - rules.debounce_s
    after = replace(state, state=Standing(rules.reason, started_s, at_s), changes_counted=0)
    return after, Transition("state", Phase.START, rules.reason, started_s, at_s)


def _chatter(state: InputState, _rules: Rules, at_s: float) -> tuple[InputState, Transition | None]:
    before = state.state
    started_s = at_s if before is None else before.started_s
    phase = Phase.START if before is None else Phase.UPDATE
    told = Transition("state", phase, "chattering", started_s, at_s, max(state.changes_counted, len(state.changes)))
    return replace(state, state=Standing("chattering", started_s, at_s)), told


def _steady(state: InputState, rules: Rules, at_s: float) -> tuple[InputState, Transition | None]:
    standing = _standing(state.state)
    after = replace(state, state=Standing(rules.reason, standing.started_s, at_s), flaps=(), changes=())
    return after, Transition("state", Phase.UPDATE, rules.reason, standing.started_s, at_s, state.changes_counted)


def _end(state: InputState, _rules: Rules, at_s: float) -> tuple[InputState, Transition | None]:
    standing = _standing(state.state)
    after = replace(state, state=None, flaps=(), changes=() if standing.reason == "chattering" else state.changes)
    return after, Transition("state", Phase.END, "at_rest", standing.started_s, at_s, state.changes_counted)


def _doubt(state: InputState, rules: Rules, at_s: float) -> tuple[InputState, Transition | None]:
    silent = rules.silent_after_s is not None and at_s >= state.heard_s + rules.silent_after_s
    reason = "sensor_silent" if silent else f"line_{state.settled}"
    began_s = state.heard_s if silent else state.settled_since_s
    started_s = began_s if state.line is None else state.line.started_s
    phase = Phase.START if state.line is None else Phase.UPDATE
    return replace(state, line=Standing(reason, started_s, at_s)), Transition("line", phase, reason, started_s, at_s)


def _trust(state: InputState, _rules: Rules, at_s: float) -> tuple[InputState, Transition | None]:
    standing = _standing(state.line)
    return replace(state, line=None), Transition("line", Phase.END, "line_good", standing.started_s, at_s)


def _standing(standing: Standing | None) -> Standing:
    assert standing is not None  # noqa: S101 - falls due only while one stands
    return standing
