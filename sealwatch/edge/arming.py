"""Disarming a node for announced work, and arming it again: who may, for how long, and what is said meanwhile.

Nothing is switched off. While a node is disarmed its cameras' and counters' alarms go out as `while_disarmed`, blue:
they are stored with picture and clip, and wake nobody and no siren. Faults, meters and contacts speak as ever. Whatever
still stands when it is armed again is raised then as what it is. Being disarmed is an alarm of its own.

Refusals of `disarm`
  reason: no_reason | bad_minutes | two_persons_wanted | no_open_permit | already_disarmed | not_kept
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from sealwatch.base import text
from sealwatch.base.clock import Clock
from sealwatch.base.files import replace_file
from sealwatch.base.text import Language
from sealwatch.contract.codes import AlarmKind, Level, Phase
from sealwatch.contract.messages import Command, Permit
from sealwatch.edge.declared import Declared
from sealwatch.edge.outputs.limits import in_hours
from sealwatch.edge.ports import AlarmDraft, Sink
from sealwatch.edge.uplink.commands import Answer

logger = logging.getLogger(__name__)
FILE: Final = "disarmed.json"
MOST_MINUTES: Final = 24 * 60
_LOWERED: Final = {AlarmKind.PERSON, AlarmKind.VEHICLE, AlarmKind.ANIMAL, AlarmKind.COUNT, AlarmKind.EQUIPMENT}
_SOURCE: Final = "node"


class Disarmed(Struct, frozen=True, kw_only=True):
    """Since when, until when, why, and on whose word: two persons, or a permit."""

    from_ms: int
    until_ms: int
    why: str
    who: str

    @property
    def alarm_id(self) -> str:
        return hashlib.sha256(f"disarmed|{self.from_ms}|{self.until_ms}|{self.who}".encode()).hexdigest()[:32]


def decide(command: Command, permits: Sequence[Permit], now_ms: int) -> Disarmed | tuple[str, str]:
    """What a command `disarm` comes to, or the reason of its refusal and what to do.

    Arguments: ``reason``, ``minutes``, and either ``permit`` or two different persons, ``first`` and ``second``. The
    minutes count from when it was asked for, so that one that was long on its way does not hold longer.
    """
    given = command.arguments
    why = given.get("reason", "").strip()[:200]
    if not why:
        return "no_reason", "say why: reason=…"
    minutes = given.get("minutes", "")
    if not minutes.isascii() or not minutes.isdigit() or not 1 <= int(minutes) <= MOST_MINUTES:
        return "bad_minutes", f"say for how long: minutes=1 to {MOST_MINUTES}"
    until_ms = command.issued_at_ms + int(minutes) * 60_000
    if until_ms <= now_ms:
        return "bad_minutes", "that time is over already"
    if given.get("permit"):
        permit = next((p for p in permits if p.permit_id == given["permit"]), None)
        if permit is None or not _open(permit, now_ms) or until_ms > permit.to_ms:
            return "no_open_permit", f"permit {given['permit'][:64]} is not open here now and until then"
        return Disarmed(from_ms=now_ms, until_ms=until_ms, why=why, who=f"permit {permit.permit_id}")
    first, second = given.get("first", "").strip(), given.get("second", "").strip()
    if not first or not second or first.casefold() == second.casefold():
        return "two_persons_wanted", "name two different persons, first=… second=…, or an open permit=…"
    return Disarmed(from_ms=now_ms, until_ms=until_ms, why=why, who=f"{first[:64]} + {second[:64]}")


def _open(permit: Permit, now_ms: int) -> bool:
    return permit.from_ms <= now_ms < permit.to_ms and in_hours((permit.from_hour, permit.to_hour), now_ms)


class Arming:
    """Keeps the state over restarts and says it. Callable from any thread."""

    def __init__(self, folder: Path, sink: Sink, clock: Clock, declared: Declared) -> None:
        """`sink` takes the alarm of being disarmed."""
        self._path, self._sink, self._clock, self._declared = folder / FILE, sink, clock, declared
        self._lock = threading.Lock()
        self._now: Disarmed | None = None
        self._end_s = 0.0
        self.on_armed: Callable[[], None] = lambda: None

    @property
    def disarmed(self) -> Disarmed | None:
        return self._now

    def start(self) -> None:
        """Take up what an earlier life was told; its alarm was ended with that life and begins again."""
        try:
            kept = msgspec.json.decode(self._path.read_bytes(), type=Disarmed)
        except FileNotFoundError:
            return
        except (OSError, msgspec.DecodeError) as error:
            logger.warning("%s cannot be read (%s): the node is armed", self._path, error)
            return
        if self._clock.wall_ms() < kept.until_ms:
            self._hold(kept)
        else:
            self._forget()

    def disarm(self, command: Command) -> Answer:
        """The command `disarm`."""
        with self._lock:
            if self._now is not None:
                return Answer(ok=False, reason="already_disarmed", detail=f"by {self._now.who}; arm it first")
            found = decide(command, self._declared.current().permits, self._clock.wall_ms())
            if not isinstance(found, Disarmed):
                return Answer(ok=False, reason=found[0], detail=found[1])
            try:
                replace_file(self._path, msgspec.json.encode(found))
            except OSError as error:
                return Answer(ok=False, reason="not_kept", detail=f"{self._path}: {error.strerror}")
            self._hold(found)
        return Answer(ok=True, reason="disarmed", detail=f"until_ms={found.until_ms}")

    def arm(self, _command: Command) -> Answer:
        """The command `arm`."""
        return Answer(ok=True, reason="armed" if self._arm("armed_by_command") else "already_armed")

    def tick(self) -> None:
        """Arm where the time is over: by the wall clock or by how long it has been, so that no clock prolongs it."""
        now = self._now
        if now is not None and (self._clock.wall_ms() >= now.until_ms or self._clock.monotonic_s() >= self._end_s):
            self._arm("time_over")

    def _hold(self, disarmed: Disarmed) -> None:
        now_ms = self._clock.wall_ms()
        longest_ms = disarmed.until_ms - disarmed.from_ms
        self._end_s = self._clock.monotonic_s() + min(disarmed.until_ms - now_ms, longest_ms) / 1000
        self._now = disarmed
        logger.warning("disarmed until %d ms by %s: %s", disarmed.until_ms, disarmed.who, disarmed.why)
        self._sink.alarm(_draft(disarmed, Phase.START, "disarmed", now_ms))

    def _arm(self, reason: str) -> bool:
        with self._lock:
            over, self._now = self._now, None
            if over is None:
                return False
            self._forget()
        logger.warning("armed again: %s", reason)
        self._sink.alarm(_draft(over, Phase.END, reason, self._clock.wall_ms()))
        self.on_armed()
        return True

    def _forget(self) -> None:
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("%s cannot be removed: %s; its own end time holds", self._path, error.strerror)


class ArmedSink:
    """What watchers put their alarms into: lowered while the node is disarmed; what still stands after is raised."""

    def __init__(self, inner: Sink, arming: Arming) -> None:
        self._inner, self._arming = inner, arming
        self._lock = threading.Lock()
        self._lowered: dict[str, AlarmDraft] = {}  # standing ones by the watcher's alarm_id, as the watcher said them
        self._raised: dict[str, str] = {}  # alarm_id -> the one under which it was raised at the end
        arming.on_armed = self.raise_standing

    def alarm(self, draft: AlarmDraft) -> None:
        """Store it, lowered where it began while disarmed."""
        with self._lock:
            out = self._as_told(draft)
        self._inner.alarm(out)

    def _as_told(self, draft: AlarmDraft) -> AlarmDraft:
        alarm_id = draft.alarm_id
        if draft.phase is Phase.START and draft.kind in _LOWERED and self._arming.disarmed is not None:
            self._lowered[alarm_id] = draft
        if alarm_id in self._lowered:
            self._lowered[alarm_id] = draft
            if draft.phase is Phase.END:
                del self._lowered[alarm_id]
            return _lowered(draft)
        if alarm_id in self._raised:
            raised_id = self._raised[alarm_id] if draft.phase is not Phase.END else self._raised.pop(alarm_id)
            return dataclasses.replace(draft, alarm_id=raised_id)
        return draft

    def raise_standing(self) -> None:
        """The node is armed: what stands is no longer allowed for."""
        with self._lock:
            standing, self._lowered = self._lowered, {}
            for alarm_id in standing:
                self._raised[alarm_id] = f"{alarm_id[:50]}-armed"
        for alarm_id, draft in standing.items():
            self._inner.alarm(dataclasses.replace(_lowered(draft), phase=Phase.END, snapshot_jpeg=None))
            self._inner.alarm(dataclasses.replace(draft, alarm_id=self._raised[alarm_id], phase=Phase.START))

    def samples(self, source_id: str, at_ms: Sequence[int], values: Mapping[str, Sequence[float | None]]) -> None:
        """Measurements are what they are."""
        self._inner.samples(source_id, at_ms, values)


def _lowered(draft: AlarmDraft) -> AlarmDraft:
    return dataclasses.replace(draft, kind=AlarmKind.WHILE_DISARMED, level=Level.BLUE)


def _draft(disarmed: Disarmed, phase: Phase, reason: str, now_ms: int) -> AlarmDraft:
    minutes = round((disarmed.until_ms - disarmed.from_ms) / 60_000)

    def sentence(language: Language) -> str:
        key = "arming.armed" if phase is Phase.END else "arming.disarmed"
        return text.say(language, key, who=disarmed.who, why=disarmed.why, minutes=minutes)[:500]

    return AlarmDraft(
        alarm_id=f"{disarmed.alarm_id}",
        kind=AlarmKind.DISARMED,
        phase=phase,
        level=Level.YELLOW,
        source_id=_SOURCE,
        started_at_ms=disarmed.from_ms,
        captured_at_ms=now_ms,
        score=1.0,
        reason=reason,
        sentence_zh=sentence(Language.ZH),
        sentence_en=sentence(Language.EN),
        numbers={"minutes": float(minutes)},
    )
