"""``sealwatch simulate meter``: a meter on TCP (like a serial server) or on a pseudo-terminal (like a USB adapter)."""

from __future__ import annotations

import argparse
import os
import pty
import select
import socket
import threading
import time
import tty
from collections.abc import Callable
from types import TracebackType
from typing import Self

from sealwatch.base.clock import Clock, SystemClock
from sealwatch.base.errors import CommandFailed, UsageError
from sealwatch.simulator.loads.scenarios import LOADS, named_load
from sealwatch.simulator.meter_twin import Load, MeterTwin, Misbehaviour

DEFAULT_ADDRESS = "000000000001"
_WAIT_S = 0.1


class SimulatedMeter:
    """A meter that answers on a real wire while the context is open.

    `load` tells what it measures, in seconds of `clock` since the start. `url` is what `MeterSettings.url` takes.
    `twin.misbehaviours` may be changed at any time.
    """

    def __init__(
        self,
        load: Load,
        *,
        clock: Clock | None = None,
        address: str = DEFAULT_ADDRESS,
        host: str = "127.0.0.1",
        port: int = 0,
        terminal: bool = False,
    ) -> None:
        self._clock = clock or SystemClock()
        self._start_s = self._clock.monotonic_s()
        self._where, self._terminal = (host, port), terminal
        self.address = address.zfill(12)
        self.url = ""
        self.twin = MeterTwin(load, address=address, seconds=self._seconds)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._closers: list[Callable[[], None]] = []

    def _seconds(self) -> float:
        return self._clock.monotonic_s() - self._start_s

    def start(self) -> None:
        """Open the wire. Raises UsageError where the port is taken."""
        if self._terminal:
            master, slave = pty.openpty()
            tty.setraw(slave)
            self.url = f"serial:{os.ttyname(slave)}"
            self._closers += [lambda: os.close(master), lambda: os.close(slave)]
            self._spawn(self._serve_terminal, master)
            return
        try:
            listener = socket.create_server(self._where)
        except OSError as error:
            raise UsageError(
                f"cannot listen on {self._where[0]}:{self._where[1]} ({error.strerror}); choose another --port"
            ) from None
        host, port = listener.getsockname()[:2]
        self.url = f"tcp://{host}:{port}"
        self._closers.append(listener.close)
        self._spawn(self._accept, listener)

    @property
    def serving(self) -> bool:
        """Whether the wire is still there."""
        return bool(self._threads) and self._threads[0].is_alive()

    def stop(self) -> None:
        """Close the wire and wait for the threads."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=5)
        for close in self._closers:
            close()
        self._closers.clear()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _spawn(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, name="simulated-meter", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while not self._stop.is_set():
            ready, _, _ = select.select([listener], [], [], _WAIT_S)
            if ready:
                connection, _ = listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._spawn(self._serve_connection, connection)

    def _serve_connection(self, connection: socket.socket) -> None:
        with connection:
            try:
                self._serve(connection.fileno(), lambda: connection.recv(4096), connection.sendall)
            except OSError:
                return  # the master hung up

    def _serve_terminal(self, master: int) -> None:
        def write(data: bytes) -> None:
            os.write(master, data)

        self._serve(master, lambda: os.read(master, 4096), write)

    def _serve(self, handle: int, read: Callable[[], bytes], write: Callable[[bytes], object]) -> None:
        """Answer in the order of the requests, as a meter does."""
        coming: list[tuple[float, bytes]] = []
        while not self._stop.is_set():
            wait_s = min([_WAIT_S, *(max(0.0, at_s - time.monotonic()) for at_s, _ in coming[:1])])
            ready, _, _ = select.select([handle], [], [], wait_s)
            if ready:
                data = read()
                if not data:
                    return
                with self._lock:
                    now_s = time.monotonic()
                    coming += [(now_s + delay_s, piece) for delay_s, piece in self.twin.hear(data)]
            while coming and coming[0][0] <= time.monotonic():
                write(coming.pop(0)[1])


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of ``sealwatch simulate meter``."""
    parser.add_argument("--load", default="demo", choices=sorted(LOADS), help="what it measures (default: demo)")
    parser.add_argument("--seed", type=int, default=1, help="another seed, another day (default: 1)")
    parser.add_argument("--address", default=DEFAULT_ADDRESS, help="12 digits, as printed on a meter")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=6645, help="TCP port; 0 takes a free one (default: 6645)")
    parser.add_argument("--terminal", action="store_true", help="a pseudo-terminal instead of TCP")
    parser.add_argument(
        "--misbehave", action="append", default=[], choices=[m.value for m in Misbehaviour], help="may be repeated"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serve until interrupted."""
    if not (arguments.address.isdigit() and len(arguments.address) <= 12):
        raise UsageError(f"--address {arguments.address}: give up to 12 digits")
    meter = SimulatedMeter(
        named_load(arguments.load, arguments.seed),
        address=arguments.address,
        host=arguments.host,
        port=arguments.port,
        terminal=arguments.terminal,
    )
    meter.twin.misbehaviours |= {Misbehaviour(name) for name in arguments.misbehave}
    with meter:
        print(f"meter {meter.address} on {meter.url}, load '{arguments.load}'; Ctrl-C stops it", flush=True)
        while True:
            time.sleep(1)
            if not meter.serving:
                raise CommandFailed("the simulated meter stopped; its wire was taken away")
