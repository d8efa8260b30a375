"""From a configured meter to its `MeterBus`: quantities by name, read through a profile over a shared line."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from sealwatch.base.clock import Clock
from sealwatch.base.errors import UsageError
from sealwatch.edge.config import MeterSettings
from sealwatch.edge.ports import MeterBus, MeterError
from sealwatch.edge.power.dlt645 import bcd, unix_s
from sealwatch.edge.power.dlt698 import Dlt698Bus, Line698
from sealwatch.edge.power.line import ANSWER_TIMEOUT_S, Line
from sealwatch.edge.power.modbus import ModbusBus, ModbusTcp, RtuLine
from sealwatch.edge.power.profiles import Dlt645Block, MeterProfile, load_profile
from sealwatch.edge.power.ratio import factor
from sealwatch.edge.power.wire import opener

AnyLine = Line | Line698 | RtuLine | ModbusTcp
_BELIEVE_AFTER = 5


class Dlt645Bus:
    """Meters of one profile on one line.

    `transformer_ratio` multiplies powers, currents and energies: a meter behind transformers that it does not know.
    """

    def __init__(self, line: Line, profile: MeterProfile, *, transformer_ratio: float = 1.0) -> None:
        self.line, self._profile, self._ratio = line, profile, transformer_ratio
        self._identifiers = [block.identifier for block in profile.dlt645]
        self._mismatches = 0

    def read(self, address: str, quantities: Sequence[str]) -> Mapping[str, float]:
        """Values of the wanted quantities; one request per data identifier behind them.

        A quantity that the meter marks as not there is missing from the answer. Raises MeterError.
        """
        wanted = set(quantities)
        unknown = wanted - set(self._profile.quantities)
        if unknown:
            raise MeterError("exception", f"the profile cannot read {', '.join(sorted(unknown))}")
        values: dict[str, float] = {}
        for block in self._profile.dlt645:
            if wanted.isdisjoint(f.quantity for f in block.fields):
                continue
            read = self._checked(address, block)
            values |= {q: v for q, v in read.items() if q in wanted}
        return values

    def _checked(self, address: str, block: Dlt645Block) -> dict[str, float]:
        """A block whose numbers agree with each other.

        The checksum of DL/T 645 is a sum: two damaged bytes can make up for each other, about once in 16 times when
        two bits of a frame flip. Where a total and its phases come together, they tell. A meter whose phases never add
        up is believed after `_BELIEVE_AFTER` times.
        """
        data = self.line.ask(address, block.identifier, others=self._identifiers)
        read = decode_block(block, data, ratio=self._ratio)
        if phases_add_up(read, ratio=self._ratio):
            self._mismatches = 0
        else:
            self._mismatches += 1
            if self._mismatches < _BELIEVE_AFTER:
                self.line.statistics(address).failed["bad_checksum"] += 1
                raise MeterError("bad_checksum", f"meter {address}: the phases do not add up to the total")
        return read

    def close(self) -> None:
        self.line.close()


def decode_block(block: Dlt645Block, data: bytes, *, ratio: float = 1.0) -> dict[str, float]:
    """The quantities in the data of one answer. Raises MeterError (garbage)."""
    values: dict[str, float] = {}
    for item in block.fields:
        raw = data[item.offset : item.offset + item.size]
        if len(raw) < item.size:
            raise MeterError("garbage", f"{block.identifier}: {len(data)} data bytes are too few for {item.quantity}")
        try:
            value = unix_s(raw) if item.moment else bcd(raw, decimals=item.decimals, signed=item.signed)
        except ValueError as error:
            raise MeterError("garbage", f"{block.identifier}: {item.quantity}: {error}") from None
        if value is not None:
            values[item.quantity] = value * item.scale * factor(item.quantity, ratio)
    return values


def phases_add_up(values: Mapping[str, float], *, ratio: float = 1.0) -> bool:
    """Whether a total active power agrees with its three phases, where all four are there. `ratio`: that of the
    transformers, by which the last digits of the meter are as coarse."""
    phases = [values.get(f"active_power_{p}_w") for p in "abc"]
    total = values.get("active_power_w")
    if total is None or any(p is None for p in phases):
        return True
    return abs(sum(p for p in phases if p is not None) - total) <= 2.0 * ratio + 0.002 * abs(total)


class Lines:
    """The lines of a node: meters behind the same converter share one, because it serves one master."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock
        self._lines: dict[tuple[str, str], AnyLine] = {}
        self._lock = threading.Lock()

    def bus(self, meter: MeterSettings, *, answer_timeout_s: float = ANSWER_TIMEOUT_S) -> MeterBus:
        """The bus of one configured meter. Raises UsageError for a profile, wire or address that is not known.

        The wire keeps real time whatever clock the watcher lives by: a converter cannot be hurried.
        """
        profile = load_profile(meter.profile)
        if profile.protocol == "modbus" and not 1 <= int(meter.address) <= 247:
            raise UsageError(f"meter {meter.meter_id}: a Modbus address is 1 to 247, not {meter.address}")
        with self._lock:
            key = (meter.url, profile.protocol)
            line = self._lines.get(key)
            if line is None:
                try:
                    line = self._lines[key] = self._open(meter, profile, answer_timeout_s)
                except ValueError as error:
                    raise UsageError(f"meter {meter.meter_id}: {error}") from None
        if isinstance(line, Line):
            return Dlt645Bus(line, profile, transformer_ratio=meter.transformer_ratio)
        if isinstance(line, Line698):
            return Dlt698Bus(line, profile, transformer_ratio=meter.transformer_ratio)
        return ModbusBus(line, profile, transformer_ratio=meter.transformer_ratio)

    def _open(self, meter: MeterSettings, profile: MeterProfile, timeout_s: float) -> AnyLine:
        if meter.url.startswith("modbus-tcp://"):
            parts = urlsplit(meter.url)
            if profile.protocol != "modbus":
                raise ValueError(f"the profile {meter.profile} does not speak Modbus; use tcp:// or serial:")
            return ModbusTcp(parts.hostname or "", parts.port or 502, answer_timeout_s=timeout_s)
        open_wire = opener(meter.url, baud=meter.baud, parity=profile.parity, stop_bits=profile.stop_bits)
        if profile.protocol == "modbus":
            return RtuLine(open_wire, clock=self._clock, answer_timeout_s=timeout_s)
        if profile.protocol == "dlt698.45":
            return Line698(open_wire, clock=self._clock, answer_timeout_s=timeout_s)
        return Line(open_wire, clock=self._clock, answer_timeout_s=timeout_s)
