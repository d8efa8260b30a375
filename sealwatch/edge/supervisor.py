"""Keeps the parts running, each on its own thread: one that fails is started again, the others never notice.

Restarts have a budget. A part that has spent it is not given up: nobody may come by for months. It is tried again at a
slow pace, its health says why, and the log holds one line when it fails and one when it has recovered.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import msgspec

from sealwatch.base.backoff import full_jitter_s
from sealwatch.base.clock import Clock
from sealwatch.contract.messages import PartHealth
from sealwatch.edge.ports import Part

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartRules:
    """How often a part may fail before it is tried at a slow pace only."""

    budget: int = 5
    window_s: float = 600.0
    base_s: float = 1.0
    cap_s: float = 60.0
    slow_s: float = 300.0
    well_after_s: float = 60.0  # running for this long counts as recovered


@dataclass(frozen=True, slots=True)
class RestartState:
    """The failures of one part that still count, by monotonic time, and whether it has been told."""

    failed_at_s: tuple[float, ...] = ()
    in_a_row: int = 0
    told: bool = False
    running_since_s: float | None = None


@dataclass(frozen=True, slots=True)
class Restart:
    """What to do about a failure. `reason`: `part_failing` or `restart_budget_spent`."""

    wait_s: float
    reason: str
    tell: bool


def started(state: RestartState, now_s: float) -> RestartState:
    """The part begins to run."""
    return replace(state, running_since_s=now_s)


def recovered(state: RestartState, now_s: float, rules: RestartRules) -> tuple[RestartState, bool]:
    """Forgive a part that has run well for long enough; whether its recovery is to be told."""
    since_s = state.running_since_s
    if not state.in_a_row or since_s is None or now_s - since_s < rules.well_after_s:
        return state, False
    return replace(state, in_a_row=0, told=False), state.told


def failed(
    state: RestartState,
    now_s: float,
    rules: RestartRules,
    *,
    jitter: Callable[[float, float], float] | None = None,
) -> tuple[RestartState, Restart]:
    """When to start a part again that has just failed."""
    counted = (*(at_s for at_s in state.failed_at_s if now_s - at_s < rules.window_s), now_s)
    if len(counted) > rules.budget:
        wait_s, reason = (
            full_jitter_s(0, base_s=rules.slow_s, cap_s=rules.slow_s, uniform=jitter),
            "restart_budget_spent",
        )
    else:
        wait_s, reason = (
            full_jitter_s(state.in_a_row, base_s=rules.base_s, cap_s=rules.cap_s, uniform=jitter),
            "part_failing",
        )
    after = RestartState(failed_at_s=counted, in_a_row=state.in_a_row + 1, told=True)
    return after, Restart(wait_s, reason, tell=not state.told)


@dataclass(slots=True)
class _Ward:
    part: Part
    state: RestartState
    down_reason: str = ""
    thread: threading.Thread | None = None


def _wait(stop: threading.Event, seconds: float) -> None:
    stop.wait(seconds)


class Supervisor:
    """Owns the threads of some parts."""

    def __init__(
        self,
        parts: Sequence[Part],
        clock: Clock,
        *,
        rules: RestartRules | None = None,
        wait: Callable[[threading.Event, float], None] = _wait,
        on_failure: Callable[[str], object] = lambda _part_id: None,
    ) -> None:
        """`wait(stop, seconds)` lets a backoff pass and returns early when `stop` is set.

        `on_failure(part_id)` is called on the thread of a part that has failed, before it is started again.
        """
        self._clock, self._rules, self._wait = clock, rules or RestartRules(), wait
        self._on_failure = on_failure
        self._wards = [_Ward(part, RestartState()) for part in parts]
        self._stop = threading.Event()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start every part on a thread of its own."""
        for ward in self._wards:
            ward.thread = threading.Thread(
                target=self._look_after, args=(ward,), name=f"part-{ward.part.part_id}", daemon=True
            )
            ward.thread.start()

    def stop(self, deadline_s: float) -> list[str]:
        """Ask every part to end and wait until `deadline_s` (real seconds) has passed; those that have not ended."""
        self._stop.set()
        return self.join(deadline_s)

    def join(self, deadline_s: float) -> list[str]:
        """Wait for the parts to end; the ids of those that still run."""
        until_s = time.monotonic() + deadline_s
        threads = [(ward.part.part_id, ward.thread) for ward in self._wards if ward.thread is not None]
        for _, thread in threads:
            thread.join(max(0.0, until_s - time.monotonic()))
        return [part_id for part_id, thread in threads if thread.is_alive()]

    def health(self) -> list[PartHealth]:
        """What each part says of itself; one that failed is reported as failing until it has run well for a while."""
        return [self._health(ward) for ward in self._wards]

    def unguarded(self) -> list[str]:
        """Parts whose supervising thread has died, so that nobody would start them again."""
        if self._stop.is_set():
            return []
        return [w.part.part_id for w in self._wards if w.thread is not None and not w.thread.is_alive()]

    def running_since_s(self, part_id: str) -> float | None:
        """Since when a part runs (monotonic), or None while it waits to be started again."""
        with self._lock:
            return next((w.state.running_since_s for w in self._wards if w.part.part_id == part_id), None)

    def _look_after(self, ward: _Ward) -> None:
        while not self._stop.is_set():
            with self._lock:
                ward.state = started(ward.state, self._clock.monotonic_s())
            cause = self._run(ward.part)
            if self._stop.is_set():
                return
            now_s = self._clock.monotonic_s()
            self._forgive(ward)
            with self._lock:
                ward.state, restart = failed(ward.state, now_s, self._rules)
                ward.down_reason = restart.reason
            if restart.tell:
                logger.error("part %s failed: %s; it is started again", ward.part.part_id, cause)
            self._on_failure(ward.part.part_id)
            self._wait(self._stop, restart.wait_s)

    def _run(self, part: Part) -> str:
        """Run a part until it ends; why it did."""
        try:
            part.run(self._stop)
        except Exception as error:  # where a part's failure ends, so that it ends nothing else
            logger.debug("part %s", part.part_id, exc_info=True)
            return f"{type(error).__name__}: {error}"
        return "it ended by itself"

    def _forgive(self, ward: _Ward) -> None:
        with self._lock:
            ward.state, tell = recovered(ward.state, self._clock.monotonic_s(), self._rules)
            if not ward.state.in_a_row:
                ward.down_reason = ""
        if tell:
            logger.warning("part %s has recovered", ward.part.part_id)

    def _health(self, ward: _Ward) -> PartHealth:
        self._forgive(ward)
        try:
            health = ward.part.health()
        except Exception as error:  # a part that can't tell how it is must not silence the others
            logger.debug("health of part %s", ward.part.part_id, exc_info=True)
            reason = f"health_{type(error).__name__.lower()}"[:64]
            return PartHealth(part_id=ward.part.part_id, kind="part", ok=False, reason=reason)
        if not ward.down_reason:
            return health
        numbers = {**health.numbers, "failures": float(len(ward.state.failed_at_s))}
        return msgspec.structs.replace(health, ok=False, reason=ward.down_reason, numbers=numbers)
