"""Bytes written a day and moved a month, out of counters that begin anew at every boot: a decision without I/O.

Days and months are those of the site (UTC+8), as bills and people count them. A clock that cannot be right moves
nothing to another day: the bytes stay where they are until the clock is believable.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

_SITE_TIME: Final = timezone(timedelta(hours=8))
_EARLIEST_BELIEVABLE_MS: Final = 1_735_689_600_000  # 2025-01-01, before which this software was not there


class Counters(Struct, frozen=True, kw_only=True):
    """What the kernel has counted since the boot that it names, bytes. `written` is None where it does not count.

    `interfaces` are all that there are, as (sent, received); `outward` those that lead to everywhere at this moment.
    """

    boot: str
    written: int | None = None
    interfaces: dict[str, tuple[int, int]] = {}
    outward: tuple[str, ...] = ()


class Ledger(Struct, frozen=True, kw_only=True):
    """What is kept from boot to boot. `last_written` is the day before `day` that was counted."""

    day: str = ""
    month: str = ""
    written: int = 0
    last_written: int | None = None
    sent: int = 0
    received: int = 0
    seen: Counters | None = None


def step(ledger: Ledger, counters: Counters, wall_ms: int) -> Ledger:
    """Take in the counters as they stand now. What the machine did before the first look is nobody's budget."""
    before = ledger.seen or counters
    if before.boot != counters.boot:
        before = Counters(boot=counters.boot, written=0)
    written = 0 if counters.written is None else _grown(before.written, counters.written)
    moved = [
        tuple(map(_grown, before.interfaces.get(name, (0, 0)), counters.interfaces[name]))
        for name in counters.outward
        if name in counters.interfaces
    ]
    # What is away now may come back with its old count: a modem that was lost, a route that flaps.
    seen = replace(
        counters,
        written=before.written if counters.written is None else counters.written,
        interfaces={**before.interfaces, **counters.interfaces},
    )
    after = replace(ledger, seen=seen)
    if wall_ms >= _EARLIEST_BELIEVABLE_MS:
        day = datetime.fromtimestamp(wall_ms / 1000, _SITE_TIME).strftime("%Y-%m-%d")
        if day != ledger.day:
            after = replace(after, day=day, written=0, last_written=ledger.written if ledger.day else None)
        if day[:7] != ledger.month:
            after = replace(after, month=day[:7], sent=0, received=0)
    return replace(
        after,
        written=after.written + written,
        sent=after.sent + sum(sent for sent, _ in moved),
        received=after.received + sum(received for _, received in moved),
    )


def _grown(past: int | None, now: int) -> int:
    """By how much a counter grew. One that fell was begun anew: a modem that was plugged in again."""
    return now if past is None or now < past else now - past
