"""The seams of the agent: small Protocols with a real and an in-process implementation each.

A *part* (camera watcher, meter watcher, uplink) owns its device, runs on its own thread under the supervisor and
reports health as fresh evidence. Detectors produce `AlarmDraft`s; the `Sink` makes them durable.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from sealwatch.contract.codes import Level, Phase
from sealwatch.contract.messages import PartHealth

Image = npt.NDArray[np.uint8]
"""Rows x columns x 3 (BGR) or rows x columns (grey), 0-255."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One decoded picture. `pts_s` is the stream's own time (seconds from its start), never a frame count.

    `grey` is the brightness as the decoder left it, free of charge; `colour()` converts to BGR, and only what must be
    shown to the detector or to people should ask for it.
    """

    grey: Image
    colour: Callable[[], Image]
    pts_s: float
    captured_at_ms: int
    monotonic_s: float
    key_frame: bool = False
    codec: str = ""  # as FFmpeg names it: ``h264``, ``hevc``, ``mjpeg``


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One complete answer of a meter. Keys of `values` carry their unit (``active_power_w``)."""

    meter_id: str
    captured_at_ms: int
    monotonic_s: float
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmDraft:
    """One transition of an alarm as a detector decides it, before it is stamped, signed and stored."""

    alarm_id: str
    kind: str
    phase: Phase
    level: Level
    source_id: str
    started_at_ms: int
    captured_at_ms: int
    score: float
    reason: str
    sentence_zh: str
    sentence_en: str
    zone: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)
    snapshot_jpeg: bytes | None = None


class Sink(Protocol):
    """Where parts put what must reach the service."""

    def alarm(self, draft: AlarmDraft) -> None:
        """Make a transition durable. When this returns, only the loss of the disk can lose it.

        While the disk refuses writes it is kept in memory instead, sent from there and written later, and health
        says so; a detector has nothing to handle.
        """
        ...

    def samples(self, source_id: str, at_ms: Sequence[int], values: Mapping[str, Sequence[float | None]]) -> None:
        """Store measurements for the service; the first thing to be thinned out when the disk fills."""
        ...


class FrameSource(Protocol):
    """A camera, a stream or a file."""

    def frames(self, stop: threading.Event) -> Iterator[Frame]:
        """Frames until the source ends or `stop` is set. Raises SourceError."""
        ...


class SourceError(Exception):
    """A camera that can't be opened or read: one sentence with the cause and what to do; never credentials.

    `reason` is a stable name (``silent``, ``access_refused`` ...), so that the cause can be told in any language.
    """

    def __init__(self, detail: str, *, reason: str = "unreadable") -> None:
        super().__init__(detail)
        self.reason = reason


class MeterBus(Protocol):
    """The wire to one or more meters."""

    def read(self, address: str, quantities: Sequence[str]) -> Mapping[str, float]:
        """Values by unit-suffixed name (``active_power_w``). Raises MeterError."""
        ...

    def close(self) -> None: ...


class MeterError(Exception):
    """A meter that does not answer as it should. `reason` is a stable name (``silent``, ``bad_checksum`` ...)."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Part(Protocol):
    """Something the supervisor keeps running."""

    @property
    def part_id(self) -> str: ...

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set. An exception that leaves here is logged and the part started again."""
        ...

    def health(self) -> PartHealth:
        """Fresh evidence that it works, or the named reason why not. Callable from any thread."""
        ...


@runtime_checkable
class ManySources(Protocol):
    """A part that raises alarms in the name of several sources, not only in its own."""

    @property
    def source_ids(self) -> Sequence[str]: ...


@runtime_checkable
class PictureTaker(Protocol):
    """A part that can show what it sees right now."""

    def picture(self) -> bytes | None:
        """The newest picture as a JPEG small enough to send, or None where there is no fresh one."""
        ...


class MemorySink:
    """The in-process twin of the outbox: keeps everything in lists."""

    def __init__(self) -> None:
        self.alarms: list[AlarmDraft] = []
        self.sampled: list[tuple[str, list[int], dict[str, list[float | None]]]] = []

    def alarm(self, draft: AlarmDraft) -> None:
        self.alarms.append(draft)

    def samples(self, source_id: str, at_ms: Sequence[int], values: Mapping[str, Sequence[Any]]) -> None:
        self.sampled.append((source_id, list(at_ms), {k: list(v) for k, v in values.items()}))
