"""Small builders for the tests of the uplink."""

from __future__ import annotations

from pathlib import Path

from sealwatch.base.clock import Clock, ManualClock
from sealwatch.contract.codes import Level, Phase
from sealwatch.contract.topics import Channel
from sealwatch.edge.uplink.entries import Limits, OpenAlarm, Outgoing, Ref
from sealwatch.edge.uplink.outbox import Outbox

BOOT_A, BOOT_B = "a" * 32, "b" * 32
PLENTY = 10**12


def outbox(
    folder: Path, *, boot_id: str = BOOT_A, clock: Clock | None = None, limits: Limits | None = None, free: int = PLENTY
) -> Outbox:
    return Outbox(
        folder / "outbox.db",
        boot_id=boot_id,
        clock=clock or ManualClock(),
        limits=limits,
        free_bytes=lambda _folder: free,
    )


def open_alarm(alarm_id: str, level: Level = Level.ORANGE) -> OpenAlarm:
    return OpenAlarm(
        alarm_id=alarm_id,
        kind="person",
        level=level,
        source_id="cam-1",
        zone="井口",
        started_at_ms=1_700_000_000_000,
        score=0.8,
    )


def alarm(alarm_id: str, phase: Phase = Phase.START, level: Level = Level.ORANGE) -> Outgoing:
    return Outgoing(
        channel=Channel.ALARM,
        build=lambda ref: f"{alarm_id}/{phase}/{ref.seq}".encode(),
        level=level,
        phase=phase,
        alarm=open_alarm(alarm_id, level),
    )


def picture(level: Level = Level.ORANGE, size: int = 100) -> Outgoing:
    return Outgoing(channel=Channel.SNAPSHOT, build=lambda ref: bytes(size), level=level)


def measurements(size: int = 100) -> Outgoing:
    return Outgoing(channel=Channel.SAMPLES, build=lambda ref: bytes(size))


def texts(box: Outbox, limit: int = 1000) -> list[str]:
    """What waits to be sent, in order; alarms as id/phase/seq, the others by channel."""
    found = []
    for entry in box.head(limit):
        payload = box.payload(entry.ref)
        assert payload is not None
        found.append(payload.decode() if entry.channel is Channel.ALARM else str(entry.channel))
    return found


def seqs(refs: list[Ref]) -> list[int]:
    return [ref.seq for ref in refs]
