"""When to publish the node's status, and why: a decision without I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sealwatch.contract.messages import PartHealth

Fingerprint = tuple[tuple[str, bool, str], ...]


@dataclass(frozen=True, slots=True)
class PresenceState:
    """What was last said on this connection."""

    said_at_s: float | None = None
    said: Fingerprint = ()


def fingerprint(parts: Sequence[PartHealth]) -> Fingerprint:
    """What makes a status differ from the last one: which part works and why not, no figures."""
    return tuple(sorted((part.part_id, part.ok, part.reason) for part in parts))


def step(
    state: PresenceState,
    parts: Sequence[PartHealth],
    now_s: float,
    *,
    every_s: float = 300.0,
    change_gap_s: float = 2.0,
) -> tuple[PresenceState, str | None]:
    """The reason to publish now (`connected`, `changed`, `periodic`) or None. A part that flaps cannot flood."""
    current = fingerprint(parts)
    if state.said_at_s is None:
        reason = "connected"
    elif current != state.said and now_s - state.said_at_s >= change_gap_s:
        reason = "changed"
    elif now_s - state.said_at_s >= every_s:
        reason = "periodic"
    else:
        return state, None
    return replace(state, said_at_s=now_s, said=current), reason
