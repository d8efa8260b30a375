"""Alarm load in the figures of EEMUA publication 191: pure.

EEMUA 191 counts alarms per operator in periods of ten minutes: about one a period is manageable in the long run, more
than ten is a flood. Chattering is an alarm that comes and goes faster than anybody can act on it. The limits for
chattering below are this service's own (a mine's picture or meter is slower than a process plant's transmitter).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

PERIOD_MS: Final = 600_000
FLOOD_ABOVE: Final = 10
"""Alarms in ten minutes above which it is a flood."""
CHATTERS_FROM: Final = 5
"""Starts of one alarm within `CHATTER_MS`."""
CHATTER_MS: Final = 600_000
STALE_MS: Final = 24 * 3_600_000
"""An alarm that stands longer tells nobody anything any more: mend it, or close what it is about."""
_DAY_MS: Final = 24 * 3_600_000


@dataclass(frozen=True, slots=True, order=True)
class Source:
    """What tells an alarm: a camera, meter or node of a site, and of what."""

    site_id: str
    source_id: str
    kind: str


@dataclass(frozen=True, slots=True)
class Start:
    """An alarm that began. `ended_ms` None: it stands."""

    at_ms: int
    source: Source
    ended_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How many there were: in all, a day, and in periods of ten minutes."""

    total: int
    per_day: float
    per_10_min: float
    most_in_10_min: int
    most_at_ms: int | None  # when that period began
    flood_share: float  # of the periods, 0 to 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Offender:
    """A loud source. `share` of all alarms, 0 to 1."""

    source: Source
    count: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Chatter:
    """A source that came and went. `most` starts within ten minutes, the first of them at `at_ms`."""

    source: Source
    most: int
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The load of a span of time."""

    from_ms: int
    to_ms: int
    alarms: Rate
    pages: Rate
    offenders: tuple[Offender, ...]
    chattering: tuple[Chatter, ...]
    stale: tuple[tuple[Source, int], ...]  # what stands, and since when (ms)


def load(
    starts: Sequence[Start], pages_ms: Sequence[int], *, from_ms: int, to_ms: int, now_ms: int, most: int = 10
) -> Load:
    """The figures of the alarms that began, and the pages that were submitted, in [from_ms, to_ms).

    `most`: how many offenders. Raises ValueError for an empty span.
    """
    inside = [start for start in starts if from_ms <= start.at_ms < to_ms]
    counts = Counter(start.source for start in inside)
    loudest = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most]
    return Load(
        from_ms=from_ms,
        to_ms=to_ms,
        alarms=rate([start.at_ms for start in inside], from_ms=from_ms, to_ms=to_ms),
        pages=rate([at_ms for at_ms in pages_ms if from_ms <= at_ms < to_ms], from_ms=from_ms, to_ms=to_ms),
        offenders=tuple(Offender(source=source, count=count, share=count / len(inside)) for source, count in loudest),
        chattering=_chattering(inside),
        stale=tuple(
            sorted(
                (start.source, start.at_ms)
                for start in starts
                if start.ended_ms is None and now_ms - start.at_ms > STALE_MS
            )
        ),
    )


def rate(at_ms: Sequence[int], *, from_ms: int, to_ms: int) -> Rate:
    """Counts of moments in a span. Raises ValueError for an empty span."""
    if to_ms <= from_ms:
        raise ValueError("the span must end after it begins")
    periods = -(-(to_ms - from_ms) // PERIOD_MS)
    bins = Counter((moment - from_ms) // PERIOD_MS for moment in at_ms)
    loudest = max(bins.items(), key=lambda item: (item[1], -item[0]), default=None)
    return Rate(
        total=len(at_ms),
        per_day=len(at_ms) * _DAY_MS / (to_ms - from_ms),
        per_10_min=len(at_ms) * PERIOD_MS / (to_ms - from_ms),
        most_in_10_min=loudest[1] if loudest else 0,
        most_at_ms=from_ms + loudest[0] * PERIOD_MS if loudest else None,
        flood_share=sum(count > FLOOD_ABOVE for count in bins.values()) / periods,
    )


def _chattering(starts: Sequence[Start]) -> tuple[Chatter, ...]:
    by_source: defaultdict[Source, list[int]] = defaultdict(list)
    for start in starts:
        by_source[start.source].append(start.at_ms)
    found = []
    for source, moments in by_source.items():
        moments.sort()
        first, most, at_ms = 0, 0, 0
        for last, moment in enumerate(moments):
            while moment - moments[first] >= CHATTER_MS:
                first += 1
            if last - first + 1 > most:
                most, at_ms = last - first + 1, moments[first]
        if most >= CHATTERS_FROM:
            found.append(Chatter(source=source, most=most, at_ms=at_ms))
    return tuple(sorted(found, key=lambda chatter: (-chatter.most, chatter.source)))
