"""The heartbeat that somebody outside listens for: a GET a minute, while every worker of this service turns its wheel.

The receiver (a cron monitor of another house, a second service) raises the alarm when it stays away: a service that
stands can't tell of itself. Nothing is sent about the county: the URL is all.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import httpx

logger = logging.getLogger(__name__)
EVERY_S: Final = 60.0
STANDS_STILL_S: Final = 45.0
"""A wheel that has not turned for so long stands; the slowest of them turns every 15 s."""
_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Wheels:
    """How often each worker's wheel has turned, and when that was last seen to change."""

    turns: Mapping[str, int] = field(default_factory=dict)
    moved_s: Mapping[str, float] = field(default_factory=dict)


def watch(wheels: Wheels, turns: Mapping[str, int], now_s: float) -> tuple[Wheels, list[str]]:
    """The wheels as they are now, and the names of those that stand. Pure; `now_s` is monotonic."""
    moved = {
        name: wheels.moved_s[name] if name in wheels.moved_s and wheels.turns.get(name) == count else now_s
        for name, count in turns.items()
    }
    return Wheels(dict(turns), moved), sorted(name for name, at_s in moved.items() if now_s - at_s > STANDS_STILL_S)


class Heartbeat:
    """`beat` does it when its time has come. Never raises for what the network does."""

    def __init__(self, url: str, *, turns: Callable[[], Mapping[str, int]], client: httpx.Client | None = None) -> None:
        self._url, self._turns = url, turns
        self._client = client or httpx.Client(timeout=_TIMEOUT_S, follow_redirects=False)
        self._wheels = Wheels()
        self._last_s = float("-inf")
        self._failing = False
        self.standing: list[str] = []

    def beat(self, now_s: float) -> bool | None:
        """Whether the receiver answered 2xx; None where none was due, wanted, or allowed because a worker stands."""
        self._wheels, standing = watch(self._wheels, self._turns(), now_s)
        if standing != self.standing:
            if standing:
                logger.error("these workers stand still: %s; no heartbeat is sent", ", ".join(standing))
            else:
                logger.info("every worker turns again")
            self.standing = standing
        if standing or not self._url or now_s - self._last_s < EVERY_S:
            return None
        self._last_s = now_s
        try:
            answer = self._client.get(self._url)
            outcome = "" if answer.is_success else f"status {answer.status_code}"
        except httpx.HTTPError as error:
            outcome = f"{type(error).__name__}: {error}"
        if bool(outcome) != self._failing:
            self._failing = bool(outcome)
            if outcome:
                logger.error("the heartbeat does not get through to its receiver: %s", outcome)
            else:
                logger.info("the heartbeat gets through again")
        return not outcome

    def close(self) -> None:
        self._client.close()
