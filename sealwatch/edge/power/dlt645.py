"""DL/T 645-2007 frames: bytes to frames and back, without any I/O.

A frame is ``[FE...] 68 A0..A5 68 C L DATA CS 16``: the address in BCD with the lowest byte first, every data byte
raised by 33H, CS the sum of all bytes from the first 68H modulo 256. Master requests read with control 11H, answers
come as 91H (B1H when more follows), refusals as D1H with one error byte.

The framing is our own because the `dlt645` package costs 38 MB of memory on import (its tables of event records),
more than the whole sampler may use; tests hold both implementations against each other, and the decoder for
installers takes the names of data identifiers from the package.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

START: Final = 0x68
END: Final = 0x16
PREAMBLE: Final = 0xFE
READ: Final = 0x11
READ_ADDRESS: Final = 0x13
ANSWER: Final = 0x80
REFUSED: Final = 0x40
MORE_FOLLOWS: Final = 0x20
FUNCTION: Final = 0x1F
MAX_DATA: Final = 200
"""Longest data field that the protocol allows in an answer."""
WILDCARD: Final = "AAAAAAAAAAAA"
_HEAD, _TAIL = 10, 2
_BUFFER_LIMIT = 4096

# Bits of the error byte of a refusal, by name.
_ERRORS: Final = (
    (0x01, "other_error"),
    (0x02, "no_such_data"),
    (0x04, "not_authorised"),
    (0x08, "speed_not_changeable"),
    (0x10, "too_many_year_zones"),
    (0x20, "too_many_day_slots"),
    (0x40, "too_many_tariffs"),
)


@dataclass(frozen=True, slots=True)
class Frame:
    """One whole frame. `address` is written as printed on the meter (12 digits), `data` has the 33H taken off."""

    address: str
    control: int
    data: bytes

    @property
    def identifier(self) -> str | None:
        """The data identifier as eight hex digits (``02030000``), or None where the frame carries none."""
        if self.control & FUNCTION not in (0x11, 0x12, 0x14) or self.refused or len(self.data) < 4:
            return None
        return self.data[3::-1].hex().upper()

    @property
    def is_answer(self) -> bool:
        return bool(self.control & ANSWER)

    @property
    def refused(self) -> bool:
        return self.is_answer and bool(self.control & REFUSED)

    @property
    def errors(self) -> list[str]:
        """Names of the errors that a refusal states."""
        if not self.refused or not self.data:
            return []
        return [name for bit, name in _ERRORS if self.data[0] & bit] or [f"error_{self.data[0]:02x}"]


@dataclass(frozen=True, slots=True)
class Broken:
    """Bytes that began like a frame and are none. `reason`: bad_checksum | bad_end | bad_length | incomplete."""

    reason: str
    raw: bytes


def encode(frame: Frame, *, preamble: int = 4) -> bytes:
    """The bytes of a frame behind `preamble` FE bytes. Raises ValueError for a field that does not fit."""
    if len(frame.data) > 255:
        raise ValueError(f"a frame holds at most 255 data bytes, not {len(frame.data)}")
    body = bytes([START, *_address_bytes(frame.address), START, frame.control, len(frame.data)])
    body += bytes((value + 0x33) & 0xFF for value in frame.data)
    return bytes([PREAMBLE] * preamble) + body + bytes([sum(body) & 0xFF, END])


def read_request(address: str, identifier: str) -> Frame:
    """The request that reads one data identifier (``0203FF00``) of one meter."""
    return Frame(address.zfill(12).upper(), READ, bytes.fromhex(identifier)[::-1])


def _address_bytes(address: str) -> bytes:
    digits = address.zfill(12)
    if len(digits) != 12:
        raise ValueError(f"a meter address has at most 12 digits, not '{address}'")
    return bytes.fromhex(digits)[::-1]


class Assembler:
    """Cuts a byte stream into frames, however it was split, joined or mixed with noise.

    A candidate that is still incomplete waits for more bytes; when the line has fallen silent, `give_up_waiting`
    drops it and looks for whole frames behind its first byte, so that a stray 68H never blocks the line.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def pending(self) -> int:
        """Bytes that wait for the rest of their frame."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Frame | Broken]:
        """Everything that `data` completes, in order."""
        self._buffer += data
        found: list[Frame | Broken] = []
        while (piece := self._next()) is not None:
            found.append(piece)
        if len(self._buffer) > _BUFFER_LIMIT:
            self._buffer.clear()
        return found

    def give_up_waiting(self) -> list[Frame | Broken]:
        """The incomplete candidate as `Broken`, and whole frames found behind its first byte."""
        if not self._buffer or self._buffer[0] != START:
            self._buffer.clear()
            return []
        broken = Broken("incomplete", bytes(self._buffer))
        del self._buffer[0]
        return [broken, *self.feed(b"")]

    def clear(self) -> None:
        self._buffer.clear()

    def _next(self) -> Frame | Broken | None:
        skip, piece, taken = cut(self._buffer)
        del self._buffer[: skip + taken]
        return piece


def cut(raw: bytes | bytearray, start: int = 0) -> tuple[int, Frame | Broken | None, int]:
    """The first frame or broken frame in `raw` from `start` on: where it begins, what it is, how many bytes it takes.

    A broken frame takes one byte only, so that a whole frame inside it is still found. None: what begins there
    needs more bytes.
    """
    at = start - 1
    while (at := raw.find(START, at + 1)) >= 0:
        if len(raw) - at < 8 or raw[at + 7] == START:
            break
    if at < 0:
        return len(raw), None, 0
    if len(raw) - at < _HEAD:
        return at, None, 0
    length = raw[at + 9]
    total = _HEAD + length + _TAIL
    if length > MAX_DATA:
        return at, Broken("bad_length", bytes(raw[at : at + _HEAD])), 1
    if len(raw) - at < total:
        return at, None, 0
    body = bytes(raw[at : at + total])
    if body[-2] != sum(body[:-2]) & 0xFF:
        return at, Broken("bad_checksum", body), 1
    if body[-1] != END:
        return at, Broken("bad_end", body), 1
    data = bytes((value - 0x33) & 0xFF for value in body[_HEAD:-_TAIL])
    return at, Frame(body[6:0:-1].hex().upper(), body[8], data), total


def bcd(data: bytes, *, decimals: int, signed: bool) -> float | None:
    """A BCD number with its lowest byte first; None where the meter fills the field with FH (phase not there).

    With `signed`, the highest bit is the sign (DL/T 645-2007, annex A). Raises ValueError where it is no BCD.
    """
    if all(value == 0xFF for value in data):
        return None
    digits = bytearray(data[::-1])
    negative = signed and bool(digits[0] & 0x80)
    if negative:
        digits[0] &= 0x7F
    text = digits.hex()
    if not text.isdigit():
        raise ValueError(f"{bytes(data).hex(' ')} is not a BCD number")
    value = float(int(text) / 10**decimals)
    return -value if negative and value else value


def unix_s(data: bytes) -> float | None:
    """Twelve digits YYMMDDhhmmss, lowest byte first, of a clock in China (UTC+8), in Unix seconds; None where nothing
    was recorded. Raises ValueError where they are no moment."""
    digits = data[::-1].hex()
    if digits in ("0" * 12, "f" * 12):
        return None
    return datetime.strptime(f"20{digits}+0800", "%Y%m%d%H%M%S%z").timestamp()


def to_bcd(value: float, *, size: int, decimals: int, signed: bool) -> bytes:
    """Inverse of `bcd`. Raises ValueError where the number does not fit."""
    scaled = round(abs(value) * 10**decimals)
    limit = (8 if signed else 10) * 10 ** (2 * size - 1)
    if scaled >= limit or (value < 0 and not signed):
        raise ValueError(f"{value} does not fit {size} bytes with {decimals} decimals")
    digits = bytearray.fromhex(f"{scaled:0{2 * size}d}")
    if value < 0:
        digits[0] |= 0x80
    return bytes(digits[::-1])
