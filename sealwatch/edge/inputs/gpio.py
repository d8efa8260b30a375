"""The pins of a single-board computer, through `gpiozero`. Contacts go from the pin to ground, with the pull-up on.

A contact that is closed pulls its pin down. Outputs are claimed switched off.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sealwatch.base.clock import Clock
from sealwatch.edge.inputs.wire import Sample, WireError


class GpioPins:
    """The `Wire` of this machine's pins; a channel is a BCM number."""

    def __init__(self, inputs: Collection[str], outputs: Mapping[str, bool], clock: Clock) -> None:
        """`outputs`: whether a pin's board switches on at low level, by channel."""
        self._wanted, self._active_low, self._clock = list(inputs), dict(outputs), clock
        self._inputs: dict[str, Any] = {}
        self._outputs: dict[str, Any] = {}
        self._lock = threading.Lock()

    def read(self) -> Sequence[Sample]:
        """Every input as it is now. Raises WireError: not_installed | wrong_setup | broken."""
        with self._lock:
            for channel in self._wanted:
                if channel not in self._inputs:
                    self._inputs[channel] = _claimed("DigitalInputDevice", channel, pull_up=True)
            now_s = self._clock.monotonic_s()
            return [Sample(channel, bool(device.value), now_s) for channel, device in self._inputs.items()]

    def write(self, channel: str, on: bool) -> None:
        """Switch a pin. Raises WireError."""
        device = self._output(channel)
        if on:
            device.on()
        else:
            device.off()

    def state(self, channel: str) -> bool | None:
        """What the pin is driven to. Raises WireError."""
        return bool(self._output(channel).value)

    def close(self) -> None:
        """Let go of the pins: outputs first switched off, then no longer driven."""
        with self._lock:
            for device in self._outputs.values():
                device.off()
            for device in (*self._inputs.values(), *self._outputs.values()):
                device.close()
            self._inputs, self._outputs = {}, {}

    def _output(self, channel: str) -> Any:
        with self._lock:
            if channel not in self._outputs:
                active_high = not self._active_low.get(channel, False)
                self._outputs[channel] = _claimed(
                    "DigitalOutputDevice", channel, active_high=active_high, initial_value=False
                )
            return self._outputs[channel]


def _claimed(kind: str, channel: str, **arguments: Any) -> Any:
    try:
        import gpiozero
    except ImportError:
        raise WireError(
            "not_installed", "pins need the package gpiozero; run: pip install 'sealwatch[edge,gpio]'"
        ) from None
    try:
        return getattr(gpiozero, kind)(int(channel), **arguments)
    except (gpiozero.GPIOZeroError, OSError, ValueError) as error:
        raise WireError(
            "wrong_setup", f"pin {channel} cannot be used ({error}); check its number, the rights and who else has it"
        ) from None
