"""The part that owns one output: off when it begins, off when it ends, and on only within its limits."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from sealwatch.base.clock import Clock
from sealwatch.contract.messages import PartHealth
from sealwatch.edge.inputs.wire import WireError
from sealwatch.edge.outputs import limits
from sealwatch.edge.outputs.drivers import Driver
from sealwatch.edge.outputs.journal import Journal
from sealwatch.edge.outputs.limits import Decision, Limits, Origin, OutputState

REFRESH_S: Final = 2.0
"""A state is written again this often while on: a module with a watchdog of its own switches off once we are gone."""
CHECK_S: Final = 30.0
"""While off, what the output says of itself is compared this often."""
RETRY_S: Final = 1.0
_logger = logging.getLogger(__name__)


class OutputPart:
    """Implements `sealwatch.edge.ports.Part`. Requests come from any thread and are decided at once."""

    def __init__(
        self,
        output_id: str,
        kind: str,
        driver: Driver,
        rules: Limits,
        journal: Journal,
        clock: Clock,
        *,
        permitted_work: Callable[[], bool] = lambda: False,
    ) -> None:
        self._output_id, self.kind, self._driver, self._limits = output_id, kind, driver, rules
        self._journal, self._clock, self._permitted_work = journal, clock, permitted_work
        self._changed = threading.Condition()
        self._state = OutputState()
        self._stopped = False
        self._confirmed: bool | None = None
        self._due_s = float("-inf")
        self._failure: WireError | None = None
        self._evidence_ms: int | None = None
        self._activations = self._refusals = 0

    @property
    def part_id(self) -> str:
        return self._output_id

    def ask(self, seconds: float, *, origin: Origin, why: str) -> Decision:
        """Want it on for `seconds`; decided at once, switched soon by the part itself. `why` goes into the journal."""
        now_s, now_ms = self._clock.monotonic_s(), self._clock.wall_ms()
        permitted_work = self._permitted_work()
        with self._changed:
            if self._stopped:
                return Decision(ok=False, reason="ending")
            self._state, decision = limits.ask(
                self._state,
                self._limits,
                seconds,
                origin=origin,
                now_s=now_s,
                now_ms=now_ms,
                permitted_work=permitted_work,
            )
            self._refusals += not decision.ok
            self._changed.notify_all()
        event = decision.reason if decision.ok else "refused"
        values: dict[str, str | float] = {"reason": decision.reason}
        if decision.ok:
            values = {"seconds": round(decision.seconds, 1)}
        self._journal.note(at_ms=now_ms, output=self.part_id, event=event, origin=origin, why=why, **values)
        return decision

    def off(self, *, why: str) -> bool:
        """Want it off; whether it was on."""
        with self._changed:
            self._state, reason = limits.off(self._state, self._limits, self._clock.monotonic_s())
            self._changed.notify_all()
        if reason is not None:
            self._journal.note(at_ms=self._clock.wall_ms(), output=self.part_id, event=reason, why=why)
        return reason is not None

    def run(self, stop: threading.Event) -> None:
        """Switch it off, then keep it as it should be until `stop` is set, then switch it off.

        What was asked for meanwhile holds after a failure of this part too, within the same limits.
        """
        try:
            self._drive(False, self._clock.monotonic_s())
            while not stop.is_set():
                wait_s = self.step()
                with self._changed:
                    if self._wanted() == self._confirmed or self._failure is not None:
                        self._changed.wait(min(wait_s, 0.1))
        finally:
            with self._changed:
                self._stopped = stop.is_set()
            self._drive(False, self._clock.monotonic_s())
            self._driver.close()

    def step(self) -> float:
        """Do what is due; how long nothing else will be (seconds), unless somebody asks for something."""
        now_s = self._clock.monotonic_s()
        with self._changed:
            self._state, over = limits.tick(self._state, self._limits, now_s)
            on = self._wanted()
            due = now_s >= self._due_s or (self._failure is None and on is not self._confirmed)
        if over is not None:
            self._journal.note(at_ms=self._clock.wall_ms(), output=self.part_id, event=over)
        if due:
            self._drive(on, now_s)
        return max(0.0, self._due_s - now_s)

    def health(self) -> PartHealth:
        """Works while the output is in the state it should be in, as far as it tells."""
        with self._changed:
            on, failure, confirmed = self._wanted(), self._failure, self._confirmed
            numbers = {"on": float(on), "activations": float(self._activations), "refusals": float(self._refusals)}
        ok = failure is None and confirmed is not None
        reason = failure.reason if failure is not None else ("on" if on else "off") if ok else "not_switched_yet"
        return PartHealth(
            part_id=self.part_id, kind="output", ok=ok, reason=reason, evidence_at_ms=self._evidence_ms, numbers=numbers
        )

    def _wanted(self) -> bool:
        return self._state.on and not self._stopped

    def _drive(self, on: bool, now_s: float) -> None:
        changed = on is not self._confirmed
        try:
            self._driver.switch(on)
            if self._driver.state() is (not on):
                raise WireError(
                    "stuck", f"it says it is {'off' if on else 'on'}; check relay, wiring and who else has it"
                )
        except WireError as error:
            with self._changed:
                first, self._failure, self._due_s = self._failure is None, error, now_s + RETRY_S
                self._confirmed = None
            if first:
                _logger.warning("output %s: %s", self.part_id, error)
                self._note("failed", "on" if on else "off", error.reason)
            return
        with self._changed:
            recovered, self._failure = self._failure is not None, None
            self._confirmed, self._due_s = on, now_s + (REFRESH_S if on else CHECK_S)
            self._evidence_ms = self._clock.wall_ms()
            self._activations += on and changed  # the first thing every life does is to switch it off
        if recovered:
            _logger.warning("output %s can be switched again", self.part_id)
        if changed:
            self._note("switched", "on" if on else "off")

    def _note(self, event: str, to: str, reason: str = "") -> None:
        values: dict[str, str | float] = {"reason": reason} if reason else {}
        self._journal.note(at_ms=self._clock.wall_ms(), output=self.part_id, event=event, to=to, **values)
