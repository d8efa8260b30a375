"""Modbus modules with contacts, measured inputs and relays, through `pymodbus`: TCP, RTU behind a converter, serial.

Modbus TCP numbers its requests; an RTU answer names neither register nor request. After a failure on an RTU line it is
therefore closed and left alone until an answer that was late has gone by, and what came in meanwhile is thrown away.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from sealwatch.base.clock import Clock
from sealwatch.edge.config import IoModuleSettings
from sealwatch.edge.inputs.profiles import ChannelBlock, ModuleProfile, find
from sealwatch.edge.inputs.wire import Sample, WireError

ANSWER_TIMEOUT_S: Final = 1.0
SETTLE_S: Final = 1.5
_ASK: Final = {
    "discrete_inputs": "read_discrete_inputs",
    "coils": "read_coils",
    "input_registers": "read_input_registers",
    "holding_registers": "read_holding_registers",
}


class ModbusLine:
    """One line with one or more modules: one request at a time."""

    def __init__(self, url: str, connect: Callable[[], Any], clock: Clock) -> None:
        """`connect` makes pymodbus' synchronous client."""
        self._url, self._make, self._clock = url, connect, clock
        self._numbered = url.startswith("modbus-tcp:")
        self._client: Any = None
        self._lock = threading.Lock()
        self._quiet_until_s = 0.0

    def ask(self, function: str, address: int, device: int, **arguments: Any) -> Any:
        """The answer to one request. Raises WireError: unreachable | silent | refused."""
        from pymodbus.exceptions import ModbusException

        with self._lock:
            client = self._connected()
            try:
                answer = getattr(client, function)(address, device_id=device, **arguments)
            except (ModbusException, OSError) as error:
                self._drop()
                raise WireError(
                    "silent",
                    f"module {device} on {self._url} does not answer ({error}); check address, speed, wires and power",
                ) from None
            if answer.isError():
                raise WireError("refused", f"module {device} on {self._url} refuses address {address} ({answer})")
            return answer

    def close(self) -> None:
        """Close the line; the next request opens it again."""
        with self._lock:
            self._close()

    def _connected(self) -> Any:
        if self._client is None:
            if self._clock.monotonic_s() < self._quiet_until_s:
                raise WireError("silent", f"{self._url} is left alone until late answers have gone by")
            self._client = self._make()
        if not self._client.connected and not self._client.connect():
            self._client = None
            raise WireError("unreachable", f"{self._url} cannot be opened; check power, network, port and rights")
        return self._client

    def _drop(self) -> None:
        self._close()
        if not self._numbered:
            self._quiet_until_s = self._clock.monotonic_s() + SETTLE_S

    def _close(self) -> None:
        if self._client is not None:
            with contextlib.suppress(OSError):
                self._client.close()
            self._client = None


class ModbusModule:
    """The `Wire` of one module: reads the blocks that hold wanted channels, switches coils."""

    def __init__(
        self, line: ModbusLine, profile: ModuleProfile, device: int, channels: Sequence[str], clock: Clock
    ) -> None:
        """`channels`: the inputs that are wanted."""
        self._line, self._profile, self._device, self._clock = line, profile, device, clock
        found = [(channel, find(profile.inputs, channel)) for channel in channels]
        self._wanted: dict[ChannelBlock, list[tuple[str, int]]] = {}
        for channel, place in found:
            if place is None:
                raise ValueError(f"the module has no input {channel}")
            self._wanted.setdefault(place[0], []).append((channel, place[1]))

    def read(self) -> Sequence[Sample]:
        """One request per block. Raises WireError."""
        samples: list[Sample] = []
        for block, channels in self._wanted.items():
            count = 1 + max(place for _, place in channels)
            answer = self._line.ask(_ASK[block.table], block.first, self._device, count=count)
            bits = block.table in ("discrete_inputs", "coils")
            values: list[Any] = list(answer.bits if bits else answer.registers)
            if len(values) < count:
                raise WireError("refused", f"module {self._device} answers {len(values)} of {count} {block.table}")
            now_s = self._clock.monotonic_s()
            samples += [
                Sample(channel, bool(values[place]) if bits else values[place] * block.scale, now_s)
                for channel, place in channels
            ]
        if not self._wanted and self._profile.outputs:
            block = self._profile.outputs[0]
            self._line.ask("read_coils", block.first, self._device, count=1)  # a sign of life
        return samples

    def write(self, channel: str, on: bool) -> None:
        """Switch a coil. Raises WireError."""
        address = self._coil(channel)
        answer = self._line.ask("write_coil", address, self._device, value=on)
        if (answer.address, bool(answer.bits[0])) != (address, on):
            raise WireError("broken", f"module {self._device} confirms another switching than {channel}")

    def state(self, channel: str) -> bool | None:
        """What the coil says. Raises WireError."""
        return bool(self._line.ask("read_coils", self._coil(channel), self._device, count=1).bits[0])

    def close(self) -> None:
        """Let go of the line."""
        self._line.close()

    def _coil(self, channel: str) -> int:
        place = find(self._profile.outputs, channel)
        if place is None:
            raise WireError("wrong_setup", f"module {self._device} has no output {channel}; see its profile")
        return place[0].first + place[1]


def client_for(module: IoModuleSettings, profile: ModuleProfile) -> Callable[[], Any]:
    """How to make the client of a module's line."""
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # what fails is told once, by the part itself
    if module.url.startswith("serial:"):
        path = module.url.removeprefix("serial:")

        def serial() -> Any:
            from pymodbus.client import ModbusSerialClient

            return ModbusSerialClient(
                path,
                baudrate=module.baud,
                parity=profile.parity,
                stopbits=profile.stop_bits,
                timeout=ANSWER_TIMEOUT_S,
                retries=0,
            )

        return serial
    parts = urlsplit(module.url)

    def tcp() -> Any:
        from pymodbus import FramerType
        from pymodbus.client import ModbusTcpClient

        return ModbusTcpClient(
            parts.hostname or "",
            port=parts.port or 502,
            framer=FramerType.SOCKET if parts.scheme == "modbus-tcp" else FramerType.RTU,
            timeout=ANSWER_TIMEOUT_S,
            retries=0,
        )

    return tcp
