"""A DL/T 645-2007 meter as bytes: hears a request, says what comes back and when. Pure but for its load.

The frames are built and read by the `dlt645` package, so that the agent's own framing meets another implementation.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from enum import StrEnum

from dlt645.protocol.protocol import DLT645Protocol

Load = Callable[[float], Mapping[str, float]]
"""Seconds since the start -> quantities with their unit in the name."""


class Misbehaviour(StrEnum):
    """What goes wrong on real lines."""

    SILENT = "silent"
    ECHO = "echo"  # the adapter returns the request before the answer
    ECHO_ONLY = "echo_only"
    GARBAGE = "garbage"
    WRONG_ADDRESS = "wrong_address"
    BAD_CHECKSUM = "bad_checksum"
    LATE = "late"  # answers only after `late_s`
    PREAMBLE = "preamble"  # more FE bytes than usual
    SPLIT = "split"  # the answer in pieces
    REFUSE = "refuse"
    OTHER_MASTER = "other_master"  # somebody else's request and answer come first


_PHASES = ("a", "b", "c")
# Identifier -> (quantities, bytes each, decimals, signed, divisor from our unit to the meter's).
_ITEMS: dict[str, tuple[tuple[str, ...], int, int, bool, float]] = {
    "0203FF00": (("active_power_w", *(f"active_power_{p}_w" for p in _PHASES)), 3, 4, True, 1000.0),
    "0201FF00": (tuple(f"voltage_{p}_v" for p in _PHASES), 2, 1, False, 1.0),
    "0202FF00": (tuple(f"current_{p}_a" for p in _PHASES), 3, 3, True, 1.0),
    "0206FF00": (("power_factor", *(f"power_factor_{p}" for p in _PHASES)), 2, 3, True, 1.0),
    "02030000": (("active_power_w",), 3, 4, True, 1000.0),
    "02030100": (("active_power_a_w",), 3, 4, True, 1000.0),
    "02030200": (("active_power_b_w",), 3, 4, True, 1000.0),
    "02030300": (("active_power_c_w",), 3, 4, True, 1000.0),
    "02010100": (("voltage_a_v",), 2, 1, False, 1.0),
    "02010200": (("voltage_b_v",), 2, 1, False, 1.0),
    "02010300": (("voltage_c_v",), 2, 1, False, 1.0),
    "02020100": (("current_a_a",), 3, 3, True, 1.0),
    "02060000": (("power_factor",), 2, 3, True, 1.0),
    "00010000": (("forward_energy_wh",), 4, 2, False, 1000.0),
    "00020000": (("reverse_energy_wh",), 4, 2, False, 1000.0),
    "02800002": (("frequency_hz",), 2, 2, False, 1.0),
    "03110000": (("power_loss_count",), 3, 0, False, 1.0),
    "03300D00": (("cover_opened_count",), 3, 0, False, 1.0),
    "03300E00": (("terminal_cover_opened_count",), 3, 0, False, 1.0),
    "03300400": (("clock_set_count",), 3, 0, False, 1.0),
    "03070000": (("phase_order_count",), 3, 0, False, 1.0),
}


class MeterTwin:
    """One meter at one address. `misbehaviours` may be changed while it runs."""

    def __init__(self, load: Load, *, address: str, seconds: Callable[[], float], seed: int = 1) -> None:
        self._load, self._seconds = load, seconds
        self._address = bytes.fromhex(address.zfill(12))[::-1]
        self._random = random.Random(seed)
        self._heard = b""
        self.misbehaviours: set[Misbehaviour] = set()
        self.late_s = 2.0
        self.requests = 0
        # What the meter has recorded about itself; an opened cover is `twin.counters["cover_opened_count"] += 1`.
        self.counters: dict[str, float] = dict.fromkeys(
            ("power_loss_count", "cover_opened_count", "terminal_cover_opened_count", "clock_set_count"), 0.0
        )

    def hear(self, data: bytes) -> list[tuple[float, bytes]]:
        """What comes back for `data`, as (delay in seconds, bytes)."""
        self._heard += data
        out: list[tuple[float, bytes]] = []
        while True:
            before = self._heard
            self._heard, frame = DLT645Protocol.deserialize_with_remaining(before)
            if frame is None:
                self._heard = self._heard[-512:]
                return out
            raw = bytes(before[: len(before) - len(self._heard)])
            if bytes(frame.addr) in (self._address, b"\xaa" * 6):
                self.requests += 1
                out += self._answer(frame.ctrl_code, bytes(frame.data), raw)

    def _answer(self, control: int, data: bytes, request: bytes) -> list[tuple[float, bytes]]:
        wrong = self.misbehaviours
        if Misbehaviour.SILENT in wrong:
            return []
        if Misbehaviour.ECHO_ONLY in wrong:
            return [(0.0, request)]
        if Misbehaviour.GARBAGE in wrong:
            return [(0.0, self._random.randbytes(40))]
        answer = self._frame(control, data)
        if not answer:
            return []
        delay_s = 0.0
        if Misbehaviour.BAD_CHECKSUM in wrong:
            answer = answer[:-2] + bytes([(answer[-2] + 1) & 0xFF]) + answer[-1:]
        if Misbehaviour.PREAMBLE in wrong:
            answer = b"\xfe" * 7 + answer
        if Misbehaviour.LATE in wrong:
            delay_s = self.late_s
        pieces = [(delay_s, answer)]
        if Misbehaviour.SPLIT in wrong:
            at = self._random.randrange(1, len(answer))
            pieces = [(delay_s, answer[:at]), (delay_s + 0.05, answer[at:])]
        if Misbehaviour.OTHER_MASTER in wrong:
            pieces.insert(0, (0.0, self._other_master()))
        if Misbehaviour.ECHO in wrong:
            pieces.insert(0, (0.0, request))
        return pieces

    def _frame(self, control: int, data: bytes) -> bytes:
        address = self._address
        if Misbehaviour.WRONG_ADDRESS in self.misbehaviours:
            address = bytes([(address[0] + 1) % 0x99, *address[1:]])
        if control == 0x13:
            return bytes(DLT645Protocol.build_frame(address, 0x93, self._address, 4))
        if control != 0x11 or len(data) < 4:
            return b""
        content = self._content(data[3::-1].hex().upper())
        if content is None or Misbehaviour.REFUSE in self.misbehaviours:
            return bytes(DLT645Protocol.build_frame(address, 0xD1, b"\x02", 4))
        return bytes(DLT645Protocol.build_frame(address, 0x91, data[:4] + content, 4))

    def _content(self, identifier: str) -> bytes | None:
        item = _ITEMS.get(identifier)
        if item is None:
            return None
        quantities, size, decimals, signed, divisor = item
        values = {**self.counters, **self._load(self._seconds())}
        if not any(q in values for q in quantities):
            return None
        return b"".join(_bcd(values[q] / divisor, size, decimals, signed=signed) for q in quantities if q in values)

    def _other_master(self) -> bytes:
        other = bytes([(self._address[0] + 7) % 0x99, *self._address[1:]])
        di = bytes.fromhex("0203FF00")[::-1]
        answer = DLT645Protocol.build_frame(other, 0x91, di + _bcd(77.7777, 3, 4, signed=True) * 4, 4)
        return bytes(DLT645Protocol.build_frame(other, 0x11, di, 4)) + bytes(answer)


def _bcd(value: float, size: int, decimals: int, *, signed: bool) -> bytes:
    """Lowest byte first, the sign in the highest bit; a register that is full rolls over."""
    digits = round(abs(value) * 10**decimals) % (10 ** (2 * size) if not signed else 8 * 10 ** (2 * size - 1))
    out = bytearray.fromhex(f"{digits:0{2 * size}d}")[::-1]
    if signed and value < 0:
        out[-1] |= 0x80
    return bytes(out)
