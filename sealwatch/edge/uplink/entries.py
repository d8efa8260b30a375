"""What the outbox holds and says: references, messages to be stored, entries to be sent, limits and counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

from sealwatch.contract.codes import Level, Phase
from sealwatch.contract.topics import Channel

OUTBOX_FILE: Final = "outbox.db"
SNAPSHOTS_FROM: Final = 10
SAMPLES_PRIORITY: Final = 20


class Ref(NamedTuple):
    """What identifies a message at the service, together with the node."""

    boot_id: str
    seq: int


class OpenAlarm(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm that has started and not ended: enough to end it after the agent died."""

    alarm_id: str
    kind: str
    level: Level
    source_id: str
    zone: str
    started_at_ms: int
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message to be stored. `build` makes its bytes once the sequence number is known."""

    channel: Channel
    build: Callable[[Ref], bytes]
    level: Level = Level.BLUE
    phase: Phase | None = None  # of alarms only, together with `alarm`
    alarm: OpenAlarm | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A message waiting to be sent, without its bytes."""

    ref: Ref
    channel: Channel
    priority: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much room the less important may take. Alarms have no limit but the disk."""

    samples_bytes: int = 64 * 1024 * 1024
    snapshots_bytes: int = 256 * 1024 * 1024
    reserve_bytes: int = 64 * 1024 * 1024  # below this much free disk no samples, below half of it no pictures
    memory_bytes: int = 16 * 1024 * 1024  # pictures kept in memory while the disk refuses them


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """How the outbox stands. `trouble` is the named reason while the disk refuses writes, else empty."""

    pending: int
    refused: int
    in_memory: int
    samples_bytes: int
    snapshots_bytes: int
    samples_thinned: int
    snapshots_dropped: int
    trouble: str
    refused_reason: str

    @property
    def depth(self) -> int:
        """Messages the service has not taken yet."""
        return self.pending + self.refused + self.in_memory


@dataclass(frozen=True, slots=True)
class Notice:
    """An outbox file that could not be used: `reason` is `corrupt` or `newer_version`."""

    file: str
    reason: str
    rescued_messages: int
    rescued_alarms: int


def priority(channel: Channel, level: Level) -> int:
    """Smaller drains first: alarms by level, then pictures by level, then samples."""
    if channel is Channel.ALARM:
        return level.urgency
    return SNAPSHOTS_FROM + level.urgency if channel is Channel.SNAPSHOT else SAMPLES_PRIORITY


@dataclass(slots=True)
class Row:
    """A stored message. `grp` is the id of the first message of its alarm, else its own."""

    id: int
    grp: int
    ref: Ref
    channel: Channel
    priority: int
    created_at_ms: int
    alarm_id: str
    payload: bytes

    def entry(self) -> Entry:
        """Without its bytes."""
        return Entry(self.ref, self.channel, self.priority, len(self.payload))

    def order(self) -> tuple[int, int, int]:
        """Sorts as the file does: urgent first, then the newest alarm, then the order in which it told its story."""
        return (self.priority, -self.grp, self.id)


@dataclass(slots=True)
class OpenState:
    """An open alarm and how its messages are ordered."""

    grp: int
    priority: int
    alarm: OpenAlarm


@dataclass(slots=True)
class Group:
    """What is committed together: rows, and how the table of open alarms changes (None: it ended)."""

    rows: list[Row] = field(default_factory=list)
    opened: dict[str, OpenState | None] = field(default_factory=dict)
