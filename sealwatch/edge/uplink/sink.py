"""Turns what the parts decide into signed, numbered messages in the outbox."""

from __future__ import annotations

import hashlib
import logging
import math
import re
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from sealwatch.base import text
from sealwatch.base.clock import Clock
from sealwatch.base.text import Language
from sealwatch.contract import wire
from sealwatch.contract.codes import AlarmKind, Level, Phase
from sealwatch.contract.messages import Alarm, EvidenceRef, Origin, Samples, Snapshot
from sealwatch.contract.signing import to_base64url
from sealwatch.contract.topics import Channel
from sealwatch.edge.health.clock import ClockState
from sealwatch.edge.identity import Identity
from sealwatch.edge.ports import AlarmDraft
from sealwatch.edge.uplink.entries import Notice, OpenAlarm, Outgoing, Ref
from sealwatch.edge.uplink.outbox import Outbox
from sealwatch.edge.uplink.store import OutboxError

logger = logging.getLogger(__name__)

MAX_PICTURE_BYTES = 150_000  # a sealed snapshot must stay below the contract's largest payload
MAX_SAMPLES = 3600
SAMPLES_WAIT_S = 2.0  # measurements are committed together: one sync of the disk for all of them
SAMPLES_BATCH = 64
_NAME = re.compile(r"^[a-z][a-z0-9_]{0,63}$")
_SENTENCE = 500


class OutboxSink:
    """The agent's `Sink`. Callable from any thread.

    An alarm whose commit the disk refuses is not lost either: it stays in memory, is sent from there and written
    later, and the health of the outbox says so. Detectors never have to handle that.
    """

    def __init__(
        self,
        outbox: Outbox,
        identity: Identity,
        *,
        site_id: str,
        node_id: str,
        clock: Clock,
        clock_state: Callable[[], ClockState],
    ) -> None:
        self._outbox, self._identity, self._clock, self._clock_state = outbox, identity, clock, clock_state
        self._site_id, self._node_id = site_id, node_id
        self._lock = threading.Lock()
        self._waiting: list[Outgoing] = []
        self._waiting_since_s = 0.0
        self._sealed: deque[tuple[str, bytes]] = deque()
        self.on_sealed: Callable[[str, bytes], None] = _nobody

    def alarm(self, draft: AlarmDraft) -> None:
        """Make one transition and its picture durable, together."""
        self._store(self._transition(draft))

    def samples(self, source_id: str, at_ms: Sequence[int], values: Mapping[str, Sequence[float | None]]) -> None:
        """Take measurements; they are committed with others within `SAMPLES_WAIT_S`."""
        columns = {name: column for name, column in values.items() if _NAME.match(name) and len(column) == len(at_ms)}
        if len(columns) < len(values):
            logger.warning("samples of %s: %s can't be sent", source_id, ", ".join(sorted(set(values) - set(columns))))
        if not columns:
            return
        added = [
            self.measurements(source_id, at_ms[i : i + MAX_SAMPLES], columns, i)
            for i in range(0, len(at_ms), MAX_SAMPLES)
        ]
        with self._lock:
            if not self._waiting:
                self._waiting_since_s = self._clock.monotonic_s()
            self._waiting.extend(added)
            full = len(self._waiting) >= SAMPLES_BATCH
        if full:
            self.flush()

    def attach(self, *, reference_id: str, source_id: str, data: bytes, media_type: str = "image/jpeg") -> str:
        """Make a picture or file that belongs to no alarm durable, under the id of what asked for it; its SHA-256.

        Raises ValueError where it is too large to be sent.
        """
        if len(data) > MAX_PICTURE_BYTES:
            raise ValueError(f"it has {len(data)} bytes, at most {MAX_PICTURE_BYTES} can be sent")
        evidence = _evidence(data, media_type)
        now_ms = self._clock.wall_ms()
        self._store([self._snapshot(reference_id, source_id, now_ms, Level.BLUE, evidence, data)])
        return evidence.sha256

    def flush(self) -> None:
        """Commit the measurements that wait, in one transaction."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        if waiting:
            self._store(waiting)

    def flush_due(self) -> float | None:
        """Flush where measurements have waited long enough; the monotonic time of the next one due, or None."""
        with self._lock:
            due_s = self._waiting_since_s + SAMPLES_WAIT_S if self._waiting else None
        if due_s is None or due_s > self._clock.monotonic_s():
            return due_s
        self.flush()
        return None

    def close_orphans(self, source_id: str | None = None) -> int:
        """End every alarm that a life now over has left open; how many. Durable when it returns.

        Without `source_id`: all of them, before the watchers start (`agent_restarted`); with it: those of one part that
        has failed and starts anew (`part_restarted`).
        """
        orphans = self._outbox.open_alarms()
        if source_id is not None:  # that a part fails is judged elsewhere, and goes on while it is started again
            orphans = [a for a in orphans if a.source_id == source_id and a.kind != AlarmKind.NODE_FAULT]
        if orphans:
            reason = "agent_restarted" if source_id is None else "part_restarted"
            now_ms = self._clock.wall_ms()
            self._store([m for orphan in orphans for m in self._transition(_end_of(orphan, reason, now_ms))])
            logger.warning("%d alarms were left open and are ended (%s)", len(orphans), reason)
        return len(orphans)

    def report_notices(self) -> int:
        """Raise an alarm for each outbox file that had to be replaced; how many. Notices stay until that is durable."""
        notices = self._outbox.notices()
        if not notices:
            return 0
        now_ms = self._clock.wall_ms()
        drafts = [_fault_of(notice, phase, now_ms) for notice in notices for phase in (Phase.START, Phase.END)]
        try:
            self._outbox.enqueue([m for draft in drafts for m in self._transition(draft)])
            self._outbox.clear_notices()
        except OutboxError as error:
            logger.warning("not reported for good yet: %s", error)
        self._tell_sealed()
        return len(notices)

    def _store(self, messages: Sequence[Outgoing]) -> None:
        try:
            self._outbox.enqueue(messages)
        except OutboxError:
            # The outbox has logged it once, shows it in its health and goes on trying: nothing is left to do here.
            logger.debug("kept in memory: the disk refuses")
        self._tell_sealed()

    def _tell_sealed(self) -> None:
        """Hand on what was signed, after its own commit: the alarm comes before its link in the chain."""
        while self._sealed:
            self.on_sealed(*self._sealed.popleft())

    def _seal(self, message: Alarm | Snapshot) -> bytes:
        payload = wire.seal(self._identity.key, message)
        self._sealed.append(("alarm" if isinstance(message, Alarm) else "snapshot", payload))
        return payload

    def _transition(self, draft: AlarmDraft) -> list[Outgoing]:
        picture = draft.snapshot_jpeg
        if picture is not None and len(picture) > MAX_PICTURE_BYTES:
            logger.warning(
                "alarm %s: its picture has %d bytes and is left out, %d are allowed",
                draft.alarm_id,
                len(picture),
                MAX_PICTURE_BYTES,
            )
            picture = None
        evidence = _evidence(picture) if picture is not None else None
        messages = [
            Outgoing(
                channel=Channel.ALARM,
                level=draft.level,
                phase=draft.phase,
                alarm=OpenAlarm(
                    alarm_id=draft.alarm_id,
                    kind=draft.kind,
                    level=draft.level,
                    source_id=draft.source_id,
                    zone=draft.zone,
                    started_at_ms=draft.started_at_ms,
                    score=_ratio(draft.score),
                ),
                build=lambda ref: self._seal(self._alarm(ref, draft, evidence)),
            )
        ]
        if picture is not None and evidence is not None:
            messages.append(
                self._snapshot(draft.alarm_id, draft.source_id, draft.captured_at_ms, draft.level, evidence, picture)
            )
        return messages

    def _alarm(self, ref: Ref, draft: AlarmDraft, evidence: EvidenceRef | None) -> Alarm:
        return Alarm(
            origin=self._origin(ref, draft.captured_at_ms),
            alarm_id=draft.alarm_id,
            kind=draft.kind,
            phase=draft.phase,
            level=draft.level,
            source_id=draft.source_id,
            zone=draft.zone[:64],
            started_at_ms=max(0, draft.started_at_ms),
            score=_ratio(draft.score),
            reason=draft.reason,
            numbers=_sound(draft.numbers),
            sentence_zh=draft.sentence_zh[:_SENTENCE],
            sentence_en=draft.sentence_en[:_SENTENCE],
            snapshot=evidence,
        )

    def _snapshot(
        self, alarm_id: str, source_id: str, captured_at_ms: int, level: Level, evidence: EvidenceRef, jpeg: bytes
    ) -> Outgoing:
        return Outgoing(
            channel=Channel.SNAPSHOT,
            level=level,
            build=lambda ref: self._seal(
                Snapshot(
                    origin=self._origin(ref, captured_at_ms),
                    alarm_id=alarm_id,
                    source_id=source_id,
                    evidence=evidence,
                    data=to_base64url(jpeg),
                ),
            ),
        )

    def measurements(
        self, source_id: str, at_ms: Sequence[int], columns: Mapping[str, Sequence[float | None]], first: int = 0
    ) -> Outgoing:
        """The message for rows `first` and following of `columns`, as many as `at_ms` has."""
        part = {
            name: [_finite(value) for value in column[first : first + len(at_ms)]] for name, column in columns.items()
        }
        stamps = [int(at) for at in at_ms]
        return Outgoing(
            channel=Channel.SAMPLES,
            build=lambda ref: wire.encode(
                Samples(origin=self._origin(ref, stamps[-1]), source_id=source_id, at_ms=stamps, values=part)
            ),
        )

    def _origin(self, ref: Ref, captured_at_ms: int) -> Origin:
        state = self._clock_state()
        return Origin(
            site_id=self._site_id,
            node_id=self._node_id,
            boot_id=ref.boot_id,
            seq=ref.seq,
            captured_at_ms=max(0, captured_at_ms),
            enqueued_at_ms=max(0, self._clock.wall_ms()),
            clock_quality=state.quality,
            clock_offset_ms=state.offset_ms,
        )


def _nobody(_kind: str, _payload: bytes) -> None:
    """Nobody keeps a chain of what is sent."""


def _evidence(data: bytes, media_type: str = "image/jpeg") -> EvidenceRef:
    return EvidenceRef(sha256=hashlib.sha256(data).hexdigest(), media_type=media_type, size_bytes=len(data))


def _ratio(score: float) -> float:
    return min(1.0, max(0.0, score)) if math.isfinite(score) else 0.0


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _sound(numbers: Mapping[str, float]) -> dict[str, float]:
    """What the contract can carry: JSON knows no infinity, and one bad figure must not hold the alarm back."""
    good = {name: float(value) for name, value in numbers.items() if _NAME.match(name) and math.isfinite(value)}
    return dict(list(good.items())[:64])


def _end_of(orphan: OpenAlarm, reason: str, now_ms: int) -> AlarmDraft:
    def sentence(language: Language) -> str:
        label = f"kind.{orphan.kind}"
        kind = text.say(language, label) if label in text.catalogue() else orphan.kind
        return text.say(language, f"edge.{reason}", kind=kind, source=orphan.source_id)

    return AlarmDraft(
        alarm_id=orphan.alarm_id,
        kind=orphan.kind,
        phase=Phase.END,
        level=orphan.level,
        source_id=orphan.source_id,
        zone=orphan.zone,
        started_at_ms=orphan.started_at_ms,
        captured_at_ms=now_ms,
        score=orphan.score,
        reason=reason,
        sentence_zh=sentence(Language.ZH),
        sentence_en=sentence(Language.EN),
    )


def _fault_of(notice: Notice, phase: Phase, now_ms: int) -> AlarmDraft:
    numbers = {"rescued_messages": notice.rescued_messages, "rescued_alarms": notice.rescued_alarms}

    def sentence(language: Language) -> str:
        return text.say(language, f"edge.outbox_{notice.reason}", file=notice.file, count=notice.rescued_messages)

    return AlarmDraft(
        alarm_id=hashlib.sha256(notice.file.encode()).hexdigest()[:32],
        kind=AlarmKind.NODE_FAULT,
        phase=phase,
        level=Level.YELLOW,
        source_id="outbox",
        started_at_ms=now_ms,
        captured_at_ms=now_ms,
        score=1.0,
        reason=f"outbox_{notice.reason}" if phase is Phase.START else "outbox_replaced",
        sentence_zh=sentence(Language.ZH),
        sentence_en=sentence(Language.EN),
        numbers=numbers,
    )
