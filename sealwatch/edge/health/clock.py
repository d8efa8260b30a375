"""How far the wall clock can be believed: what the kernel itself says through adjtimex(2).

The fields and flags are those of ``struct timex`` (linux/timex.h, adjtimex(2)). `STA_UNSYNC` is what ntpd, chrony and
systemd-timesyncd clear when they discipline the clock, and what the kernel sets by itself when nobody has for a while.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sealwatch.base.clock import Clock
from sealwatch.contract.codes import ClockQuality
from sealwatch.contract.messages import PartHealth

_STA_PLL: Final = 0x0001
_STA_UNSYNC: Final = 0x0040
_STA_NANO: Final = 0x2000
_TIME_ERROR: Final = 5
_EARLIEST_BELIEVABLE_MS: Final = 1_735_689_600_000
"""2025-01-01: before this software existed no clock reading is right, whatever anybody says about it."""
_SYNCED_SINCE_BOOT: Final = Path("/run/systemd/timesync/synchronized")
"""systemd-timesyncd touches it at every synchronisation; /run is empty after a boot."""


class _Timex(ctypes.Structure):
    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("constant", ctypes.c_long),
        ("precision", ctypes.c_long),
        ("tolerance", ctypes.c_long),
        ("time_sec", ctypes.c_long),
        ("time_usec", ctypes.c_long),
        ("tick", ctypes.c_long),
        ("ppsfreq", ctypes.c_long),
        ("jitter", ctypes.c_long),
        ("shift", ctypes.c_int),
        ("stabil", ctypes.c_long),
        ("jitcnt", ctypes.c_long),
        ("calcnt", ctypes.c_long),
        ("errcnt", ctypes.c_long),
        ("stbcnt", ctypes.c_long),
        ("tai", ctypes.c_int),
        ("reserved", ctypes.c_int * 11),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelClock:
    """What adjtimex(2) answered. `offset` is in nanoseconds with STA_NANO, else in microseconds."""

    state: int
    status: int
    offset: int
    max_error_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockState:
    """The wall clock as an event is stamped. `offset_ms` is None where nobody has measured it."""

    quality: ClockQuality
    offset_ms: float | None
    reason: str


def read_kernel() -> KernelClock | None:
    """Ask the kernel, changing nothing; None where this machine has no adjtimex(2). Needs no rights."""
    try:
        adjtimex = ctypes.CDLL(ctypes.util.find_library("c") or "libc.so.6", use_errno=True).adjtimex
    except (OSError, AttributeError):
        return None
    timex = _Timex()
    state = int(adjtimex(ctypes.byref(timex)))
    if state < 0:
        return None
    return KernelClock(
        state=state, status=int(timex.status), offset=int(timex.offset), max_error_us=int(timex.maxerror)
    )


def judge(kernel: KernelClock | None, *, wall_ms: int, was_synchronised: bool) -> ClockState:
    """The quality, with its named reason. `was_synchronised`: at any time since the machine started."""
    if wall_ms < _EARLIEST_BELIEVABLE_MS:
        return ClockState(quality=ClockQuality.UNSYNCHRONISED, offset_ms=None, reason="date_in_the_past")
    if kernel is None:
        return ClockState(quality=ClockQuality.UNSYNCHRONISED, offset_ms=None, reason="kernel_says_nothing")
    if kernel.state != _TIME_ERROR and not kernel.status & _STA_UNSYNC:
        # Only the kernel's own loop (ntpd, timesyncd) leaves a measured offset; chrony steers past it and leaves 0.
        scale = 1e6 if kernel.status & _STA_NANO else 1e3
        offset_ms = kernel.offset / scale if kernel.status & _STA_PLL else None
        return ClockState(quality=ClockQuality.SYNCHRONISED, offset_ms=offset_ms, reason="disciplined")
    if was_synchronised:
        return ClockState(quality=ClockQuality.HOLDOVER, offset_ms=None, reason="source_away")
    return ClockState(quality=ClockQuality.UNSYNCHRONISED, offset_ms=None, reason="never_synchronised")


class ClockWatch:
    """Answers how good the clock is, asking the kernel at most once in `max_age_s`. Callable from any thread."""

    def __init__(
        self,
        clock: Clock,
        *,
        kernel: Callable[[], KernelClock | None] = read_kernel,
        synchronised_mark: Path = _SYNCED_SINCE_BOOT,
        max_age_s: float = 1.0,
    ) -> None:
        self._clock, self._kernel, self._mark, self._max_age_s = clock, kernel, synchronised_mark, max_age_s
        self._seen_synchronised = False
        self._at_s = float("-inf")
        self._state = ClockState(quality=ClockQuality.UNSYNCHRONISED, offset_ms=None, reason="never_synchronised")

    def __call__(self) -> ClockState:
        now_s = self._clock.monotonic_s()
        if now_s - self._at_s >= self._max_age_s:
            known = self._seen_synchronised or self._mark.exists()
            state = judge(self._kernel(), wall_ms=self._clock.wall_ms(), was_synchronised=known)
            self._seen_synchronised = self._seen_synchronised or state.quality is ClockQuality.SYNCHRONISED
            self._state, self._at_s = state, now_s
        return self._state

    def health(self) -> PartHealth:
        """Well while synchronised; holdover and worse are named."""
        state = self()
        return PartHealth(
            part_id="clock",
            kind="clock",
            ok=state.quality is ClockQuality.SYNCHRONISED,
            reason=state.reason,
            evidence_at_ms=self._clock.wall_ms() if state.quality is ClockQuality.SYNCHRONISED else None,
            numbers={} if state.offset_ms is None else {"offset_ms": state.offset_ms},
        )
