"""Text messages as a modem in PDU mode wants them: SMS-SUBMIT of 3GPP TS 23.040, UCS-2, in linked parts. Pure.

70 characters (140 octets) fit one message, 67 each where several are linked by the 6 octets of the header
``05 00 03 reference total number`` (23.040, 9.2.3.24.1). The reader's telephone puts the parts together.
"""

from __future__ import annotations

import string
from dataclasses import dataclass
from typing import Final

MAX_PARTS: Final = 5
_SINGLE_OCTETS: Final = 140
_PART_OCTETS: Final = 134
_SAFE: Final = frozenset(string.ascii_letters + string.digits + " .,:;/-+?!()'\"#%&*=<>")
"""Characters that are the same in ASCII and in the GSM 7-bit alphabet (23.038, 6.2.1)."""
TEXT_MODE_LONGEST: Final = 160


@dataclass(frozen=True, slots=True)
class Pdu:
    """`octets` is what AT+CMGS is told: the length without the service centre's part."""

    hexadecimal: str
    octets: int


def fits_text_mode(text: str) -> bool:
    """Whether a modem in text mode can carry it unchanged in one message."""
    return len(text) <= TEXT_MODE_LONGEST and _SAFE.issuperset(text)


def submit(number: str, text: str, *, reference: int) -> list[Pdu]:
    """The messages for one text, at most `MAX_PARTS`; a longer text ends with an ellipsis. `reference` 0..255.

    Raises ValueError for a number that is none.
    """
    octets = text.encode("utf-16-be")
    if len(octets) <= _SINGLE_OCTETS:
        return [_pdu(number, octets, header=b"")]
    chunks = _chunks(text)
    if len(chunks) > MAX_PARTS:
        last = chunks[MAX_PARTS - 1]
        while len((last + "…").encode("utf-16-be")) > _PART_OCTETS:
            last = last[:-1]
        chunks = [*chunks[: MAX_PARTS - 1], last + "…"]
    return [
        _pdu(number, chunk.encode("utf-16-be"), header=bytes((5, 0, 3, reference, len(chunks), position)))
        for position, chunk in enumerate(chunks, start=1)
    ]


def _chunks(text: str) -> list[str]:
    """Parts that never divide a character, also not one of two UTF-16 units."""
    chunks, current, used = [], "", 0
    for character in text:
        size = len(character.encode("utf-16-be"))
        if used + size > _PART_OCTETS:
            chunks.append(current)
            current, used = "", 0
        current, used = current + character, used + size
    return [*chunks, current]


def _pdu(number: str, user_data: bytes, *, header: bytes) -> Pdu:
    first = 0x01 | (0x40 if header else 0)  # SMS-SUBMIT without validity period; UDHI where there is a header
    data = header + user_data
    tpdu = bytes((first, 0)) + _address(number) + bytes((0, 0x08, len(data))) + data  # PID 0, DCS 8: UCS-2
    return Pdu("00" + tpdu.hex().upper(), len(tpdu))  # 00: the service centre that the SIM knows


def _address(number: str) -> bytes:
    digits = number.replace(" ", "").replace("-", "")
    kind = 0x91 if digits.startswith("+") else 0x81  # international, or as dialled
    digits = digits.removeprefix("+")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 20):
        raise ValueError(f"{number!r} is not a telephone number")
    padded = digits + ("F" if len(digits) % 2 else "")
    swapped = "".join(padded[i + 1] + padded[i] for i in range(0, len(padded), 2))
    return bytes((len(digits), kind)) + bytes.fromhex(swapped)
