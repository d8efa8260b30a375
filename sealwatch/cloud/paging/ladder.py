"""The page ladder: who is paged, how, and when. A copy goes into each incident, so that an edit never changes a
running page."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec
from msgspec import Struct
from sqlalchemy.orm import Session


class Step(Struct, frozen=True, kw_only=True):
    """One rung: everything that is needed to reach one person over one channel."""

    after_s: float
    channel: str
    person_id: str
    name: str
    role: str = ""
    language: str = "zh"
    address: str
    duty: str = ""  # why this person: a reason of `sealwatch.cloud.duty.roster`; empty: named by the configuration
    instead_of: str = ""  # whose turn it would have been


class Ladder(Struct, frozen=True, kw_only=True):
    """All rungs in the order in which they are due, and the pause before it begins again."""

    steps: tuple[Step, ...] = ()
    repeat_after_s: float = 300.0

    def at(self, _session: Session, _now_ms: int) -> Ladder:
        """Itself: a ladder that is the same at any time."""
        return self


class LadderSource(Protocol):
    """Where the ladder of an incident that opens comes from (`sealwatch.cloud.duty.ladder`)."""

    def at(self, session: Session, now_ms: int, /) -> Ladder: ...


def to_json(ladder: Ladder) -> dict[str, Any]:
    """The form in which an incident keeps it."""
    value: dict[str, Any] = msgspec.to_builtins(ladder)
    return value


def from_json(value: dict[str, Any]) -> Ladder:
    """Inverse of `to_json`. Raises msgspec.ValidationError for anything else."""
    return msgspec.convert(value, Ladder)
