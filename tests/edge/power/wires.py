"""Twins of meters on wires that carry real bytes: a pseudo-terminal, or TCP as a converter has it."""

from __future__ import annotations

import os
import pty
import select
import socket
import threading
import tty
from collections.abc import Callable, Iterable
from typing import Self

Hear = Callable[[bytes], Iterable[tuple[float, bytes]]]


class Served:
    """Answers what comes by `hear` while the context is open; delays are left out, pieces are sent one by one.

    `url` is what a meter's settings take. Requests are taken as they come: a master sends each in one piece.
    """

    def __init__(self, hear: Hear, *, terminal: bool) -> None:
        self._hear, self._stop = hear, threading.Event()
        self._closing: list[Callable[[], None]] = []
        if terminal:
            master, slave = pty.openpty()
            tty.setraw(slave)
            self.url = f"serial:{os.ttyname(slave)}"
            self._closing += [lambda: os.close(master), lambda: os.close(slave)]
            self._thread = threading.Thread(target=self._serve, args=(master,), daemon=True)
        else:
            listener = socket.create_server(("127.0.0.1", 0))
            self.url = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
            self._closing.append(listener.close)
            self._thread = threading.Thread(target=self._accept, args=(listener,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(5)
        for close in self._closing:
            close()

    def _accept(self, listener: socket.socket) -> None:
        while not self._stop.is_set():
            if select.select([listener], [], [], 0.05)[0]:
                connection, _ = listener.accept()
                with connection:
                    self._serve(connection.fileno())

    def _serve(self, handle: int) -> None:
        while not self._stop.is_set():
            if not select.select([handle], [], [], 0.05)[0]:
                continue
            try:
                request = os.read(handle, 4096)
            except OSError:
                return
            if not request:
                return
            for _, piece in self._hear(request):
                os.write(handle, piece)
