"""`MeterBus` for DL/T 645-2007: quantities by name, read through a profile over a shared line."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from sealwatch.base.clock import Clock
from sealwatch.base.errors import UsageError
from sealwatch.edge.config import MeterSettings
from sealwatch.edge.ports import MeterBus, MeterError
from sealwatch.edge.power.dlt645 import bcd
from sealwatch.edge.power.line import ANSWER_TIMEOUT_S, Line
from sealwatch.edge.power.profiles import Dlt645Block, MeterProfile, load_profile
from sealwatch.edge.power.wire import opener

_TRANSFORMED = ("active_power", "reactive_power", "apparent_power", "current", "forward_energy", "reverse_energy")


class Dlt645Bus:
    """Meters of one profile on one line.

    `transformer_ratio` multiplies powers, currents and energies: a meter behind transformers that it does not know.
    """

    def __init__(self, line: Line, profile: MeterProfile, *, transformer_ratio: float = 1.0) -> None:
        self.line, self._profile, self._ratio = line, profile, transformer_ratio
        self._identifiers = [block.identifier for block in profile.dlt645]

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
            data = self.line.ask(address, block.identifier, others=self._identifiers)
            values |= {q: v for q, v in decode_block(block, data, ratio=self._ratio).items() if q in wanted}
        return values

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
            value = bcd(raw, decimals=item.decimals, signed=item.signed)
        except ValueError as error:
            raise MeterError("garbage", f"{block.identifier}: {item.quantity}: {error}") from None
        if value is not None:
            factor = ratio if item.quantity.startswith(_TRANSFORMED) else 1.0
            values[item.quantity] = value * item.scale * factor
    return values


class Lines:
    """The lines of a node: meters behind the same converter share one, because it serves one master."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock
        self._lines: dict[str, Line] = {}
        self._lock = threading.Lock()

    def bus(self, meter: MeterSettings, *, answer_timeout_s: float = ANSWER_TIMEOUT_S) -> MeterBus:
        """The bus of one configured meter. Raises UsageError for a profile or wire that is not known.

        The wire keeps real time whatever clock the watcher lives by: a converter cannot be hurried.
        """
        profile = load_profile(meter.profile)
        with self._lock:
            line = self._lines.get(meter.url)
            if line is None:
                try:
                    open_wire = opener(meter.url, baud=meter.baud, parity=profile.parity, stop_bits=profile.stop_bits)
                except ValueError as error:
                    raise UsageError(f"meter {meter.meter_id}: {error}") from None
                line = self._lines[meter.url] = Line(open_wire, clock=self._clock, answer_timeout_s=answer_timeout_s)
        return Dlt645Bus(line, profile, transformer_ratio=meter.transformer_ratio)
