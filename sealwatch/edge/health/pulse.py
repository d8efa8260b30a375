"""Whether the agent as a whole still turns, for the watchdog of the machine: a decision without I/O.

A part that fails, or a device that is silent, is the supervisor's business and no reason to start everything anew.
What only a restart of the process mends is judged here: a supervising thread that has died, and an uplink that runs but
no longer turns (a lock that is never released, a disk that never answers).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sealwatch.contract.messages import PartHealth

STANDS_STILL_S: Final = 30.0
"""The uplink turns at least once a second; a slow card takes seconds for a commit, never this long."""

LIVED_S: Final = 600.0
"""A restart that did not help is not tried again sooner: a card that ruins its files must not keep the node busy."""


def judge(
    *, now_s: float, uplink_running_since_s: float | None, uplink_turned_s: float | None, unguarded: Sequence[str]
) -> str:
    """`turning`, or why the watchdog must not hear that it does: `part_unguarded`, `uplink_stands_still`.

    `uplink_running_since_s` is None while the uplink waits to be started again: then somebody looks after it.
    `unguarded` are the parts whose supervising thread is gone. All times are monotonic seconds.
    """
    if unguarded:
        return "part_unguarded"
    if uplink_running_since_s is not None:
        turned_s = max(uplink_running_since_s, uplink_turned_s or uplink_running_since_s)
        if now_s - turned_s > STANDS_STILL_S:
            return "uplink_stands_still"
    return "turning"


def restart_mends(parts: Sequence[PartHealth], *, lived_s: float) -> bool:
    """Whether a part is in a trouble that a new life of the agent mends by itself.

    A footage index that was damaged while it was open: the next start sets it aside and builds it from the files.
    """
    return lived_s >= LIVED_S and any(part.kind == "recorder" and part.reason == "disk_corrupt" for part in parts)
