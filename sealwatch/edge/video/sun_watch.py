"""Compares one camera's light with the sun every ten minutes, and tells of a contradiction that lasts an hour."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from sealwatch.base.clock import Clock
from sealwatch.base.files import replace_file
from sealwatch.contract.codes import Phase
from sealwatch.edge.config_light import PositionSettings
from sealwatch.edge.ports import Frame
from sealwatch.edge.video import daylight, sun
from sealwatch.edge.video.daylight import Impressions, Learnt, Verdict
from sealwatch.edge.video.liveness import Doubt

logger = logging.getLogger(__name__)

EVERY_S: Final = 600.0
CONFIRM: Final = 7  # one after the other: an hour from the first to the last
CURED: Final = 3
_KEEP_EVERY: Final = 36  # impressions: six hours
_DATE_MS: Final = 86_400_000
_UTC8_MS: Final = 8 * 3_600_000


class Memory(Protocol):
    """Where what was learnt of a view's light outlives the program."""

    def load(self) -> Learnt: ...

    def save(self, learnt: Learnt) -> None: ...


class RamMemory:
    """The in-process twin."""

    def __init__(self, learnt: Learnt | None = None) -> None:
        self.learnt = learnt or Learnt()

    def load(self) -> Learnt:
        return self.learnt

    def save(self, learnt: Learnt) -> None:
        self.learnt = learnt


class FileMemory:
    """About 80 KB, written every six hours; a file that is damaged is learnt anew."""

    def __init__(self, folder: Path, camera_id: str) -> None:
        self._path = folder / f"sun-{camera_id}.npz"

    def load(self) -> Learnt:
        try:
            with np.load(io.BytesIO(self._path.read_bytes()), allow_pickle=False) as file:
                day = Impressions(file["day"].astype(np.float32), file["day_dates"])
                night = Impressions(file["night"].astype(np.float32), file["night_dates"])
        except FileNotFoundError:
            return Learnt()
        except Exception as error:  # noqa: BLE001 - numpy raises what it likes for a damaged file
            logger.warning("%s cannot be read (%s); the view's light is learnt anew", self._path, type(error).__name__)
            return Learnt()
        for one in (day, night):
            if one.rows.shape != (len(one.dates), daylight.LENGTH) or not np.isfinite(one.rows).all():
                logger.warning("%s is damaged; the view's light is learnt anew", self._path)
                return Learnt()
        return daylight.weighed(Learnt(day, night))

    def save(self, learnt: Learnt) -> None:
        file = io.BytesIO()
        np.savez_compressed(
            file,
            day=learnt.day.rows.astype(np.float16),
            day_dates=learnt.day.dates,
            night=learnt.night.rows.astype(np.float16),
            night_dates=learnt.night.dates,
        )
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._path, file.getvalue())
        except OSError as error:
            logger.warning("%s cannot be written: %s; a restart learns the light anew", self._path, error.strerror)


class SunWatch:
    """A `Suspicion` of one camera."""

    about = "sun"
    wants_all = False

    def __init__(self, position: PositionSettings, memory: Memory, clock: Clock) -> None:
        self._position, self._memory, self._clock = position, memory, clock
        self._learnt = memory.load()
        self._due_s = clock.monotonic_s()
        self._unkept = 0
        self._against = self._for = 0
        self._since_ms = self._standing_ms = 0
        self._last = Verdict(reason="new")

    def numbers(self) -> dict[str, float]:
        """For the camera's health: `follows_sun` is 1, 0 for an exempt view, -1 while it is learnt."""
        return {"follows_sun": {"follows": 1.0, "does_not_follow": 0.0, "learning": -1.0}[self._learnt.state]}

    def look(self, frame: Frame, *, quiet: bool = True, trusted: bool) -> Doubt | None:  # noqa: ARG002 - who moves in it does not matter
        """Take one picture, once in ten minutes; the doubt that begins or ends with it.

        A picture that is covered, dark or out of place has an alarm of its own and is neither learnt nor judged.
        """
        now_s = self._clock.monotonic_s()
        if now_s < self._due_s or not trusted:
            return None
        self._due_s = now_s + EVERY_S
        height_deg = sun.elevation_deg(
            frame.captured_at_ms,
            latitude_deg=self._position.latitude_deg,
            longitude_deg=self._position.longitude_deg,
        )
        part = daylight.part_of_day(height_deg)
        if part == "twilight":
            return None
        row = daylight.impression(frame.colour())
        verdict = daylight.judge(self._learnt, row, part)
        self._remember(row, part, frame.captured_at_ms, verdict)
        return self._weigh(verdict, height_deg, frame.captured_at_ms)

    def _remember(self, row: daylight.Grid, part: daylight.Part, at_ms: int, verdict: Verdict) -> None:
        before = self._learnt
        self._learnt = daylight.learn(before, row, part, (at_ms + _UTC8_MS) // _DATE_MS, verdict)
        self._unkept += self._learnt is not before
        if self._unkept >= _KEEP_EVERY or self._learnt.state != before.state:
            self._unkept = 0
            self._memory.save(self._learnt)
        if self._learnt.state != before.state:
            logger.info("the view's light is judged by the sun: %s", self._learnt.state)

    def _weigh(self, verdict: Verdict, height_deg: float, now_ms: int) -> Doubt | None:
        self._last = verdict
        if verdict.contradicts:
            self._for = 0
            self._against += 1
            self._since_ms = now_ms if self._against == 1 else self._since_ms
        else:
            self._against = 0
            self._for += verdict.reason == "agrees"
        if self._against >= CONFIRM and not self._standing_ms:
            self._standing_ms = self._since_ms
            return self._doubt(Phase.START, "contradicts_time_of_day", height_deg)
        if self._standing_ms and self._for >= CURED:
            ended = self._doubt(Phase.END, "agrees_with_time_of_day", height_deg)
            self._standing_ms = 0
            return ended
        return None

    def _doubt(self, phase: Phase, reason: str, height_deg: float) -> Doubt:
        numbers = {
            "sun_height_deg": round(height_deg, 1),
            "to_day": self._last.to_day,
            "to_night": self._last.to_night,
        }
        return Doubt(about=self.about, phase=phase, reason=reason, since_ms=self._standing_ms, numbers=numbers)
