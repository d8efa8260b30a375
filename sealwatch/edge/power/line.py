"""One RS-485 line with DL/T 645 meters on it: one request at a time, and never an answer to another one.

DL/T 645 numbers neither requests nor answers, so an answer that comes late looks like the answer to the next request
for the same data. The line therefore remembers what it asked in vain. Before it asks the same again it asks for
something else: meters answer in order, so once that answer is in, nothing older can follow. What was asked in vain
and did not come within `FORGET_S` is given up.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sealwatch.base.clock import Clock, SystemClock
from sealwatch.edge.ports import MeterError
from sealwatch.edge.power.dlt645 import (
    ANSWER,
    FUNCTION,
    READ,
    READ_ADDRESS,
    WILDCARD,
    Assembler,
    Broken,
    Frame,
    encode,
    read_request,
)
from sealwatch.edge.power.wire import Opener, Wire, WireError

ANSWER_TIMEOUT_S = 1.5
FORGET_S = 10.0
_IDLE_S = 0.25
_FLOOD_BYTES = 8192
_DETAILS = {
    "silent": "nothing came back; check address, speed, wires A/B and the meter's power",
    "echo": "only our own request came back; switch off the echo of the adapter or check the wires",
    "foreign": "only frames of other meters or masters came; check the address",
    "late": "only answers to earlier requests came; the meter or the converter is slower than the time-out",
    "bad_checksum": "the answer was damaged; check speed, parity, shielding and termination of the line",
    "garbage": "the bytes are no DL/T 645 frame; check protocol, speed and parity",
}


@dataclass(slots=True)
class LineStatistics:
    """What became of the requests to one meter since the start, and what else was heard meanwhile."""

    asked: int = 0
    answered: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    heard: Counter[str] = field(default_factory=Counter)


class Line:
    """Owner of one wire. Safe to share between threads; opens the wire when needed and again after it broke."""

    def __init__(
        self, open_wire: Opener, *, clock: Clock | None = None, answer_timeout_s: float = ANSWER_TIMEOUT_S
    ) -> None:
        self._open, self._clock, self._timeout_s = open_wire, clock or SystemClock(), answer_timeout_s
        self._wire: Wire | None = None
        self._assembler = Assembler()
        self._lock = threading.Lock()
        self._unanswered: dict[tuple[str, str], float] = {}
        self._known: set[tuple[str, str]] = set()
        self._statistics: dict[str, LineStatistics] = {}

    def statistics(self, address: str) -> LineStatistics:
        """Counters of one meter; they go on counting."""
        return self._statistics.setdefault(address.zfill(12), LineStatistics())

    def ask(self, address: str, identifier: str, *, others: Sequence[str] = ()) -> bytes:
        """The data behind an identifier. `others` are identifiers that the meter knows too, to get back in step.

        Returns within the answer time-out (twice that after a failure). Raises MeterError: unreachable | silent |
        echo | foreign | late | bad_checksum | garbage | exception.
        """
        address = address.zfill(12)
        with self._lock:
            try:
                return self._ask(address, identifier, others)
            except WireError as error:
                self.close_wire()
                raise self._failed(address, "unreachable", str(error)) from None

    def identify(self) -> str:
        """The address of the only meter on the line (or of the one that is louder). Raises MeterError."""
        with self._lock:
            try:
                if self._wire is None:
                    self._wire = self._open()
                self._drain(self._wire)
                self._wire.write(encode(Frame(WILDCARD, READ_ADDRESS, b"")))
                heard: Counter[str] = Counter()
                for piece in self._pieces(self._wire, heard):
                    if isinstance(piece, Broken):
                        heard["bad_checksum"] += piece.reason != "incomplete"
                    elif piece.control == READ_ADDRESS | ANSWER and len(piece.data) == 6:
                        return piece.data[::-1].hex().upper()
                    else:
                        heard["foreign" if piece.is_answer else "echo"] += 1
            except WireError as error:
                self.close_wire()
                raise MeterError("unreachable", str(error)) from None
            reason = _verdict(heard)
            raise MeterError(reason, _DETAILS[reason])

    def close(self) -> None:
        with self._lock:
            self.close_wire()

    def close_wire(self) -> None:
        """Let go of the wire; the next request opens it again."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def _ask(self, address: str, identifier: str, others: Sequence[str]) -> bytes:
        now_s = self._clock.monotonic_s()
        self._unanswered = {key: at_s for key, at_s in self._unanswered.items() if now_s - at_s < FORGET_S}
        if (address, identifier) in self._unanswered:
            free = [other for other in others if (address, other) not in self._unanswered]
            # What this meter has answered before comes first: a refusal names nothing and proves nothing.
            marker = min(free, key=lambda other: (address, other) not in self._known, default=None)
            if marker is None:
                raise self._failed(address, "silent", "still waiting for the answers to earlier requests")
            try:
                self._exchange(address, marker)
            except MeterError as error:
                if error.reason != "exception":
                    raise
                # Refused, but it was the answer to the marker: nothing older can follow.
        return self._exchange(address, identifier)

    def _exchange(self, address: str, identifier: str) -> bytes:
        if self._wire is None:
            self._wire = self._open()
        wire = self._wire
        self._drain(wire)
        request = read_request(address, identifier)
        self.statistics(address).asked += 1
        wire.write(encode(request))
        heard: Counter[str] = Counter()
        try:
            for piece in self._pieces(wire, heard):
                answer = self._judge(piece, request, heard)
                if answer is not None:
                    return self._accept(address, answer)
        except WireError:
            self._unanswered[address, identifier] = self._clock.monotonic_s()
            raise
        finally:
            self.statistics(address).heard.update({k: n for k, n in heard.items() if k != "bytes"})
        self._unanswered[address, identifier] = self._clock.monotonic_s()
        reason = _verdict(heard)
        raise self._failed(address, reason, _DETAILS[reason])

    def _pieces(self, wire: Wire, heard: Counter[str]) -> Iterator[Frame | Broken]:
        """What comes until the time-out; a flood ends it earlier. Bytes are counted in `heard`."""
        deadline_s = self._clock.monotonic_s() + self._timeout_s
        while (left_s := deadline_s - self._clock.monotonic_s()) > 0 and heard["bytes"] < _FLOOD_BYTES:
            data = wire.read(min(left_s, _IDLE_S))
            heard["bytes"] += len(data)
            yield from self._assembler.feed(data) if data else self._assembler.give_up_waiting()

    def _drain(self, wire: Wire) -> None:
        """Forget what came between two requests: nobody asked for it."""
        self._assembler.clear()
        taken = 0
        while taken < _FLOOD_BYTES and (data := wire.read(0.0)):
            taken += len(data)

    def _judge(self, piece: Frame | Broken, request: Frame, heard: Counter[str]) -> Frame | None:
        """The piece if it answers `request`; otherwise None, and what it was is counted in `heard`."""
        if isinstance(piece, Broken):
            heard["broken" if piece.reason == "incomplete" else "bad_checksum"] += 1
        elif piece == request:
            heard["echo"] += 1
        elif piece.address != request.address or not piece.is_answer or piece.control & FUNCTION != READ & FUNCTION:
            heard["foreign"] += 1
        elif piece.refused:
            # A refusal names no identifier: it may be the late answer to an earlier request, unless the meter is known
            # to answer all of those with data.
            if all(key[0] != request.address or key in self._known for key in self._unanswered):
                return piece
            heard["late"] += 1
        elif piece.identifier == request.identifier:
            return piece
        else:
            heard["late" if (piece.address, piece.identifier) in self._unanswered else "foreign"] += 1
        return None

    def _accept(self, address: str, answer: Frame) -> bytes:
        self._unanswered = {key: at_s for key, at_s in self._unanswered.items() if key[0] != address}
        if answer.refused:
            names = ", ".join(answer.errors) or "no error byte"
            raise self._failed(address, "exception", f"the meter refused the request ({names})")
        self.statistics(address).answered += 1
        self._known.add((address, answer.identifier or ""))
        return answer.data[4:]

    def _failed(self, address: str, reason: str, detail: str) -> MeterError:
        self.statistics(address).failed[reason] += 1
        return MeterError(reason, f"meter {address}: {detail}")


def _verdict(heard: Counter[str]) -> str:
    """The reason that helps most, from what was heard instead of the answer."""
    for reason in ("bad_checksum", "late", "foreign", "echo"):
        if heard[reason]:
            return reason
    return "garbage" if heard["bytes"] else "silent"
