"""A clock for ends that must come: it runs like the wall clock, but is never set back.

Within a life of the service the monotonic clock carries it on where the wall clock falls behind; between two lives a
mark in the database does. A wall clock found behind the mark at the start can't be trusted to bring an end in time:
`Woken.went_back` then says that nothing may be kept silent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SLACK_MS: Final = 5_000
"""What NTP corrects without anybody noticing."""


@dataclass(frozen=True, slots=True)
class Steady:
    """Where the clock stood (`at_ms`) when the monotonic clock stood at `monotonic_s`."""

    at_ms: int
    monotonic_s: float


@dataclass(frozen=True, slots=True)
class Woken:
    """The clock at a start, and whether the wall clock was set back while no service ran."""

    steady: Steady
    went_back: bool


def wake(mark_ms: int | None, *, wall_ms: int, monotonic_s: float) -> Woken:
    """The clock of a new life. `mark_ms`: the latest moment that an earlier life has written down."""
    if mark_ms is None:
        return Woken(Steady(wall_ms, monotonic_s), went_back=False)
    return Woken(Steady(max(mark_ms, wall_ms), monotonic_s), went_back=wall_ms < mark_ms - SLACK_MS)


def advance(steady: Steady, *, wall_ms: int, monotonic_s: float) -> Steady:
    """The clock now: the wall clock's word, or what has really passed since, whichever is later."""
    passed_ms = round((monotonic_s - steady.monotonic_s) * 1000)
    return Steady(max(wall_ms, steady.at_ms + passed_ms), monotonic_s)
