"""The supervisor: restarts with a budget, one line per failure, and nobody else is disturbed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealwatch.base.clock import ManualClock
from sealwatch.contract.messages import PartHealth
from sealwatch.edge.supervisor import RestartRules, RestartState, Supervisor, failed, recovered, started

TIMEOUT_S = 10.0
RULES = RestartRules(budget=3, window_s=100, base_s=1, cap_s=8, slow_s=50, well_after_s=20)


def high(_low: float, top: float) -> float:
    return top


def test_waits_grow_until_the_budget_is_spent_and_then_stay_long() -> None:
    state, told = RestartState(), []
    for at_s in range(6):
        state, restart = failed(state, float(at_s), RULES, jitter=high)
        told.append((restart.wait_s, restart.reason, restart.tell))
    assert told == [
        (1, "part_failing", True),
        (2, "part_failing", False),
        (4, "part_failing", False),
        (50, "restart_budget_spent", False),
        (50, "restart_budget_spent", False),
        (50, "restart_budget_spent", False),
    ]


def test_a_part_that_has_run_well_is_forgiven_and_its_recovery_is_told_once() -> None:
    state, _ = failed(RestartState(), 0.0, RULES)
    state = started(state, 1.0)
    state, tell = recovered(state, 20.0, RULES)
    assert not tell
    state, tell = recovered(state, 21.0, RULES)
    assert tell
    assert recovered(state, 22.0, RULES) == (state, False)
    state, restart = failed(state, 30.0, RULES, jitter=high)
    assert (restart.wait_s, restart.tell) == (1, True)


@given(st.lists(st.floats(0, 500), max_size=50))
def test_however_a_part_fails_it_is_always_tried_again_within_the_slow_pace(gaps: list[float]) -> None:
    state, now_s = RestartState(), 0.0
    for gap in gaps:
        now_s += gap
        state, restart = failed(started(state, now_s), now_s, RULES)
        assert 0 < restart.wait_s <= RULES.slow_s
        assert len(state.failed_at_s) <= len(gaps)


class Scripted:
    """A part whose runs are given: an exception is raised, None waits for the stop."""

    def __init__(self, part_id: str, runs: list[Exception | str | None]) -> None:
        self.part_id = part_id
        self._runs = iter(runs)
        self.begun = threading.Semaphore(0)
        self.ended = threading.Event()
        self.count = 0
        self.health_error: Exception | None = None

    def run(self, stop: threading.Event) -> None:
        self.count += 1
        self.begun.release()
        what = next(self._runs, None)
        if isinstance(what, Exception):
            raise what
        if what == "return":
            return
        stop.wait()
        self.ended.set()

    def health(self) -> PartHealth:
        if self.health_error is not None:
            raise self.health_error
        return PartHealth(part_id=self.part_id, kind="camera", ok=True, reason="fine", numbers={"pictures": 7.0})


class Waits:
    """Lets the clock run instead of waiting, and lets a test wait for a number of them."""

    def __init__(self, clock: ManualClock, hold_after: int = 1000) -> None:
        self.clock, self.seconds, self.hold_after = clock, list[float](), hold_after
        self.held = threading.Event()

    def __call__(self, stop: threading.Event, seconds: float) -> None:
        self.seconds.append(seconds)
        if len(self.seconds) >= self.hold_after:
            self.held.set()
            stop.wait()
        else:
            self.clock.advance(seconds)


def supervised(
    *parts: Scripted, hold_after: int = 1000, on_failure: Callable[[str], object] = str
) -> tuple[Supervisor, Waits]:
    clock = ManualClock()
    waits = Waits(clock, hold_after)
    return Supervisor(parts, clock, rules=RULES, wait=waits, on_failure=on_failure), waits


def test_a_failing_part_is_started_again_and_the_other_never_notices(caplog: pytest.LogCaptureFixture) -> None:
    failures: list[str] = []
    bad = Scripted("bad", [RuntimeError("burst"), RuntimeError("burst again"), "return", None])
    good = Scripted("good", [None])
    supervisor, waits = supervised(bad, good, on_failure=failures.append)
    with caplog.at_level(logging.INFO):
        supervisor.start()
        for _ in range(4):
            assert bad.begun.acquire(timeout=TIMEOUT_S)
        assert [h.reason for h in supervisor.health()] == ["part_failing", "fine"]
        waits.clock.advance(30)
        assert [(h.ok, h.reason) for h in supervisor.health()] == [(True, "fine"), (True, "fine")]
        assert supervisor.stop(TIMEOUT_S) == []
    assert (bad.count, good.count) == (4, 1)
    assert failures == ["bad", "bad", "bad"]
    lines = [(r.levelname, r.getMessage()) for r in caplog.records]
    assert lines == [
        ("ERROR", "part bad failed: RuntimeError: burst; it is started again"),
        ("WARNING", "part bad has recovered"),
    ]
    assert not any(r.exc_info for r in caplog.records), "no traceback reaches a user"


def test_a_part_that_has_spent_its_budget_is_reported_so_and_still_not_given_up() -> None:
    bad = Scripted("bad", [RuntimeError("burst")] * 1000)
    supervisor, waits = supervised(bad, hold_after=6)
    supervisor.start()
    assert waits.held.wait(TIMEOUT_S)
    (health,) = supervisor.health()
    assert (health.ok, health.reason, health.kind) == (False, "restart_budget_spent", "camera")
    assert health.numbers["failures"] >= 4
    assert health.numbers["pictures"] == 7
    assert max(waits.seconds) > 8
    assert supervisor.stop(TIMEOUT_S) == []


def test_a_part_that_cannot_tell_how_it_is_does_not_silence_the_others() -> None:
    mute, good = Scripted("mute", [None]), Scripted("good", [None])
    mute.health_error = ValueError("no idea")
    supervisor, _ = supervised(mute, good)
    supervisor.start()
    assert [(h.ok, h.reason) for h in supervisor.health()] == [(False, "health_valueerror"), (True, "fine")]
    assert supervisor.stop(TIMEOUT_S) == []


def test_a_part_that_does_not_end_is_named_and_not_waited_for() -> None:
    gate = threading.Event()

    class Deaf(Scripted):
        def run(self, stop: threading.Event) -> None:
            self.begun.release()
            gate.wait()

    deaf, good = Deaf("deaf", []), Scripted("good", [None])
    supervisor, _ = supervised(deaf, good)
    supervisor.start()
    assert deaf.begun.acquire(timeout=TIMEOUT_S)
    assert supervisor.stop(0.05) == ["deaf"]
    assert good.ended.wait(TIMEOUT_S)
    gate.set()
    assert supervisor.join(TIMEOUT_S) == []
