"""What the eyes need from outside: something that finds objects in a picture, and a stopwatch for CPU time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from sealwatch.edge.ports import Image


class Detected(Protocol):
    """One object in a picture, as a detector reports it."""

    @property
    def label(self) -> str:
        """COCO name: ``person``, ``bicycle``, ``car`` ..."""
        ...

    @property
    def score(self) -> float:
        """0 to 1."""
        ...

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x1, y1, x2, y2 in pixels of the picture that was given."""
        ...


class ObjectDetector(Protocol):
    """Finds objects in one picture."""

    def detect(self, image_bgr: Image, threshold: float = 0.35) -> Sequence[Detected]:
        """Everything at or above `threshold`, any order."""
        ...


@dataclass(frozen=True, slots=True)
class PlainDetection:
    """A detection written down by hand."""

    label: str
    score: float
    box: tuple[float, float, float, float]


class ScriptedDetector:
    """The detector's twin for tests: a function of the picture decides what is in it."""

    def __init__(self, script: Callable[[Image], Sequence[Detected]]) -> None:
        self._script = script
        self.calls = 0

    def detect(self, image_bgr: Image, threshold: float = 0.35) -> Sequence[Detected]:
        self.calls += 1
        return [found for found in self._script(image_bgr) if found.score >= threshold]


@dataclass(slots=True)
class Demand:
    """What the analysis wants from its source: with `idle`, key frames will do until something happens."""

    idle: bool = False


@dataclass(slots=True)
class StageTimes:
    """CPU seconds of the calling thread by stage (``decode``, ``gate``, ``detect`` ...)."""

    cpu_s: dict[str, float] = field(default_factory=dict)
    clock: Callable[[], float] = time.thread_time

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what runs inside towards `name`."""
        before_s = self.clock()
        try:
            yield
        finally:
            self.cpu_s[name] = self.cpu_s.get(name, 0.0) + self.clock() - before_s
