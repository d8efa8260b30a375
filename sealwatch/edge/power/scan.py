"""Finding the meter on a line: its protocol, speed and address, and which profiles of Modbus fit what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from sealwatch.edge.ports import MeterError
from sealwatch.edge.power.dlt698 import Line698
from sealwatch.edge.power.line import Line
from sealwatch.edge.power.modbus import ModbusBus, ModbusTcp, Registers, RtuLine
from sealwatch.edge.power.plausible import VOLTAGE_HIGH_V, VOLTAGE_LOW_V
from sealwatch.edge.power.profiles import ModbusBlock, RegisterField, load_profile, profile_names
from sealwatch.edge.power.wire import opener

PROTOCOLS: Final = ("dlt645-2007", "dlt698.45", "modbus")
_SPEEDS: Final = {
    "dlt645-2007": (2400, 9600, 4800, 1200, 19200),
    "dlt698.45": (9600, 2400, 4800, 19200, 1200),
    "modbus": (9600, 4800, 19200, 2400),
}
MODBUS_TIMEOUT_S: Final = 0.3
"""A device that is there answers within this; one that is not costs as much."""
_LAST_UNIT: Final = 247
# What nearly every device answers, were it with a refusal.
_PROBE: Final = ModbusBlock(
    register=0, count=1, function=3, pace="slow", fields=[RegisterField(quantity="any", type="uint16")]
)


@dataclass(frozen=True, slots=True)
class Found:
    """A meter: `address` as the other commands take it; `profiles` whose voltages make sense, of Modbus only."""

    address: str
    baud: int
    protocol: str
    profiles: list[str] = field(default_factory=list)


def scan(
    url: str, protocols: Sequence[str], *, baud: int, told: Callable[[str, int, MeterError], None]
) -> Found | None:
    """The first meter that answers, or None. `told` hears of each protocol and speed that found none.

    A serial line is tried at the usual speeds, a converter on TCP at `baud`, which is set on itself; a Modbus TCP
    gateway is asked for devices alone. Raises ValueError for an address that is no wire.
    """
    for protocol, speed in _tries(url, protocols, baud):
        try:
            return _find(url, protocol, speed)
        except MeterError as error:
            told(protocol, speed, error)
            if error.reason == "unreachable":
                return None
    return None


def _tries(url: str, protocols: Sequence[str], baud: int) -> Iterator[tuple[str, int]]:
    """Protocols and speeds to try; the search through all Modbus addresses, which takes minutes, comes last."""
    if url.startswith("modbus-tcp://"):
        yield "modbus", baud
        return
    for protocol in sorted(protocols, key=PROTOCOLS.index):
        for speed in _SPEEDS[protocol] if url.startswith("serial:") else (baud,):
            yield protocol, speed


def _find(url: str, protocol: str, baud: int) -> Found:
    """Raises MeterError where nobody answers, ValueError for an address that is no wire."""
    if protocol == "modbus":
        return _find_device(url, baud)
    line: Line | Line698 = (Line if protocol == "dlt645-2007" else Line698)(opener(url, baud=baud))
    with closing(line):
        return Found(line.identify(), baud, protocol)


def _find_device(url: str, baud: int) -> Found:
    registers: Registers
    if url.startswith("modbus-tcp://"):
        parts = urlsplit(url)
        registers = ModbusTcp(parts.hostname or "", parts.port or 502, answer_timeout_s=MODBUS_TIMEOUT_S)
    else:
        registers = RtuLine(opener(url, baud=baud, parity="N"), answer_timeout_s=MODBUS_TIMEOUT_S)
    with closing(registers):
        failure = MeterError("silent", "no device answers")
        for unit in range(1, _LAST_UNIT + 1):
            try:
                registers.ask(unit, _PROBE)
            except MeterError as error:
                if error.reason == "unreachable":
                    raise
                if error.reason != "exception" or "Gateway" in error.detail:
                    failure = error if error.reason not in ("silent", "exception") else failure
                    continue
            return Found(str(unit), baud, "modbus", _fitting(registers, str(unit)))
        raise failure


def _fitting(registers: Registers, address: str) -> list[str]:
    """Profiles by which the device tells voltages that a mains can have: not proof, but others are out."""
    found = []
    for name in profile_names():
        profile = load_profile(name)
        volts = [q for q in profile.quantities if q.startswith("voltage_")]
        if profile.protocol != "modbus" or not volts:
            continue
        try:
            values = ModbusBus(registers, profile).read(address, volts)
        except MeterError:
            continue
        if values and all(VOLTAGE_LOW_V <= v <= VOLTAGE_HIGH_V for v in values.values()):
            found.append(name)
    return found
