"""A Modbus module of our own making on a socket or a pseudo-terminal: contacts, measured inputs, relays."""

from __future__ import annotations

import os
import socket
import struct
import threading
import tty
from types import TracebackType
from typing import Self

from sealwatch.edge.power.decode.modbus import crc16


class Module:
    """Answers functions 1, 2, 4 and 5 (Modbus application protocol V1.1b3) and any other with exception 1."""

    def __init__(self, device: int = 1) -> None:
        self.device = device
        self.contacts = [False] * 8
        self.coils = [False] * 8
        self.measured = [0] * 8
        self.silent = False
        self.asked = 0

    def answer(self, device: int, request: bytes) -> bytes | None:
        """The answer's function and data, or None where it does not answer."""
        self.asked += 1
        if self.silent or device != self.device:
            return None
        function, address, number = struct.unpack(">BHH", request[:5])
        if function == 5 and address < 8:
            self.coils[address] = number == 0xFF00
            return request[:5]
        if function in (1, 2) and address + number <= 8:
            bits = (self.coils if function == 1 else self.contacts)[address : address + number]
            return bytes([function, 1, sum(bit << k for k, bit in enumerate(bits))])
        if function == 4 and address + number <= 8:
            return bytes([4, 2 * number]) + struct.pack(f">{number}H", *self.measured[address : address + number])
        return bytes([function | 0x80, 1 if function not in (1, 2, 4, 5) else 2])


class ModuleServer:
    """Modules behind one TCP port; `rtu`: as a converter carries them, else Modbus TCP."""

    def __init__(self, *modules: Module, rtu: bool = False) -> None:
        self.modules, self._rtu = modules, rtu
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.connections: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)

    @property
    def url(self) -> str:
        return f"{'tcp' if self._rtu else 'modbus-tcp'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        for connection in self.connections:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            while data := connection.recv(260):
                answer = self._rtu_answer(data) if self._rtu else self._tcp_answer(data)
                if answer:
                    connection.sendall(answer)
        except OSError:
            return

    def _tcp_answer(self, data: bytes) -> bytes:
        answer = self._ask(data[6], data[7:])
        return data[:4] + struct.pack(">HB", len(answer) + 1, data[6]) + answer if answer else b""

    def _rtu_answer(self, data: bytes) -> bytes:
        return rtu_answer(self.modules, data)

    def _ask(self, device: int, request: bytes) -> bytes:
        return next((a for m in self.modules if (a := m.answer(device, request))), b"")


def rtu_answer(modules: tuple[Module, ...], data: bytes) -> bytes:
    """The RTU frame that answers `data`, or nothing."""
    assert crc16(data[:-2]) == int.from_bytes(data[-2:], "little")
    answer = next((a for m in modules if (a := m.answer(data[0], data[1:-2]))), b"")
    if not answer:
        return b""
    head = data[:1] + answer
    return head + crc16(head).to_bytes(2, "little")


class SerialModules:
    """Modules on a pseudo-terminal."""

    def __init__(self, *modules: Module) -> None:
        self._modules = modules
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.url = f"serial:{os.ttyname(self._slave)}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        heard = b""
        while True:
            try:
                heard += os.read(self._master, 256)
            except OSError:
                return
            while len(heard) >= 8:
                answer = rtu_answer(self._modules, heard[:8])
                heard = heard[8:]
                if heard[:1] == b"\xff":
                    return
                os.write(self._master, answer)
            if heard == b"\xff":
                return

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        os.write(self._slave, b"\xff")
        self._thread.join(5)
        os.close(self._slave)
        os.close(self._master)
