"""What is usual at a site, learnt per hour of the week; robust, visible while it learns, and slow to be poisoned.

Every hour of the week keeps the means of its last weeks; its bound is their median plus a robust spread. Whether a
site keeps such hours at all shows in use: bounds are tried in silence first and count only after two weeks without a
miss. A site without hours (a pump that runs when water comes) is held to the highest hour of its first week instead.

Bounds may grow, because seasons do, by at most `GROWTH_PER_WEEK` a week and `GROWTH_LIMIT` in all beyond the first
week: somebody who raises the load a little every week is told on when the limit is reached.

Reasons: ``above_learned_hour``, ``above_learned_maximum`` (start), ``back_to_normal`` (end).
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sealwatch.contract.codes import Phase
from sealwatch.edge.power.minutes import Minute
from sealwatch.edge.power.rules import Transition

WEEK_HOURS = 168
LEARN_HOURS = 144
"""Hours with data before anything is judged: a week with some gaps."""
TRUST_HOURS = 336
"""Two weeks without a miss; twice as long after each time the trust was lost."""
GROWTH_PER_WEEK, GROWTH_LIMIT = 0.02, 0.30
MARGIN_SHARE, MARGIN_W = 0.25, 2500.0
"""A quarter more, and a heater: a season's first cold night is no alarm."""
ALWAYS_ON_W = 50.0
_WEEKS = 8
_MIN_MINUTES = 40


@dataclass(frozen=True, slots=True)
class BaselineState:
    """`hours`: hour of the week -> its last means (W). `first_w`, `bound_w`: highest hour of the first week, and what
    it has been allowed to grow to. `quiet`: hours since a bound of an hour was missed; `losses`: how often that
    trust was lost."""

    hours: Mapping[int, tuple[float, ...]] = field(default_factory=dict)
    current: int | None = None
    sum_w: float = 0.0
    minutes: int = 0
    learnt: int = 0
    first_w: float = 0.0
    bound_w: float = 0.0
    lowest_w: float | None = None
    quiet: int = 0
    losses: int = 0
    since_s: float | None = None
    subject: str = ""

    @property
    def always_on(self) -> bool:
        """Whether there was power in every hour of at least a day."""
        return self.learnt >= 24 and self.lowest_w is not None and self.lowest_w > ALWAYS_ON_W

    @property
    def learning(self) -> float:
        """From 0 (knows nothing) to 1 (judges)."""
        return min(1.0, self.learnt / LEARN_HOURS)


def advance(state: BaselineState, minute: Minute) -> tuple[BaselineState, list[Transition]]:
    """Take one minute; judge when an hour is complete."""
    hour = int(minute.start_s // 3600)
    found: list[Transition] = []
    if state.current is not None and hour != state.current:
        if state.minutes >= _MIN_MINUTES:
            state, found = _hour(state, state.current, state.sum_w / state.minutes)
        state = replace(state, sum_w=0.0, minutes=0)
    return replace(state, current=hour, sum_w=state.sum_w + minute.mean_w, minutes=state.minutes + 1), found


def hour_bound_w(known: tuple[float, ...]) -> float | None:
    """The bound of one hour of the week; None while it was seen less than three times."""
    if len(known) < 3:
        return None
    middle = statistics.median(known)
    spread = 1.4826 * statistics.median(abs(w - middle) for w in known)
    return middle + max(4 * spread, MARGIN_SHARE * middle) + MARGIN_W


def _hour(state: BaselineState, hour: int, mean_w: float) -> tuple[BaselineState, list[Transition]]:
    place = hour % WEEK_HOURS
    known = state.hours.get(place, ())
    judges = state.learnt >= LEARN_HOURS
    bound_w = hour_bound_w(known)
    missed = bound_w is not None and mean_w > bound_w
    trusted = state.quiet >= TRUST_HOURS * 2**state.losses
    top_w = state.bound_w * (1 + MARGIN_SHARE) + MARGIN_W
    over, limit_w = "", top_w
    if judges and mean_w > top_w:
        over = "above_learned_maximum"
    elif judges and trusted and missed and bound_w is not None:
        over, limit_w = "above_learned_hour", bound_w
    state = _learn(state, place, known, mean_w, judges=judges, over=bool(over))
    # A miss that began an alarm costs the trust as well: a site whose hours change tells it once, not every day.
    lost = missed and trusted and state.since_s is None
    state = replace(
        state,
        quiet=0 if missed else state.quiet + 1 if bound_w is not None else 0,
        losses=min(state.losses + lost, 5),
    )
    end_s = (hour + 1) * 3600.0
    if over and state.since_s is None:
        since_s = hour * 3600.0
        state = replace(state, since_s=since_s, subject=over)
        return state, [_told(Phase.START, over, since_s, end_s, mean_w, limit_w)]
    if not over and state.since_s is not None:
        told = _told(Phase.END, state.subject, state.since_s, end_s, mean_w, limit_w)
        return replace(state, since_s=None, subject=""), [told]
    return state, []


def _learn(
    state: BaselineState, place: int, known: tuple[float, ...], mean_w: float, *, judges: bool, over: bool
) -> BaselineState:
    """What raised an alarm is not learnt; what is learnt later moves the bound only slowly."""
    lowest_w = mean_w if state.lowest_w is None else min(state.lowest_w, mean_w)
    if state.always_on and mean_w <= ALWAYS_ON_W:
        lowest_w = state.lowest_w or 0.0  # power that vanishes is told, not learnt
    if not judges:
        first_w = max(state.first_w, mean_w)
        hours = {**state.hours, place: (*known, mean_w)[-_WEEKS:]}
        return replace(state, hours=hours, learnt=state.learnt + 1, first_w=first_w, bound_w=first_w, lowest_w=lowest_w)
    if over:
        return state
    ceiling_w = state.first_w * (1 + GROWTH_LIMIT)
    step = 1 + GROWTH_PER_WEEK / WEEK_HOURS
    bound_w = min(ceiling_w, max(state.bound_w, min(mean_w, state.bound_w * step)))
    hours = {**state.hours, place: (*known, mean_w)[-_WEEKS:]}
    return replace(state, hours=hours, learnt=state.learnt + 1, bound_w=bound_w, lowest_w=lowest_w)


def _told(phase: Phase, subject: str, since_s: float, at_s: float, mean_w: float, limit_w: float) -> Transition:
    return Transition(
        phase=phase,
        reason=subject if phase is Phase.START else "back_to_normal",
        subject=subject,
        started_s=since_s,
        at_s=at_s,
        score=0.7,
        numbers={"mean_w": mean_w, "limit_w": limit_w, "minutes": 60.0},
    )
