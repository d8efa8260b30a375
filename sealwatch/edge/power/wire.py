"""The wire under a meter protocol: bytes out, bytes in. TCP converters, serial ports and a null modem.

WireError   the wire can't be opened or broke; the next request opens it again
"""

from __future__ import annotations

import select
import socket
import termios
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from sealwatch.base.clock import ManualClock

CONNECT_TIMEOUT_S = 2.0


class WireError(Exception):
    """One sentence: which wire, what happened, what to do."""


class Wire(Protocol):
    """An open line to a bus."""

    def write(self, data: bytes) -> None:
        """Send all of `data`. Raises WireError."""
        ...

    def read(self, timeout_s: float) -> bytes:
        """What has come, waiting at most `timeout_s` for the first byte; empty when nothing came. Raises WireError."""
        ...

    def close(self) -> None: ...


Opener = Callable[[], Wire]


class TcpWire:
    """A converter that carries the bytes of an RS-485 line over TCP."""

    def __init__(self, host: str, port: int) -> None:
        self._name = f"tcp://{host}:{port}"
        try:
            self._socket = socket.create_connection((host, port), CONNECT_TIMEOUT_S)
        except OSError as error:
            raise WireError(
                f"{self._name} cannot be reached ({error}); check power, network and port of the converter"
            ) from None
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.settimeout(CONNECT_TIMEOUT_S)

    def write(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise WireError(f"{self._name} broke while sending ({error})") from None

    def read(self, timeout_s: float) -> bytes:
        try:
            ready, _, _ = select.select([self._socket], [], [], max(0.0, timeout_s))
            if not ready:
                return b""
            data = self._socket.recv(4096)
        except (OSError, ValueError) as error:
            raise WireError(f"{self._name} broke while reading ({error})") from None
        if not data:
            raise WireError(f"{self._name} was closed by the converter; it may serve another master")
        return data

    def close(self) -> None:
        self._socket.close()


class SerialWire:
    """A serial port, through pyserial."""

    def __init__(self, path: str, *, baud: int, parity: str, stop_bits: int) -> None:
        import serial  # only where a serial port is used

        self._name = f"serial:{path}"
        if Path(path).resolve().is_relative_to("/dev/pts"):
            parity = "N"  # a pseudo-terminal has no parity and refuses the setting
        self._error: type[Exception] = serial.SerialException
        try:
            self._port: Any = serial.Serial(
                path, baudrate=baud, parity=parity, stopbits=stop_bits, bytesize=8, timeout=0, write_timeout=2
            )
        except (serial.SerialException, OSError, ValueError, termios.error) as error:
            raise WireError(
                f"{self._name} cannot be opened ({error}); check the path and the right to use it"
            ) from None

    def write(self, data: bytes) -> None:
        try:
            self._port.write(data)
        except (self._error, OSError) as error:
            raise WireError(f"{self._name} broke while sending ({error}); was the adapter unplugged?") from None

    def read(self, timeout_s: float) -> bytes:
        try:
            self._port.timeout = max(0.0, timeout_s)
            first = self._port.read(1)
            self._port.timeout = 0
            return bytes(first + self._port.read(4096)) if first else b""
        except (self._error, OSError, TypeError) as error:
            # pyserial raises TypeError when another thread closes the port under a read.
            raise WireError(f"{self._name} broke while reading ({error}); was the adapter unplugged?") from None

    def close(self) -> None:
        self._port.close()


class NullModem:
    """The in-process twin: `respond(request)` gives the answer as (delay in seconds, bytes) pieces.

    Waiting moves the given clock on, so that time-outs are tested without waiting.
    """

    def __init__(self, respond: Callable[[bytes], Iterable[tuple[float, bytes]]], clock: ManualClock) -> None:
        self._respond, self._clock = respond, clock
        self._coming: deque[tuple[float, bytes]] = deque()
        self.written: list[bytes] = []
        self.closed = 0

    def write(self, data: bytes) -> None:
        self.written.append(data)
        now_s = self._clock.monotonic_s()
        self._coming.extend((now_s + delay_s, piece) for delay_s, piece in self._respond(data))
        self._coming = deque(sorted(self._coming, key=lambda item: item[0]))

    def read(self, timeout_s: float) -> bytes:
        until_s = self._clock.monotonic_s() + max(0.0, timeout_s)
        if self._coming and self._coming[0][0] <= until_s:
            at_s, piece = self._coming.popleft()
            self._clock.advance(max(0.0, at_s - self._clock.monotonic_s()))
            return piece
        self._clock.advance(max(0.0, timeout_s))
        return b""

    def close(self) -> None:
        self.closed += 1


def opener(url: str, *, baud: int, parity: str = "E", stop_bits: int = 1) -> Opener:
    """How to open ``tcp://host:port`` or ``serial:/dev/...``. Raises ValueError for any other address."""
    if url.startswith("serial:"):
        path = url.removeprefix("serial:")
        return lambda: SerialWire(path, baud=baud, parity=parity, stop_bits=stop_bits)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:  # an address in broken brackets, a port beyond 65535
        host = port = None
    if host and port and parts.scheme == "tcp":
        return lambda: TcpWire(host, port)
    raise ValueError(f"'{url}' is no wire; use tcp://host:port or serial:/dev/...")
