"""How a curve is read from a server: exact points where they are few, extremes of windows where they are many.

Which table answers is a pure decision (`plan`): raw points for what is recent, minute or hour roll-ups for what is
older or longer than a screen can show. A roll-up knows its minute, not its moment, so the smallest value of a window
stands at its beginning and the largest at its middle; neither is ever averaged away.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from sealwatch.cloud.ports import Series
from sealwatch.cloud.telemetry.thinning import Point, thin

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
EXACT_POINTS: Final = 20_000
"""Up to so many points of one series are fetched as they are and thinned here."""
RECENT_MS: Final = 3 * DAY_MS
"""The newest days are always read from raw points: roll-ups may be as late as that."""


class Tier(StrEnum):
    """Where a value comes from. The names are measurements (tables) on the servers."""

    RAW = "samples"
    MINUTES = "minutes"
    HOURS = "hours"
    DAYS = "days"  # InfluxDB only, for a whole county's year on one panel; days begin at 00:00 UTC

    @property
    def width_ms(self) -> int:
        """Length of one row's time; 0 for raw points."""
        return {Tier.RAW: 0, Tier.MINUTES: MINUTE_MS, Tier.HOURS: HOUR_MS, Tier.DAYS: DAY_MS}[self]


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One metric of one site (or of one of its sources) in ``[from_ms, to_ms]``."""

    site_id: str
    metric: str
    from_ms: int
    to_ms: int
    source_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A stretch of a query and the table that answers it; `reason` is a stable name."""

    tier: Tier
    from_ms: int
    to_ms: int
    width_ms: int
    reason: str


class Backend(Protocol):
    """What a server must be able to do."""

    def exact(self, query: Query, limit: int) -> dict[str, list[Point]] | None:
        """Every raw point by source, ordered by time; None where a source has more than `limit`."""
        ...

    def windows(self, query: Query, tier: Tier, width_ms: int) -> dict[str, list[Point]]:
        """Smallest and largest value of windows of `width_ms` from `from_ms` on, by source, ordered by time."""
        ...


def window_width_ms(from_ms: int, to_ms: int, max_points: int) -> int:
    """The bin that `thin` would use. Raises ValueError where `max_points` is below 2."""
    if max_points < 2:
        raise ValueError(f"max_points is {max_points}; thinning needs room for a smallest and a largest value (2)")
    return max(1, -(-(to_ms - from_ms + 1) // (max_points // 2)))


def plan(query: Query, *, max_points: int, raw_from_ms: int, rolled_to_ms: int) -> list[Part]:
    """Which table answers which stretch, oldest first.

    Raw points exist from `raw_from_ms` on; roll-ups are complete before `rolled_to_ms`.
    """
    width_ms = window_width_ms(query.from_ms, query.to_ms, max_points)
    if width_ms < 2 * MINUTE_MS and query.from_ms >= raw_from_ms:
        return [Part(tier=Tier.RAW, from_ms=query.from_ms, to_ms=query.to_ms, width_ms=width_ms, reason="short")]
    tier = Tier.HOURS if width_ms >= 2 * HOUR_MS else Tier.MINUTES
    width_ms = max(width_ms, tier.width_ms)
    # A window belongs to one table: the cut is moved back to where a window begins.
    cut_ms = rolled_to_ms - (rolled_to_ms - query.from_ms) % width_ms
    if cut_ms <= query.from_ms:
        return [Part(tier=Tier.RAW, from_ms=query.from_ms, to_ms=query.to_ms, width_ms=width_ms, reason="recent")]
    old = Part(
        tier=tier, from_ms=query.from_ms, to_ms=min(query.to_ms, cut_ms - 1), width_ms=width_ms, reason="rolled_up"
    )
    if query.to_ms < cut_ms:
        return [old]
    return [old, Part(tier=Tier.RAW, from_ms=cut_ms, to_ms=query.to_ms, width_ms=width_ms, reason="recent")]


def read(backend: Backend, query: Query, *, max_points: int, raw_from_ms: int, rolled_to_ms: int) -> dict[str, Series]:
    """Series by source_id; sources without any point are left out. Raises ValueError for `max_points` below 2."""
    parts = plan(query, max_points=max_points, raw_from_ms=raw_from_ms, rolled_to_ms=rolled_to_ms)
    exact = backend.exact(query, EXACT_POINTS) if [part.tier for part in parts] == [Tier.RAW] else None
    if exact is not None:
        found = {
            source: thin(points, from_ms=query.from_ms, to_ms=query.to_ms, max_points=max_points)
            for source, points in exact.items()
        }
    else:
        found = _by_windows(backend, query, parts)
    return {
        source: Series(metric=query.metric, at_ms=[p[0] for p in points], values=[p[1] for p in points])
        for source, points in sorted(found.items())
        if points
    }


def _by_windows(backend: Backend, query: Query, parts: list[Part]) -> dict[str, list[Point]]:
    found: dict[str, list[Point]] = {}
    for part in parts:
        stretch = Query(
            site_id=query.site_id,
            metric=query.metric,
            source_id=query.source_id,
            from_ms=part.from_ms,
            to_ms=part.to_ms,
        )
        rows = backend.windows(stretch, part.tier, part.width_ms)
        if not rows and part.tier is not Tier.RAW:  # nothing rolled up yet: raw points may still be there
            rows = backend.windows(stretch, Tier.RAW, part.width_ms)
        for source, points in rows.items():
            found.setdefault(source, []).extend(points)
    return found


def extremes(at_ms: int, width_ms: int, low: float | None, high: float | None, *, gap: bool) -> list[Point]:
    """A window's points: smallest at its beginning, largest at its middle; one gap where it holds nothing else."""
    if low is None or high is None:
        return [(at_ms, None)] if gap else []
    if low == high:
        return [(at_ms, low)]
    return [(at_ms, low), (at_ms + max(1, width_ms // 2), high)]
