"""An agent whose only part raises numbered alarms as fast as the disk takes them: the child that gets killed.

``python -m tests.edge.scripted_agent node.toml journal``: every alarm that `Sink.alarm` has returned for is then noted
in the journal, so that a test knows what must never be lost.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from sealwatch.base.clock import Clock
from sealwatch.contract.codes import Level, Phase
from sealwatch.contract.messages import PartHealth
from sealwatch.edge.agent import Agent
from sealwatch.edge.config import NodeSettings, load_node
from sealwatch.edge.ports import AlarmDraft, Part, Sink


def plain_draft(alarm_id: str, *, source_id: str = "script", phase: Phase = Phase.START, now_ms: int = 1) -> AlarmDraft:
    return AlarmDraft(
        alarm_id=alarm_id,
        kind="person",
        phase=phase,
        level=Level.ORANGE,
        source_id=source_id,
        started_at_ms=now_ms,
        captured_at_ms=now_ms,
        score=0.9,
        reason="script",
        sentence_zh="井口有 1 人",
        sentence_en="1 person at the shaft",
        snapshot_jpeg=b"\xff\xd8 picture of " + alarm_id.encode(),
    )


class Raiser:
    """Raises an alarm, notes it, and goes on."""

    part_id = "script"

    def __init__(self, sink: Sink, clock: Clock, journal: Path) -> None:
        self._sink, self._clock, self._journal = sink, clock, journal

    def run(self, stop: threading.Event) -> None:
        number = 0
        with self._journal.open("a", buffering=1) as journal:
            while not stop.is_set():
                number += 1
                alarm_id = f"{os.getpid()}-{number}"
                self._sink.alarm(plain_draft(alarm_id, now_ms=self._clock.wall_ms()))
                journal.write(alarm_id + "\n")
                stop.wait(0.005)

    def health(self) -> PartHealth:
        return PartHealth(part_id=self.part_id, kind="camera", ok=True, reason="raising")


def main(config: Path, journal: Path) -> int:
    def parts(_node: NodeSettings, sink: Sink, clock: Clock, _power: Clock) -> Sequence[Part]:
        return [Raiser(sink, clock, journal)]

    return Agent(load_node(config), config, make_parts=parts).run()


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), Path(sys.argv[2])))
