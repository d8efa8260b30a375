"""Rules on power: pure functions ``(state, edges, horizon) -> (state, transitions)`` with named reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sealwatch.contract.codes import Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A rule's verdict at `at_s` about something that began at `started_s`; `numbers` are the figures behind it.

    `subject` tells alarms of one kind apart and stays the same from start to end.
    """

    phase: Phase
    reason: str
    subject: str = ""
    started_s: float
    at_s: float
    score: float
    numbers: Mapping[str, float] = field(default_factory=dict)
