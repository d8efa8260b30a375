"""The wire to inputs and outputs, whatever it is made of, and its in-process twin.

WireError   reason: unreachable | silent | refused | broken | wrong_setup | not_installed
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class WireError(Exception):
    """A wire that can't be used now. `reason` is a stable name, `detail` one sentence: what, where, what to do."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Sample:
    """What a channel said at a moment (monotonic seconds). Not `live`: an old word that the broker had kept."""

    channel: str
    value: float | bool
    at_s: float
    live: bool = True


class Wire(Protocol):
    """One module, one broker of sensors, or the pins of this machine. Callable from any thread."""

    def read(self) -> Sequence[Sample]:
        """What has been said since the last call, oldest first; opens the wire where needed. Raises WireError."""
        ...

    def write(self, channel: str, on: bool) -> None:
        """Switch an output. Raises WireError."""
        ...

    def state(self, channel: str) -> bool | None:
        """What an output says of itself, or None where it says nothing. Raises WireError."""
        ...

    def close(self) -> None:
        """Let go of it; the next use opens it again."""
        ...


class MemoryWire:
    """The twin: `say` is heard at the next `read`, `broken` is raised, `outputs` hold what was written."""

    def __init__(self) -> None:
        self.waiting: list[Sample] = []
        self.outputs: dict[str, bool] = {}
        self.written: list[tuple[str, bool]] = []
        self.broken: WireError | None = None
        self.stuck: dict[str, bool] = {}
        self.closed = 0

    def say(self, channel: str, value: float | bool, at_s: float, *, live: bool = True) -> None:
        self.waiting.append(Sample(channel, value, at_s, live))

    def read(self) -> Sequence[Sample]:
        self._check()
        said, self.waiting = self.waiting, []
        return said

    def write(self, channel: str, on: bool) -> None:
        self._check()
        self.written.append((channel, on))
        self.outputs[channel] = self.stuck.get(channel, on)

    def state(self, channel: str) -> bool | None:
        self._check()
        return self.outputs.get(channel)

    def close(self) -> None:
        self.closed += 1

    def _check(self) -> None:
        if self.broken is not None:
            raise self.broken
