"""The part that reads one meter, judges its power and raises alarms."""

from __future__ import annotations

import hashlib
import logging
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from sealwatch.base.clock import Clock
from sealwatch.contract.codes import AlarmKind, Level, Phase
from sealwatch.contract.messages import PartHealth
from sealwatch.edge.activity import Activity
from sealwatch.edge.config import MeterSettings
from sealwatch.edge.declared import Declared, DeclaredNow
from sealwatch.edge.ports import AlarmDraft, MeterBus, MeterError, Reading, Sink
from sealwatch.edge.power import chart
from sealwatch.edge.power.analysis import Analyser, Verdict
from sealwatch.edge.power.bus import Lines
from sealwatch.edge.power.learnt import LearntFile
from sealwatch.edge.power.outlet import Outlet
from sealwatch.edge.power.profiles import load_profile
from sealwatch.edge.power.ring import RawRing
from sealwatch.edge.power.rules import Transition, meter, plausibility
from sealwatch.edge.power.rules.envelope import Permit, permits_of
from sealwatch.edge.power.rules.meter import MeterState
from sealwatch.edge.power.rules.plausibility import PlausibleState
from sealwatch.edge.power.sentences import fault_sentences, meter_sentences, power_sentences

FAULT_AFTER_S = 30.0
"""A meter that can't be read for this long is a fault."""
SLOW_EVERY_S = 5.0
"""One of the slow groups (voltage, energy ...) is read each time."""
SAVE_EVERY_S = 3600.0
"""What was learnt goes to the disk this often, and at the end."""
CLOCK_JUMP_S = 30.0
"""A wall clock that moves by more against the monotonic one was set; smaller steps shift no hour."""
_WAIT_SLICE_S = 0.25
_log = logging.getLogger(__name__)


class MeterWatcher:
    """Polls one meter. Implements `sealwatch.edge.ports.Part`; lives by the given clock alone."""

    def __init__(
        self,
        settings: MeterSettings,
        *,
        declared: Declared,
        sink: Sink,
        clock: Clock,
        bus: MeterBus | None = None,
        ring: RawRing | None = None,
        memory: LearntFile | None = None,
        activity: Activity | None = None,
    ) -> None:
        """Raises UsageError for a profile or wire that is not known. Without `bus` the meter has its line to itself."""
        profile = load_profile(settings.profile)
        self._settings, self._declared, self._sink, self._clock = settings, declared, sink, clock
        self._holds = declared.current()
        self._bus = bus or Lines().bus(settings)
        self._fast, self._slow = profile.groups()
        self._offset_s = clock.wall_ms() / 1000 - clock.monotonic_s()
        self._analyser = Analyser(
            self._holds.declared_status,
            interval_s=settings.poll_interval_s,
            permits=_permits(self._holds),
            unix_offset_s=self._offset_s,
            production_w=settings.production_w,
            activity=_minutes_of(activity),
        )
        self._memory, self._save_due_s, self._memory_was = memory, clock.monotonic_s() + SAVE_EVERY_S, "new"
        if memory is not None:
            learnt, self._memory_was = memory.load()
            if learnt is not None:
                self._analyser.remember(learnt)
        self._lock = threading.Lock()
        self._last: Reading | None = None
        self._failure: MeterError | None = None
        self._fault_since_ms: int | None = None
        self._fault_raised = False
        self._begun_s: float | None = None
        self._outlet = Outlet(sink, settings.meter_id, per_minute=settings.uplink == "minutes", ring=ring)
        self._slow_due_s = 0.0
        self._meter, self._plausible = MeterState(), PlausibleState()
        self._trips: list[tuple[float, float]] = []
        self._polls = self._answers = 0
        self._failures: Counter[str] = Counter()
        self._run_id = secrets.token_hex(8)  # seconds since the machine's start repeat after a restart

    @property
    def part_id(self) -> str:
        return self._settings.meter_id

    def run(self, stop: threading.Event) -> None:
        """Poll until `stop` is set."""
        next_s = self._clock.monotonic_s()
        try:
            while not stop.is_set():
                self.poll()
                next_s = max(next_s + self._settings.poll_interval_s, self._clock.monotonic_s())
                while not stop.is_set() and (left_s := next_s - self._clock.monotonic_s()) > 0:
                    self._clock.sleep(min(left_s, _WAIT_SLICE_S))
        finally:
            self._save()
            self._outlet.close()
            self._bus.close()

    def poll(self) -> None:
        """Read the meter once and act on what it says."""
        now_s = self._clock.monotonic_s()
        if self._begun_s is None:
            self._begun_s, self._slow_due_s = now_s, now_s + SLOW_EVERY_S
        self._polls += 1
        try:
            values = dict(self._bus.read(self._settings.address, self._fast))
            if "active_power_w" not in values:
                raise MeterError("garbage", "the meter answers without a total active power")
        except MeterError as error:
            self._missed(error)
        else:
            self._took(values | self._read_slow(now_s))

    def health(self) -> PartHealth:
        """Works while the last good reading is fresh."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            last, failure = self._last, self._failure
            numbers = {"polls": float(self._polls), "answers": float(self._answers)}
            numbers |= {f"failed_{reason}": float(count) for reason, count in self._failures.items()}
            numbers["baseline_learnt"] = self._analyser.learning
            numbers["declaration"] = float(self._holds.version)
        fresh_s = max(FAULT_AFTER_S, 3 * self._settings.poll_interval_s)
        ok = last is not None and now_s - last.monotonic_s < fresh_s
        if last is not None:
            numbers["active_power_w"] = last.values["active_power_w"]
            numbers["age_s"] = now_s - last.monotonic_s
        reason = "reading" if ok else failure.reason if failure else "not_read_yet"
        return PartHealth(
            part_id=self.part_id,
            kind="meter",
            ok=ok,
            reason=reason,
            evidence_at_ms=last.captured_at_ms if last else None,
            numbers=numbers,
        )

    def _read_slow(self, now_s: float) -> dict[str, float]:
        """One of the slow groups when it is due; a meter that lacks it is not asked for it again."""
        if not self._slow or now_s < self._slow_due_s:
            return {}
        self._slow_due_s = now_s + SLOW_EVERY_S
        group = self._slow.pop(0)
        try:
            values = dict(self._bus.read(self._settings.address, group))
        except MeterError as error:
            if error.reason == "exception":
                _log.info("meter %s does not provide %s: %s", self.part_id, ", ".join(group), error.detail)
                return {}
            values = {}
        self._slow.append(group)
        return values

    def _took(self, values: Mapping[str, float]) -> None:
        now_s, now_ms = self._clock.monotonic_s(), self._clock.wall_ms()
        with self._lock:
            self._answers += 1
            self._last = Reading(meter_id=self.part_id, captured_at_ms=now_ms, monotonic_s=now_s, values=dict(values))
            self._failure = None
        if self._fault_raised:
            self._fault(Phase.END, "reading", now_ms)
        self._fault_since_ms, self._fault_raised = None, False
        self._outlet.take(now_s, now_ms, values)
        self._keep_up(now_s, now_ms)
        phases_w = np.array([[values.get(f"active_power_{phase}_w", np.nan) for phase in "abc"]])
        findings = self._analyser.feed(np.array([now_s]), np.array([values["active_power_w"]]), phases_w)
        self._trips = self._analyser.hoist_trips or self._trips
        self._meter, told = meter.advance(self._meter, now_s, values)
        self._plausible, doubted = plausibility.advance(self._plausible, now_s, values)
        own = [
            Verdict(AlarmKind.METER_FAULT, level, transition, self._holds.declared_status)
            for level, transition in [*told, *doubted]
        ]
        for verdict in [*findings.verdicts, *own]:
            self._sink.alarm(self._draft(verdict, now_s, now_ms))
            if verdict.transition.phase is Phase.START:
                self._outlet.alarm(now_ms)

    def _keep_up(self, now_s: float, now_ms: int) -> None:
        """A declaration that came, a clock that was set, what was learnt, to the disk."""
        if (holds := self._declared.current()) is not self._holds:
            self._holds = holds
            self._analyser.declare(holds.declared_status, _permits(holds))
        if abs(now_ms / 1000 - now_s - self._offset_s) > CLOCK_JUMP_S:
            self._offset_s = now_ms / 1000 - now_s
            self._analyser.set_unix_offset(self._offset_s)
        if self._memory_was == "damaged":
            self._memory_was = "new"
            self._tell_damaged(now_s, now_ms)
        if now_s >= self._save_due_s:
            self._save_due_s = now_s + SAVE_EVERY_S
            self._save()

    def _save(self) -> None:
        if self._memory is not None:
            self._memory.save(self._analyser.learnt())

    def _tell_damaged(self, now_s: float, now_ms: int) -> None:
        """What was learnt could not be read any more: told, and over at once, because it is being learnt anew."""
        for phase, reason in ((Phase.START, "learnt_state_damaged"), (Phase.END, "set_aside")):
            transition = Transition(
                phase=phase, reason=reason, subject="learnt_state_damaged", started_s=now_s, at_s=now_s, score=1.0
            )
            verdict = Verdict(AlarmKind.METER_FAULT, Level.YELLOW, transition, self._holds.declared_status)
            self._sink.alarm(self._draft(verdict, now_s, now_ms))

    def _missed(self, error: MeterError) -> None:
        now_s, now_ms = self._clock.monotonic_s(), self._clock.wall_ms()
        with self._lock:
            first = self._failure is None
            self._failure = error
            self._failures[error.reason] += 1
            last_s = self._last.monotonic_s if self._last else self._begun_s
        if first:
            _log.warning("meter %s: %s", self.part_id, error)
        if last_s is None or self._fault_raised or now_s - last_s < FAULT_AFTER_S:
            return
        self._fault_since_ms = now_ms - int((now_s - last_s) * 1000)
        self._fault_raised = True
        self._fault(Phase.START, error.reason, now_ms)
        self._outlet.alarm(now_ms)

    def _fault(self, phase: Phase, reason: str, now_ms: int) -> None:
        started_ms = self._fault_since_ms or now_ms
        ended_ms = now_ms if phase is Phase.END else None
        zh, en = fault_sentences(self.part_id, reason, started_ms=started_ms, ended_ms=ended_ms)
        self._sink.alarm(
            AlarmDraft(
                alarm_id=self._alarm_id(AlarmKind.METER_FAULT, "", started_ms),
                kind=AlarmKind.METER_FAULT,
                phase=phase,
                # A meter that answered and fell silent was cut, opened or unplugged; one that never did is miswired.
                level=Level.ORANGE if self._answers else Level.YELLOW,
                source_id=self.part_id,
                started_at_ms=started_ms,
                captured_at_ms=now_ms,
                score=1.0,
                reason=reason,
                sentence_zh=zh,
                sentence_en=en,
                numbers={"lost_s": (now_ms - started_ms) / 1000},
                snapshot_jpeg=self._chart(chart.Marks(started_ms=started_ms), now_ms),
            )
        )

    def _draft(self, verdict: Verdict, now_s: float, now_ms: int) -> AlarmDraft:
        found = verdict.transition
        started_ms = now_ms - int((now_s - found.started_s) * 1000)
        at_ms = now_ms - (now_s - found.at_s) * 1000
        if verdict.kind is AlarmKind.METER_FAULT:
            zh, en = meter_sentences(self.part_id, found.subject, found.phase, started_ms=started_ms, at_ms=at_ms)
        else:
            zh, en = power_sentences(
                verdict.kind,
                found.phase,
                subject=found.subject,
                started_ms=started_ms,
                at_ms=at_ms,
                numbers=found.numbers,
                declared=verdict.declared,
            )
        return AlarmDraft(
            alarm_id=self._alarm_id(verdict.kind, found.subject, int(found.started_s * 1000)),
            kind=verdict.kind,
            phase=found.phase,
            level=verdict.level,
            source_id=self.part_id,
            started_at_ms=started_ms,
            captured_at_ms=now_ms,
            score=found.score,
            reason=found.reason,
            sentence_zh=zh,
            sentence_en=en,
            numbers=found.numbers,
            snapshot_jpeg=self._chart(self._marks(verdict, started_ms, now_s, now_ms), now_ms),
        )

    def _marks(self, verdict: Verdict, started_ms: int, now_s: float, now_ms: int) -> chart.Marks:
        """What the chart of a verdict points at."""
        hoisting = verdict.kind is AlarmKind.HOIST_LIKE_CYCLE
        trips = self._trips if hoisting else []
        return chart.Marks(
            started_ms=started_ms,
            trips=[
                (now_ms - round((now_s - a) * 1000), now_ms - round((now_s - b) * 1000))
                for a, b in trips
                if b > verdict.transition.started_s
            ],
            limit_w=verdict.transition.numbers.get("limit_w"),
        )

    def _chart(self, marks: chart.Marks, now_ms: int) -> bytes | None:
        """The power around an alarm as a small picture; an alarm goes without it where nothing was kept."""
        from_ms, to_ms = chart.span_ms(marks.started_ms, now_ms)
        kept = self._outlet.kept(from_ms, to_ms + 1)
        if kept is None or not len(kept):
            return None
        return chart.draw(kept["at_ms"], kept["active_power_w"], from_ms=from_ms, to_ms=to_ms, marks=marks)

    def _alarm_id(self, kind: AlarmKind, subject: str, started: int) -> str:
        """The same from start to end of one alarm, and never that of another."""
        return hashlib.sha256(f"{self.part_id}|{self._run_id}|{kind}|{subject}|{started}".encode()).hexdigest()[:32]


def meter_watchers(
    meters: Sequence[MeterSettings],
    *,
    declared: Declared,
    sink: Sink,
    clock: Clock,
    raw_folder: Path | None = None,
    activity: Activity | None = None,
) -> list[MeterWatcher]:
    """A watcher for every meter; meters behind the same converter share one line. Raises UsageError.

    `activity` is asked only where there is one meter: of several, each alone may rightly show nothing.

    Below `raw_folder` the raw readings of the last seven days are kept, and what was learnt of each meter's site.
    """
    lines = Lines()
    return [
        MeterWatcher(
            m,
            declared=declared,
            sink=sink,
            clock=clock,
            bus=lines.bus(m),
            ring=RawRing(raw_folder, m.meter_id) if raw_folder else None,
            memory=LearntFile(raw_folder / f"{m.meter_id}.learnt.json") if raw_folder else None,
            activity=activity if len(meters) == 1 else None,
        )
        for m in meters
    ]


def _minutes_of(activity: Activity | None) -> Callable[[float], bool] | None:
    """Work in the minute that begins at a moment (Unix seconds), as the analysis asks for it."""
    if activity is None:
        return None
    seen = activity
    return lambda start_s: seen.between(round(start_s * 1000), round(start_s * 1000) + 60_000)


def _permits(declared: DeclaredNow) -> list[Permit] | None:
    """The permits of a declaration as the rules of the meter want them; None where the service has not spoken yet."""
    if not declared.version and not declared.permits:
        return None
    return permits_of(declared.permits)
