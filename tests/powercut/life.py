"""One life of the agent between two kills: its own recorder, outbox and uplink, a camera and a watcher out of a script.

What the watcher has asked the sink to keep is noted in a journal on another disk: `try` before, `done` once
`Sink.alarm` has returned. Only what is `done` was promised.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av

from sealwatch.base.clock import Clock
from sealwatch.contract.codes import Level, Phase
from sealwatch.contract.messages import PartHealth
from sealwatch.edge.agent import Agent
from sealwatch.edge.config import NodeSettings, load_node
from sealwatch.edge.ports import AlarmDraft, Part, Sink
from sealwatch.edge.recorder.tap import QueueTap

CAMERA: Final = "shaft-mouth"
METER: Final = "main-meter"
ALARM_EVERY_S: Final = 15.0  # of the day, on average
LEVELS: Final = (Level.RED, Level.ORANGE, Level.YELLOW)


@dataclass(frozen=True)
class DayClock:
    """A day that passes `speed` times as fast. `boot_s`: when this machine was switched on, by the real clock."""

    speed: float
    began_s: float
    boot_s: float
    midnight_ms: int

    def monotonic_s(self) -> float:
        return (time.monotonic() - self.boot_s) * self.speed + 1.0

    def wall_ms(self) -> int:
        return self.midnight_ms + int((time.monotonic() - self.began_s) * self.speed * 1000)

    def sleep(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds / self.speed))


class Script:
    """Alarms that begin, sometimes rise, and end; measurements of every minute."""

    part_id = "script"

    def __init__(self, sink: Sink, clock: DayClock, journal: Path, life: int, alarms: bool) -> None:
        self._sink, self._clock, self._life, self._alarms = sink, clock, life, alarms
        self._journal = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._dice = random.Random(life)
        self._number = 0

    def run(self, stop: threading.Event) -> None:
        open_alarms: list[tuple[str, Level, int, float]] = []  # id, level, began, when it ends
        sampled_s = float("-inf")
        while not stop.wait(self._dice.expovariate(1 / ALARM_EVERY_S) / self._clock.speed):
            now_s, now_ms = self._clock.monotonic_s(), self._clock.wall_ms()
            if now_s - sampled_s >= 60:
                sampled_s = now_s
                self._sink.samples(METER, [now_ms], {"active_power_w": [120.0 + self._dice.random()]})
            if not self._alarms:
                continue
            for alarm in [a for a in open_alarms if a[3] <= now_s]:
                open_alarms.remove(alarm)
                self._tell(alarm[0], Phase.END, alarm[1], alarm[2])
            self._number += 1
            alarm_id = f"day-{self._life}-{self._number}"
            level = self._dice.choice(LEVELS)
            self._tell(alarm_id, Phase.START, level, now_ms)
            open_alarms.append((alarm_id, level, now_ms, now_s + self._dice.uniform(5, 90)))

    def _tell(self, alarm_id: str, phase: Phase, level: Level, began_ms: int) -> None:
        note = f"{alarm_id} {phase.value}\n"
        os.write(self._journal, f"try {note}".encode())
        self._sink.alarm(
            AlarmDraft(
                alarm_id=alarm_id,
                kind="person",
                phase=phase,
                level=level,
                source_id=CAMERA,
                started_at_ms=began_ms,
                captured_at_ms=self._clock.wall_ms(),
                score=0.9,
                reason="person_seen",
                sentence_zh="井口有 1 人",
                sentence_en="1 person at the shaft",
                zone="井口",
                snapshot_jpeg=b"\xff\xd8 picture of " + alarm_id.encode() if phase is Phase.START else None,
            )
        )
        os.write(self._journal, f"done {note}".encode())

    def health(self) -> PartHealth:
        return PartHealth(part_id=self.part_id, kind="camera", ok=True, reason="raising")


class Eye:
    """A camera: the packets of a film, at the day's pace, again and again, into the recorder's tap."""

    part_id = CAMERA

    def __init__(self, film: Path, tap: QueueTap, clock: Clock) -> None:
        self._film, self._tap, self._clock = film, tap, clock

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            began_s = self._clock.monotonic_s()
            with av.open(str(self._film)) as container:
                stream = container.streams.video[0]
                self._tap.begin(stream)
                first_s: float | None = None
                for packet in container.demux(stream):
                    if packet.dts is not None and packet.time_base is not None:
                        at_s = float(packet.dts * packet.time_base)
                        first_s = at_s if first_s is None else first_s
                        self._clock.sleep(began_s + at_s - first_s - self._clock.monotonic_s())
                    if stop.is_set():
                        break
                    self._tap.packet(packet)
            self._tap.end()

    def health(self) -> PartHealth:
        return PartHealth(part_id=self.part_id, kind="camera", ok=True, reason="watching")


def live(config: Path, film: Path, journal: Path, clock: DayClock, life: int, *, alarms: bool = True) -> int:
    """Work until killed, or until SIGTERM; the exit code."""

    def parts(
        _node: NodeSettings, sink: Sink, _clock: Clock, _power: Clock, taps: Mapping[str, QueueTap] | None = None
    ) -> Sequence[Part]:
        eyes = [Eye(film, tap, clock) for tap in (taps or {}).values()]
        return [*eyes, Script(sink, clock, journal, life, alarms)]

    logging.basicConfig(level=logging.WARNING, filename=journal.with_suffix(".log"))
    return Agent(load_node(config), config, clock, make_parts=parts).run()
