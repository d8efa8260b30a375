"""The hourly job on a server: roll-ups of every whole hour, late hours again, for engines with and without their own.

What is to be done is on disk before it begins, so a run that was cut off is finished by the next. Rolling an hour up
twice gives the same points.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from sealwatch.cloud.telemetry.columns import Columns
from sealwatch.cloud.telemetry.reading import HOUR_MS, RECENT_MS, Tier
from sealwatch.cloud.telemetry.rollups import SETTLE_MS
from sealwatch.cloud.telemetry.spool import Spool

CHUNK_HOURS: Final = 24
BLOCKS: Final = 100
_SHIFTS: Final = 59_000  # of a minute's 60,000 ms, the narrowest window


class RollsUp(Protocol):
    """What the job asks of a server."""

    corrects: bool

    def metrics(self) -> list[str]: ...

    def aggregates(self, metric: str, tier: Tier, from_ms: int, to_ms: int) -> list[Columns]: ...

    def write_blocks(self, blocks: Sequence[Columns], *, tier: Tier = Tier.RAW) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class JobReport:
    """What one run did."""

    hours: int
    late_hours: int
    points: int


def run(store: RollsUp, spool: Spool, *, now_ms: int) -> JobReport:
    """Do everything that is due. Raises TelemetryUnavailable; what is left is done by the next run."""
    whole_ms = (now_ms - SETTLE_MS) // HOUR_MS * HOUR_MS
    before_ms, late = spool.begin_roll_up(whole_ms)
    fresh = list(range(before_ms or whole_ms - RECENT_MS, whole_ms, HOUR_MS))
    spool.add_late(fresh)
    due = sorted({*late, *fresh})
    again = frozenset(late)
    metrics = store.metrics()
    points = 0
    for first_ms, last_ms in stretches(due):
        for tier in (Tier.MINUTES, Tier.HOURS, Tier.DAYS) if store.corrects else (Tier.MINUTES, Tier.HOURS):
            # A day is made of all its hours, and made again with each of them: only for stores that take corrections.
            from_ms = first_ms // tier.width_ms * tier.width_ms
            to_ms = -(-(last_ms + HOUR_MS) // tier.width_ms) * tier.width_ms
            for metric in metrics:
                blocks = store.aggregates(metric, tier, from_ms, to_ms)
                for i in range(0, len(blocks), BLOCKS):
                    some = blocks[i : i + BLOCKS]
                    store.write_blocks(some if store.corrects else beside(some, again, now_ms), tier=tier)
                points += sum(block.points for block in blocks)
        spool.end_roll_up(range(first_ms, last_ms + HOUR_MS, HOUR_MS))
    return JobReport(hours=len(due), late_hours=len(late), points=points)


def beside(blocks: Sequence[Columns], again: Collection[int], now_ms: int) -> list[Columns]:
    """Roll-ups of hours that were rolled up before, moved by some milliseconds within their window.

    A server that takes no corrections keeps one of two points of the same moment, and not always the newer one. Beside
    the older one both stay, and the smallest and largest value of the window are those of all its points.
    """
    shift_ms = 1 + now_ms // 1000 % _SHIFTS
    return [
        Columns(
            site_id=block.site_id,
            node_id=block.node_id,
            source_id=block.source_id,
            at_ms=[at + shift_ms if at // HOUR_MS * HOUR_MS in again else at for at in block.at_ms],
            values=block.values,
        )
        for block in blocks
    ]


def stretches(hours: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Neighbouring hours joined, a day at most: (first, last) of each."""
    first = last = None
    for hour in hours:
        if first is not None and last is not None and hour == last + HOUR_MS and hour - first < CHUNK_HOURS * HOUR_MS:
            last = hour
            continue
        if first is not None and last is not None:
            yield first, last
        first = last = hour
    if first is not None and last is not None:
        yield first, last
