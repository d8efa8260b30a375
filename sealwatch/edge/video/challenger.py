"""Challenges one camera now and then, at moments that nobody can foresee, and says what became of it."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import msgspec

from sealwatch.base.clock import Clock
from sealwatch.base.files import replace_file
from sealwatch.contract.codes import Phase
from sealwatch.edge.ports import Frame
from sealwatch.edge.video import challenge
from sealwatch.edge.video.challenge import Flash, KnownLight, Sample, Switching, Verdict
from sealwatch.edge.video.liveness import Doubt

logger = logging.getLogger(__name__)

LEAD_S: Final = 5.0
"""Pictures before the first flash: a camera at rest has to be decoded in full again."""
TAIL_S: Final = challenge.MOST_DELAY_S + 0.8
FAILS: Final = 2  # one after the other, before anybody is told
_AGAIN_S: Final = (30.0, 90.0)  # after one that failed
_UNCLEAR_S: Final = (600.0, 1200.0)
_FIRST_S: Final = (60.0, 600.0)
_MOST_KNOWN: Final = 8


class ChallengeLamp(Protocol):
    """A lamp that reaches what the camera sees."""

    def light(self, seconds: float) -> bool:
        """Switch it on for so long from now; whether that is done."""
        ...

    def lit(self) -> bool:
        """Whether it is on, for whatever reason."""
        ...


class KnownLights(Protocol):
    """Where what was learnt of a camera's lamp outlives the program."""

    def load(self) -> list[KnownLight]: ...

    def save(self, known: list[KnownLight]) -> None: ...


class MemoryLights:
    """The in-process twin."""

    def __init__(self, known: list[KnownLight] | None = None) -> None:
        self.known = known or []

    def load(self) -> list[KnownLight]:
        return list(self.known)

    def save(self, known: list[KnownLight]) -> None:
        self.known = known


class FileLights:
    """A small file of JSON; one that is damaged is learnt anew."""

    def __init__(self, folder: Path, camera_id: str) -> None:
        self._path = folder / f"lamp-{camera_id}.json"

    def load(self) -> list[KnownLight]:
        try:
            known = msgspec.json.decode(self._path.read_bytes(), type=list[KnownLight])
        except FileNotFoundError:
            return []
        except (OSError, msgspec.MsgspecError) as error:
            logger.warning("%s cannot be read (%s); the lamp is learnt anew", self._path, type(error).__name__)
            return []
        whole = challenge.ROWS * challenge.COLUMNS
        return [one for one in known if len(one.dark) == len(one.jump) == whole and any(one.jump)]

    def save(self, known: list[KnownLight]) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._path, msgspec.json.encode(known))
        except OSError as error:
            logger.warning("%s cannot be written: %s; a restart learns the lamp anew", self._path, error.strerror)


@dataclass(slots=True)
class _Run:
    """A challenge under way."""

    code: list[Flash]
    next_on_s: float
    samples: list[Sample] = field(default_factory=list)
    switchings: list[Switching] = field(default_factory=list)
    ends_s: float = 0.0


class Challenger:
    """A `Suspicion` of one camera. `look` is called with each picture, on the camera's own thread."""

    about = "challenge"

    def __init__(
        self,
        lamp: ChallengeLamp,
        lights: KnownLights,
        clock: Clock,
        *,
        every_s: float,
        dark: Callable[[int], bool] = lambda _: True,
        chance: random.Random | None = None,
        told: Callable[[Verdict], None] = lambda _: None,
        at_once: bool = False,
    ) -> None:
        """`dark` tells whether the sun is down at a moment (epoch ms): by day a lamp proves nothing, so none is lit.
        `told` hears every verdict; with `at_once` the first challenge does not wait."""
        self._lamp, self._lights, self._clock, self._every_s, self._told = lamp, lights, clock, every_s, told
        self._dark = dark
        self._chance = chance or random.SystemRandom()
        self._known = lights.load()
        first_s = 0.0 if at_once else self._chance.uniform(*_FIRST_S)
        self._due_s = clock.monotonic_s() + first_s
        self._run: _Run | None = None
        self._fails, self._standing_ms = 0, 0
        self._first_fail_ms = 0
        self._last = Verdict(reason="not_yet")
        self._answered_s: float | None = None

    @property
    def wants_all(self) -> bool:
        """Whether every picture is wanted, at rest too."""
        return self._run is not None

    def numbers(self) -> dict[str, float]:
        """For the camera's health."""
        numbers = {"challenge_lights": float(len(self._known)), "challenge_response": round(self._last.response, 2)}
        if self._answered_s is not None:
            numbers["challenge_answered_age_s"] = round(self._clock.monotonic_s() - self._answered_s, 1)
        return numbers

    def look(self, frame: Frame, *, quiet: bool, trusted: bool = True) -> Doubt | None:
        """Take one picture; the doubt that begins or ends with it. A challenge begins only while nothing moves."""
        now_s = self._clock.monotonic_s()
        if self._run is None:
            if (
                now_s >= self._due_s
                and quiet
                and trusted
                and self._dark(self._clock.wall_ms())
                and not self._lamp.lit()
            ):
                code = list(challenge.draw(self._chance))
                self._run = _Run(code, now_s + LEAD_S + code[0].off_s)
            return None
        run = self._run
        run.samples.append(challenge.sample(frame.grey, frame.monotonic_s))
        if run.code and now_s >= run.next_on_s:
            if self._lamp.lit() or not self._lamp.light(run.code[0].on_s):
                self._run = None  # somebody else wants it, or it may not be lit now
                self._later(_UNCLEAR_S)
                return None
            flash = run.code.pop(0)
            run.switchings += [Switching(now_s, True), Switching(now_s + flash.on_s, False)]
            run.next_on_s = now_s + flash.on_s + (run.code[0].off_s if run.code else 0.0)
            run.ends_s = now_s + flash.on_s + TAIL_S
        if run.code or now_s < run.ends_s:
            return None
        self._run = None
        return self._conclude(challenge.judge(run.switchings, run.samples, self._known), frame.captured_at_ms)

    def _conclude(self, verdict: Verdict, now_ms: int) -> Doubt | None:
        self._last = verdict
        self._told(verdict)
        if verdict.learnt is not None:
            self._known = [verdict.learnt, *self._known][:_MOST_KNOWN]
            self._lights.save(self._known)
        if verdict.reason == "challenge_failed":
            return self._failed(verdict, now_ms)
        if verdict.reason != "lamp_answers":
            self._later(_UNCLEAR_S if verdict.reason == "unclear" else None)
            return None
        self._answered_s, self._fails = self._clock.monotonic_s(), 0
        self._later(None)
        if not self._standing_ms:
            return None
        since_ms, self._standing_ms = self._standing_ms, 0
        return Doubt(
            about=self.about,
            phase=Phase.END,
            reason="challenge_answered",
            since_ms=since_ms,
            numbers=verdict.numbers,
        )

    def _failed(self, verdict: Verdict, now_ms: int) -> Doubt | None:
        self._fails += 1
        self._first_fail_ms = now_ms if self._fails == 1 else self._first_fail_ms
        self._later(_AGAIN_S if self._fails <= FAILS else _UNCLEAR_S)
        if self._fails < FAILS or self._standing_ms:
            return None
        self._standing_ms = self._first_fail_ms
        return Doubt(
            about=self.about,
            phase=Phase.START,
            reason="challenge_failed",
            since_ms=self._standing_ms,
            numbers=verdict.numbers,
        )

    def _later(self, window_s: tuple[float, float] | None) -> None:
        low_s, high_s = window_s or (0.5 * self._every_s, 1.5 * self._every_s)
        self._due_s = self._clock.monotonic_s() + self._chance.uniform(low_s, high_s)
