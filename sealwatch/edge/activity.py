"""Whether somebody or something works in the picture, for the meter's rule about work without power.

Work is a machine that runs, a vehicle, or two and more people: one caretaker on his round is none. It is taken from the
alarms on their way to the outbox, so that it is exactly what people are told.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from sealwatch.contract.codes import AlarmKind, Phase
from sealwatch.edge.ports import AlarmDraft, Sink

_KEEP: Final = 200
_CREW: Final = 2


class Activity(Protocol):
    """Where the meter's watcher asks, from its own thread."""

    def between(self, from_ms: int, to_ms: int) -> bool:
        """Whether there was work in the picture within ``[from_ms, to_ms)``."""
        ...


class WorkLog:
    """Stretches of work by their alarm; the newest are kept."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, int] = {}
        self._over: deque[tuple[int, int]] = deque(maxlen=_KEEP)

    def note(self, draft: AlarmDraft) -> None:
        """What an alarm says about work."""
        with self._lock:
            if draft.phase is Phase.END:
                began_ms = self._open.pop(draft.alarm_id, None)
                if began_ms is not None:
                    self._over.append((began_ms, draft.captured_at_ms))
            elif is_work(draft):
                self._open.setdefault(draft.alarm_id, draft.started_at_ms)

    def between(self, from_ms: int, to_ms: int) -> bool:
        """As `Activity.between`."""
        with self._lock:
            return any(began_ms < to_ms for began_ms in self._open.values()) or any(
                began_ms < to_ms and end_ms > from_ms for began_ms, end_ms in self._over
            )


def is_work(draft: AlarmDraft) -> bool:
    """Whether what an alarm saw is work rather than a round."""
    if draft.kind in (AlarmKind.EQUIPMENT, AlarmKind.VEHICLE):
        return True
    return draft.kind == AlarmKind.PERSON and draft.numbers.get("count", 0.0) >= _CREW


class NotingSink:
    """Passes everything on, and lets the log hear of the alarms."""

    def __init__(self, inner: Sink, log: WorkLog) -> None:
        self._inner, self._log = inner, log

    def alarm(self, draft: AlarmDraft) -> None:
        self._inner.alarm(draft)
        self._log.note(draft)

    def samples(self, source_id: str, at_ms: Sequence[int], values: Mapping[str, Sequence[Any]]) -> None:
        self._inner.samples(source_id, at_ms, values)
