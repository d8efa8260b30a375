"""The part that owns one module, broker of sensors or set of pins, and raises the alarms of its inputs."""

from __future__ import annotations

import hashlib
import logging
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sealwatch.base.clock import Clock
from sealwatch.contract.codes import AlarmKind, Level, Phase
from sealwatch.contract.messages import PartHealth
from sealwatch.edge.config import InputSettings
from sealwatch.edge.inputs import decide, sentences, terminals
from sealwatch.edge.inputs.decide import InputState, Line, Rules, Transition, Windows, line_of
from sealwatch.edge.inputs.wire import Wire, WireError
from sealwatch.edge.ports import AlarmDraft, Sink

FAULT_AFTER_S: Final = 30.0
"""A module that can't be read for this long is a fault."""
_logger = logging.getLogger(__name__)
_REASONS: Final = {
    "door": "opened",
    "seal": "seal_parted",
    "lock": "unlocked",
    "pir": "movement",
    "vibration": "vibration",
    "mains": "mains_lost",
    "battery": "battery_low",
}
_LEVELS: Final = {"seal": Level.RED, "door": Level.ORANGE, "lock": Level.ORANGE, "pir": Level.ORANGE}


@dataclass(slots=True)
class Watched:
    """One input with its rules and what is known of it."""

    settings: InputSettings
    channel: str
    rules: Rules
    windows: Windows | None
    state: InputState

    @property
    def name(self) -> str:
        return self.settings.name or self.settings.input_id

    @property
    def level(self) -> Level:
        return _LEVELS.get(self.settings.kind, Level.YELLOW)


def watched(settings: InputSettings, now_s: float) -> Watched:
    """An input as its configuration wants it judged."""
    terminal = terminals.parse(settings.at)
    lines = settings.supervision
    return Watched(
        settings=settings,
        channel=terminal.channel,
        rules=Rules(
            rest=Line(settings.rest),
            reason=_REASONS[settings.kind],
            debounce_s=settings.debounce_s,
            on_delay_s=settings.on_delay_s,
            off_delay_s=settings.off_delay_s,
            silent_after_s=settings.silent_after_s if terminal.kind == "mqtt" else None,
        ),
        windows=None if lines is None else Windows(lines.shorted, lines.closed, lines.open, lines.cut),
        state=InputState(heard_s=now_s),
    )


class InputWatcher:
    """Implements `sealwatch.edge.ports.Part`."""

    def __init__(
        self,
        part_id: str,
        wire: Wire,
        inputs: Sequence[InputSettings],
        sink: Sink,
        clock: Clock,
        *,
        poll_interval_s: float,
    ) -> None:
        self._part_id, self._wire, self._sink, self._clock = part_id, wire, sink, clock
        self._settings, self._poll_interval_s = list(inputs), poll_interval_s
        self._lock = threading.Lock()
        self._run_id = ""
        self._inputs: list[Watched] = []
        self._last_ms: int | None = None
        self._last_s: float | None = None
        self._begun_s = 0.0
        self._failure: WireError | None = None
        self._fault_since_ms: int | None = None
        self._answers = 0
        self.begin()

    @property
    def part_id(self) -> str:
        return self._part_id

    @property
    def source_ids(self) -> Sequence[str]:
        """The part itself and its inputs."""
        return [self._part_id, *(one.input_id for one in self._settings)]

    def begin(self) -> None:
        """Know nothing: what an earlier run had open has been ended for it."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            self._run_id = secrets.token_hex(8)  # seconds since the machine's start repeat after a restart
            self._inputs = [watched(one, now_s) for one in self._settings]
            self._begun_s, self._last_s, self._failure, self._fault_since_ms = now_s, None, None, None

    def run(self, stop: threading.Event) -> None:
        """Read until `stop` is set."""
        self.begin()
        try:
            while not stop.is_set():
                self.poll()
                stop.wait(self._poll_interval_s)
        finally:
            self._wire.close()

    def poll(self) -> None:
        """Read the wire once and act on what it says."""
        try:
            samples = self._wire.read()
        except WireError as error:
            self._missed(error)
            samples = []
        else:
            self._answered()
        for sample in samples:
            for one in self._inputs:
                if one.channel == sample.channel:
                    line = line_of(sample.value, one.windows)
                    one.state, told = decide.take(one.state, one.rules, line, sample.at_s, live=sample.live)
                    self._tell(one, told)
        now_s = self._clock.monotonic_s()
        for one in self._inputs:
            one.state, told = decide.advance(one.state, one.rules, now_s)
            self._tell(one, told)

    def lines(self) -> dict[str, Line | None]:
        """What each input has come to, by its id; None: not heard yet."""
        return {one.settings.input_id: one.state.settled for one in self._inputs}

    def health(self) -> PartHealth:
        """Works while the wire answers; how many inputs are out of rest or can't be believed."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            last_s, failure = self._last_s, self._failure
            states = [one.state for one in self._inputs]
            last_ms = self._last_ms
        ok = last_s is not None and now_s - last_s < max(FAULT_AFTER_S, 3 * self._poll_interval_s)
        return PartHealth(
            part_id=self.part_id,
            kind="inputs",
            ok=ok,
            reason="reading" if ok else failure.reason if failure else "not_read_yet",
            evidence_at_ms=last_ms,
            numbers={
                "inputs": float(len(states)),
                "not_heard": float(sum(state.settled is None for state in states)),
                "in_alarm": float(sum(state.state is not None for state in states)),
                "not_believed": float(sum(state.line is not None for state in states)),
            },
        )

    def _answered(self) -> None:
        now_ms = self._clock.wall_ms()
        with self._lock:
            failed, self._failure = self._failure, None
            self._last_s, self._last_ms = self._clock.monotonic_s(), now_ms
            self._answers += 1
        if failed is not None:
            _logger.warning("inputs %s answer again", self.part_id)
        if self._fault_since_ms is not None:
            self._tell_wire(Phase.END, "reading", now_ms)
            self._fault_since_ms = None

    def _missed(self, error: WireError) -> None:
        now_s, now_ms = self._clock.monotonic_s(), self._clock.wall_ms()
        with self._lock:
            first, self._failure = self._failure is None, error
            since_s = self._begun_s if self._last_s is None else self._last_s
        if first:
            _logger.warning("inputs %s: %s", self.part_id, error)
        if self._fault_since_ms is None and now_s - since_s >= FAULT_AFTER_S:
            self._fault_since_ms = now_ms - int((now_s - since_s) * 1000)
            self._tell_wire(Phase.START, error.reason, now_ms)

    def _tell_wire(self, phase: Phase, reason: str, now_ms: int) -> None:
        started_ms = self._fault_since_ms or now_ms
        zh, en = sentences.wire_sentences(self.part_id, reason=reason, at_ms=now_ms)
        self._sink.alarm(
            AlarmDraft(
                alarm_id=self._alarm_id("wire", started_ms),
                kind=AlarmKind.INPUT,
                phase=phase,
                # What answered and fell silent was cut or unplugged; what never did is wired wrongly.
                level=Level.ORANGE if self._answers else Level.YELLOW,
                source_id=self.part_id,
                started_at_ms=started_ms,
                captured_at_ms=now_ms,
                score=1.0,
                reason=reason,
                sentence_zh=zh,
                sentence_en=en,
                numbers={"lost_s": (now_ms - started_ms) / 1000},
            )
        )

    def _tell(self, one: Watched, told: Sequence[Transition]) -> None:
        now_s, now_ms = self._clock.monotonic_s(), self._clock.wall_ms()
        for transition in told:
            at_ms = now_ms - int((now_s - transition.at_s) * 1000)
            if transition.track == "state":
                zh, en = sentences.state_sentences(
                    one.settings.kind,
                    one.name,
                    phase=transition.phase,
                    reason=transition.reason,
                    at_ms=at_ms,
                    changes=transition.changes,
                )
            else:
                zh, en = sentences.line_sentences(one.name, reason=transition.reason, at_ms=at_ms)
            self._sink.alarm(
                AlarmDraft(
                    alarm_id=self._alarm_id(
                        f"{one.settings.input_id}|{transition.track}", int(transition.started_s * 1000)
                    ),
                    kind=AlarmKind.INPUT,
                    phase=transition.phase,
                    level=one.level,
                    source_id=one.settings.input_id,
                    started_at_ms=now_ms - int((now_s - transition.started_s) * 1000),
                    captured_at_ms=at_ms,
                    score=1.0,
                    reason=transition.reason,
                    sentence_zh=zh,
                    sentence_en=en,
                    numbers={"changes": float(transition.changes)},
                )
            )

    def _alarm_id(self, subject: str, started: int) -> str:
        """The same from start to end of one alarm, and never that of another."""
        return hashlib.sha256(f"{self.part_id}|{self._run_id}|{subject}|{started}".encode()).hexdigest()[:32]
