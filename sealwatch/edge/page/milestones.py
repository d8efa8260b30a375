"""What an installation has shown, kept across restarts: night pictures, contacts that reported, the first alarm."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import msgspec

from sealwatch.base.clock import Clock
from sealwatch.base.files import replace_file
from sealwatch.contract.codes import AlarmKind, Phase
from sealwatch.contract.messages import Command
from sealwatch.edge.page.checklist import NIGHT_FROM_HOUR, NIGHT_TO_HOUR, Milestones
from sealwatch.edge.ports import AlarmDraft, Sink
from sealwatch.edge.uplink.commands import Answer

logger = logging.getLogger(__name__)

FILE: Final = "milestones.json"
_UTC_OFFSET_S: Final = 8 * 3600  # the mines' own time


def is_night(at_ms: int) -> bool:
    """Whether it is night at the site, by the clock of UTC+8."""
    hour = time.gmtime(at_ms / 1000 + _UTC_OFFSET_S).tm_hour
    return hour >= NIGHT_FROM_HOUR or hour < NIGHT_TO_HOUR


class MilestoneKeeper:
    """Keeps the milestones in the node's data folder. Callable from any thread."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder, self._clock = folder, clock
        self._lock = threading.Lock()
        self._now = self._load()

    @property
    def now(self) -> Milestones:
        """What has been reached."""
        return self._now

    def alarmed(self, draft: AlarmDraft) -> None:
        """A watcher raised an alarm."""
        if draft.phase is not Phase.START:
            return
        now = self._now
        if draft.kind == AlarmKind.INPUT and draft.source_id not in now.inputs_ms:
            self._reach(lambda m: replace(m, inputs_ms={**m.inputs_ms, draft.source_id: draft.captured_at_ms}))
        if now.alarm_ms is None:
            self._reach(lambda m: replace(m, alarm_ms=draft.captured_at_ms, alarm_source=draft.source_id))

    def sounded(self, output_id: str) -> None:
        """A siren or lamp has been switched on and nothing was wrong with it."""
        if output_id not in self._now.outputs_ms:
            self._reach(lambda m: replace(m, outputs_ms={**m.outputs_ms, output_id: self._clock.wall_ms()}))

    def delivered(self) -> None:
        """The service has acknowledged everything that was raised so far."""
        if self._now.alarm_ms is not None and self._now.delivered_ms is None:
            self._reach(lambda m: replace(m, delivered_ms=self._clock.wall_ms()))

    def answered(self, _command: Command) -> Answer:
        """The command ``answered``: a person has taken on an incident that this node's alarms are part of."""
        now = self._now
        if now.alarm_ms is not None and now.answered_ms is None:
            self._reach(lambda m: replace(m, answered_ms=self._clock.wall_ms()))
        return Answer(ok=True, reason="noted")

    def night(self, camera_id: str, at_ms: int, jpeg: bytes) -> None:
        """A picture that `camera_id` took at night, with nothing wrong with it."""
        try:
            replace_file(self.night_file(camera_id), jpeg)
        except OSError as error:
            logger.warning("%s cannot be written: %s", self.night_file(camera_id), error.strerror)
            return
        self._reach(lambda m: replace(m, night_ms={**m.night_ms, camera_id: at_ms}))

    def night_file(self, camera_id: str) -> Path:
        """Where the night picture of a camera lies."""
        return self._folder / f"night-{camera_id}.jpg"

    def _reach(self, change: Callable[[Milestones], Milestones]) -> None:
        with self._lock:
            self._now = change(self._now)
            try:
                replace_file(self._folder / FILE, msgspec.json.encode(asdict(self._now)))
            except OSError as error:
                logger.warning("%s cannot be written: %s", self._folder / FILE, error.strerror)

    def _load(self) -> Milestones:
        try:
            return msgspec.json.decode((self._folder / FILE).read_bytes(), type=Milestones)
        except FileNotFoundError:
            return Milestones()
        except (OSError, msgspec.MsgspecError) as error:
            logger.warning("%s: %s; the checklist begins anew", self._folder / FILE, error)
            return Milestones()


class WitnessedSink:
    """The watchers' `Sink`, which also tells the milestones of the alarms that pass."""

    def __init__(self, sink: Sink, keeper: MilestoneKeeper) -> None:
        self._sink, self._keeper = sink, keeper

    def alarm(self, draft: AlarmDraft) -> None:
        self._sink.alarm(draft)
        self._keeper.alarmed(draft)

    def samples(self, source_id: str, at_ms: Sequence[int], values: Mapping[str, Sequence[Any]]) -> None:
        self._sink.samples(source_id, at_ms, values)
