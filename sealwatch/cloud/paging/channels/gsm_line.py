"""The serial line to a modem: a command, its lines, and its final result, each within a time."""

from __future__ import annotations

import re
import time
from types import TracebackType
from typing import Final, Self

_FINAL_OK: Final = "OK"
_FINAL_BAD: Final = ("ERROR", "NO CARRIER", "BUSY", "NO ANSWER", "NO DIALTONE")
_CODED: Final = re.compile(r"^\+(CMS|CME) ERROR: ?(\d+)$")
_EVENTS: Final = ("+DTMF:", "+RXDTMF:", "VOICE CALL:", *_FINAL_BAD[1:])
_READ_S: Final = 0.05


class ModemError(Exception):
    """The modem said no, or nothing. `cms` is the number of a +CMS ERROR."""

    def __init__(self, sentence: str, cms: int | None = None) -> None:
        super().__init__(sentence)
        self.cms = cms


class Line:
    """Use in a `with` statement. Every method raises ModemError for a refusal, a silence or a port that is gone."""

    def __init__(self, device: str, baud: int) -> None:
        try:
            import serial
        except ModuleNotFoundError:
            raise ModemError("a modem needs the package pyserial; run: pip install 'sealwatch[gsm]'") from None
        self._failure = (serial.SerialException, OSError)
        self._held = ""
        self._waiting: list[str] = []  # whole lines that nobody has read yet
        self._events: list[str] = []  # what the modem said by itself meanwhile
        try:
            self._port = serial.Serial(device, baud, timeout=_READ_S, write_timeout=2.0, exclusive=True)
        except self._failure as error:
            raise ModemError(f"{device} cannot be opened: {error}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._port.close()

    def ask(self, command: str, *, wait_s: float) -> list[str]:
        """The lines between a command and its OK."""
        self._write(command + "\r")
        return self._until_final(command, wait_s)

    def accepts(self, command: str, *, wait_s: float) -> bool:
        """Whether the modem says OK to a command."""
        try:
            self.ask(command, wait_s=wait_s)
        except ModemError:
            return False
        return True

    def values(self, command: str, prefix: str, *, wait_s: float) -> list[str]:
        """What stands behind `prefix` in the answer's lines."""
        found = [found for found in self.ask(command, wait_s=wait_s) if found.startswith(prefix)]
        return [one.removeprefix(prefix).strip() for one in found]

    def value(self, command: str, prefix: str, *, wait_s: float) -> str:
        """The first of `values`, or ""."""
        return next(iter(self.values(command, prefix, wait_s=wait_s)), "")

    def send(self, command: str, text: str, *, wait_s: float) -> str:
        """Hand a message over after the prompt "> "; the network's number of it."""
        self._write(command + "\r")
        until_s = time.monotonic() + wait_s
        while ">" not in self._held:
            while self._waiting:
                self._final(command, self._waiting.pop(0))
            if time.monotonic() > until_s:
                self._write("\x1b")  # leaves the prompt that may still come
                raise ModemError(f"{command}: the modem gave no prompt")
            self._read()
        self._held = self._held.partition(">")[2].lstrip(" ")
        self._write(text + "\x1a")
        for line in self._until_final(command, wait_s):
            if line.startswith("+CMGS:"):
                return line.removeprefix("+CMGS:").strip()
        raise ModemError(f"{command}: the modem said OK without a receipt of the network")

    def event(self, *, wait_s: float) -> str:
        """The next thing that the modem says by itself, or "" after `wait_s`."""
        until_s = time.monotonic() + wait_s
        while not self._events and time.monotonic() < until_s:
            self._events += [line for line in self._waiting if line.startswith(_EVENTS)]
            self._waiting.clear()
            if not self._events:
                self._read()
        return self._events.pop(0) if self._events else ""

    def _until_final(self, command: str, wait_s: float) -> list[str]:
        until_s = time.monotonic() + wait_s
        lines: list[str] = []
        while True:
            while self._waiting:
                line = self._waiting.pop(0)
                if line == _FINAL_OK:
                    return lines
                if line.startswith(_EVENTS) and not command.startswith("ATD"):
                    self._events.append(line)
                    continue
                self._final(command, line)
                lines.append(line)
            if time.monotonic() > until_s:
                raise ModemError(f"{command.partition('=')[0]}: the modem does not answer")
            self._read()

    def _final(self, command: str, line: str) -> None:
        """Raise for a line that ends a command badly. The command's value, a PIN perhaps, is not shown."""
        name = command.partition("=")[0]
        coded = _CODED.match(line)
        if coded is not None:
            cms = int(coded[2]) if coded[1] == "CMS" else None
            raise ModemError(f"{name}: {line}", cms)
        if line in _FINAL_BAD:
            raise ModemError(f"{name}: {line}")

    def _read(self) -> None:
        try:
            self._held += self._port.read(max(1, self._port.in_waiting)).decode("ascii", "replace")
        except self._failure as error:
            raise ModemError(f"the modem's port failed: {error}") from None
        *whole, self._held = re.split(r"[\r\n]", self._held)
        self._waiting += [line.strip() for line in whole if line.strip()]

    def _write(self, text: str) -> None:
        try:
            self._port.write(text.encode("ascii"))
        except self._failure as error:
            raise ModemError(f"the modem's port failed: {error}") from None
