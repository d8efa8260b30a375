"""What goes when room or time is up: pure, with a named reason for each file.

Order is the order of recording, never that of wall-clock labels: a clock that jumped by years must not empty the ring.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

_DAY_MS = 86_400_000
Reason = Literal["older_than_max_days", "room_above_target", "room_below_target"]


@dataclass(frozen=True, slots=True)
class Held:
    """A file in the ring. `label_trusted`: its time was labelled by a clock that had been set."""

    id: int
    camera_id: str
    ended_at_ms: int
    size_bytes: int
    label_trusted: bool = True
    protected: bool = False  # a clip still needs it, or it is being written


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`target_days` by camera: footage is kept at least that long as far as the budget reaches."""

    max_bytes: int
    max_days: float
    min_free_bytes: int = 0
    target_days: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Removal:
    """A file that goes, and why."""

    id: int
    reason: Reason


def plan(
    held: Sequence[Held],
    limits: Limits,
    *,
    total_bytes: int,
    now_ms: int,
    clock_trusted: bool,
    free_bytes: int,
) -> list[Removal]:
    """Which files to remove. `held`: the oldest files in order of recording; `total_bytes`: of all there are."""
    ages = ages_days(held, now_ms) if clock_trusted else {}
    removals = {
        one.id: Removal(one.id, "older_than_max_days")
        for one in held
        if not one.protected and ages.get(one.id, 0.0) > limits.max_days
    }
    freed = sum(one.size_bytes for one in held if one.id in removals)
    over = max(
        total_bytes - freed - limits.max_bytes,
        limits.min_free_bytes - (free_bytes + freed),
    )
    candidates = [one for one in held if one.id not in removals and not one.protected]
    # Footage beyond its camera's target goes first; where nobody knows the time, simply the oldest.
    above = [one for one in candidates if ages.get(one.id, 0.0) > limits.target_days.get(one.camera_id, 0.0)]
    below = [one for one in candidates if one not in above]
    for group, reason in ((above, "room_above_target"), (below, "room_below_target")):
        for one in group:
            if over <= 0:
                return list(removals.values())
            removals[one.id] = Removal(one.id, reason)  # type: ignore[arg-type]  # both are of the literal
            over -= one.size_bytes
    return list(removals.values())


def ages_days(held: Sequence[Held], now_ms: int) -> dict[int, float]:
    """Age of each file in days. One labelled by a clock that was not set counts as old as what followed it."""
    ages: dict[int, float] = {}
    followed_by: dict[str, int] = {}
    for one in reversed(held):
        ended_ms = one.ended_at_ms if one.label_trusted else followed_by.get(one.camera_id, now_ms)
        if one.label_trusted:
            followed_by[one.camera_id] = one.ended_at_ms
        ages[one.id] = max(0.0, (now_ms - ended_ms) / _DAY_MS)
    return ages


def reach_days(max_bytes: int, bytes_per_day: float) -> float | None:
    """How many days the budget holds at this rate; None while the rate is not known."""
    return max_bytes / bytes_per_day if bytes_per_day > 0 else None
