"""What to send next, when to send it again, and what an ack means: decisions only, no I/O.

``step(state, event, now_s) -> (state, effects)``. The outbox on disk is the queue; the state here holds only what is
under way, so it stays small however long the queue grows, and losing it costs nothing but sending again.

Release happens for an `Acked` event and for nothing else: neither the broker's PUBACK nor time nor a restart does it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from sealwatch.base.backoff import full_jitter_s
from sealwatch.contract.topics import Channel
from sealwatch.edge.uplink.entries import Entry, Ref


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainRules:
    """How fast and how patiently."""

    windows: Mapping[Channel, int] = field(
        default_factory=lambda: {Channel.ALARM: 64, Channel.SNAPSHOT: 8, Channel.SAMPLES: 32}
    )
    ack_timeout_s: float = 10.0  # doubled at each resend, with jitter
    ack_timeout_cap_s: float = 300.0
    rate_per_s: float = 200.0  # a county's nodes come back together when a mast does
    burst: float = 64.0
    settle_s: float = 1.0  # after a reconnect, for acks that waited at the broker
    reoffer_s: float = 60.0
    reoffer_cap_s: float = 600.0

    @property
    def window(self) -> int:
        """How many messages may be under way at once."""
        return sum(self.windows.values())


@dataclass(frozen=True, slots=True)
class Flight:
    """A message that was sent and not answered."""

    entry: Entry
    sent_at_s: float  # the first time
    resend_at_s: float
    attempts: int


@dataclass(frozen=True, slots=True)
class DrainState:
    """What is under way."""

    connected: bool = False
    flights: Mapping[Ref, Flight] = field(default_factory=dict)
    tokens: float = 0.0
    refilled_at_s: float = 0.0
    reoffer_at_s: float | None = None
    reoffers: int = 0
    wake_at_s: float | None = None  # when `Due` is wanted next, unless something happens before


@dataclass(frozen=True, slots=True)
class Connected:
    """The broker has accepted the session."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection is gone."""


@dataclass(frozen=True, slots=True)
class Acked:
    """The service has answered: it has these, and it turns those down (with its reason)."""

    taken: tuple[Ref, ...] = ()
    refused: tuple[tuple[Ref, str], ...] = ()


@dataclass(frozen=True, slots=True)
class NotSent:
    """The session could not take a message after all."""

    ref: Ref


@dataclass(frozen=True, slots=True)
class Due:
    """Time to look. `head` is the start of the queue in order, at least `head_wanted` long where there is that much."""

    head: Sequence[Entry]


Event = Connected | Disconnected | Acked | NotSent | Due


@dataclass(frozen=True, slots=True)
class Send:
    """Publish this message."""

    ref: Ref
    channel: Channel


@dataclass(frozen=True, slots=True)
class Release:
    """Delete these from the outbox."""

    refs: tuple[Ref, ...]


@dataclass(frozen=True, slots=True)
class Refuse:
    """Mark these as refused in the outbox; they stay."""

    refs: tuple[tuple[Ref, str], ...]


@dataclass(frozen=True, slots=True)
class Reoffer:
    """Make the refused ones part of the queue again."""


Effect = Send | Release | Refuse | Reoffer
Jitter = Callable[[float, float], float]

_TRY_AGAIN_S: Final = 1.0


def head_wanted(state: DrainState, rules: DrainRules) -> int:
    """How long a head `Due` needs: every message under way may stand in front of a full window of others."""
    return len(state.flights) + rules.window


def step(
    state: DrainState, event: Event, now_s: float, *, rules: DrainRules, jitter: Jitter | None = None
) -> tuple[DrainState, list[Effect]]:
    """One decision. `jitter(low, high)` picks from a range; None for random."""
    match event:
        case Connected():
            return _connected(state, now_s, rules, jitter), []
        case Disconnected():
            return replace(state, connected=False, wake_at_s=None), []
        case Acked():
            return _acked(state, event, now_s, rules, jitter)
        case NotSent():
            flights = {ref: flight for ref, flight in state.flights.items() if ref != event.ref}
            return replace(state, flights=flights, wake_at_s=now_s + _TRY_AGAIN_S), []
        case Due():
            return _due(state, event.head, now_s, rules, jitter)


def _connected(state: DrainState, now_s: float, rules: DrainRules, jitter: Jitter | None) -> DrainState:
    """Whatever was under way may have been lost with the connection: send it again once old acks had time to come."""
    again_s = now_s + full_jitter_s(0, base_s=rules.settle_s, cap_s=rules.settle_s, uniform=jitter)
    return replace(
        state,
        connected=True,
        flights={ref: replace(flight, resend_at_s=again_s) for ref, flight in state.flights.items()},
        tokens=rules.burst,
        refilled_at_s=now_s,
        reoffer_at_s=again_s,
        reoffers=0,
        wake_at_s=now_s,
    )


def _acked(
    state: DrainState, event: Acked, now_s: float, rules: DrainRules, jitter: Jitter | None
) -> tuple[DrainState, list[Effect]]:
    answered = set(event.taken) | {ref for ref, _ in event.refused}
    state = replace(
        state,
        flights={ref: flight for ref, flight in state.flights.items() if ref not in answered},
        wake_at_s=now_s,
    )
    effects: list[Effect] = []
    if event.taken:
        effects.append(Release(event.taken))
    refused = tuple(item for item in event.refused if item[0] not in set(event.taken))
    if refused:
        effects.append(Refuse(refused))
        if state.reoffer_at_s is None:
            wait_s = full_jitter_s(state.reoffers, base_s=rules.reoffer_s, cap_s=rules.reoffer_cap_s, uniform=jitter)
            state = replace(state, reoffer_at_s=now_s + wait_s, reoffers=state.reoffers + 1)
    return state, effects


def _due(
    state: DrainState, head: Sequence[Entry], now_s: float, rules: DrainRules, jitter: Jitter | None
) -> tuple[DrainState, list[Effect]]:
    if not state.connected:
        return replace(state, wake_at_s=None), []
    effects: list[Effect] = []
    wakes: list[float] = []
    if state.reoffer_at_s is not None and now_s >= state.reoffer_at_s:
        effects.append(Reoffer())
        state = replace(state, reoffer_at_s=None)
        wakes.append(now_s)  # they are not in this head yet
    flights = _still_queued(state, head, rules)
    tokens = min(rules.burst, state.tokens + max(0.0, now_s - state.refilled_at_s) * rules.rate_per_s)
    for entry in _candidates(flights, head, now_s, rules):
        if tokens < 1.0:
            wakes.append(now_s + (1.0 - tokens) / rules.rate_per_s)
            break
        tokens -= 1.0
        before = flights.get(entry.ref)
        attempts = before.attempts if before is not None else 0
        sent_at_s = before.sent_at_s if before is not None else now_s
        flights[entry.ref] = Flight(entry, sent_at_s, now_s + _patience_s(attempts, rules, jitter), attempts + 1)
        effects.append(Send(entry.ref, entry.channel))
    wakes.extend(flight.resend_at_s for flight in flights.values())
    if state.reoffer_at_s is not None:
        wakes.append(state.reoffer_at_s)
    state = replace(state, flights=flights, tokens=tokens, refilled_at_s=now_s, wake_at_s=min(wakes, default=None))
    return state, effects


def _candidates(
    flights: Mapping[Ref, Flight], head: Sequence[Entry], now_s: float, rules: DrainRules
) -> Sequence[Entry]:
    """What may be sent now, most urgent first: new ones up to their window, and those whose patience is over.

    New ones keep the order of the queue: nothing less urgent overtakes one that waits for its window. Those to be sent
    again are taken from what is under way, because they may stand far behind the head by now.
    """
    room = {
        channel: window - sum(f.entry.channel is channel for f in flights.values())
        for channel, window in rules.windows.items()
    }
    fresh = []
    for entry in head:
        if entry.ref in flights:
            continue
        if room[entry.channel] <= 0:
            break
        room[entry.channel] -= 1
        fresh.append(entry)
    again = sorted((f for f in flights.values() if now_s >= f.resend_at_s), key=lambda f: f.sent_at_s)
    return sorted([*fresh, *(flight.entry for flight in again)], key=lambda entry: entry.priority)


def _patience_s(attempts: int, rules: DrainRules, jitter: Jitter | None) -> float:
    """How long to wait for an answer: jitter spreads the resends of many nodes, it never more than halves the time."""
    full_s = min(rules.ack_timeout_cap_s, rules.ack_timeout_s * 2.0 ** min(attempts, 32))
    return max(0.5 * full_s, full_jitter_s(0, base_s=full_s, cap_s=full_s, uniform=jitter))


def _still_queued(state: DrainState, head: Sequence[Entry], rules: DrainRules) -> dict[Ref, Flight]:
    """Without what has left the queue by another way (thinned, dropped), which a head shorter than asked for shows."""
    if len(head) >= head_wanted(state, rules):
        return dict(state.flights)
    queued = {entry.ref for entry in head}
    return {ref: flight for ref, flight in state.flights.items() if ref in queued}
