"""Live pages: server-sent events that say "something changed", so that an open page fetches itself anew.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
from collections.abc import AsyncIterator, Callable
from typing import Final

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from sealwatch.cloud.ports import ChangeBus
from sealwatch.cloud.web.problems import Problem

HEARTBEAT_S: Final = 15.0
MOST_CLIENTS: Final = 200
RETRY_MS: Final = 3000
_WATCH_S: Final = 0.5


class Hub:
    """One thread waits on the change bus for all clients; each client is a coroutine that costs nothing while idle."""

    def __init__(
        self, changes: ChangeBus, *, heartbeat_s: float = HEARTBEAT_S, most_clients: int = MOST_CLIENTS
    ) -> None:
        self._changes, self._heartbeat_s, self._most_clients = changes, heartbeat_s, most_clients
        # Versions begin again with each start of the service: the boot tells a client of an earlier one that it has
        # missed something.
        self._boot = secrets.token_hex(4)
        self._clients: set[asyncio.Event] = set()
        self._closed = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def client_count(self) -> int:
        return len(self._clients)

    def stamp(self) -> str:
        """Names the state of things now. Read it before reading the database, so that no change falls in between."""
        return f"{self._boot}-{self._changes.version}"

    def start(self) -> None:
        """Begin to watch; called inside the running event loop."""
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._watch, name="web-changes", daemon=True).start()

    def close(self) -> None:
        """End every stream, so that the server can stop; safe to call from any thread, and twice.

        The watching thread holds nothing and ends by itself half a second later.
        """
        self._closed.set()
        self._wake_all()

    def _watch(self) -> None:
        seen = self._changes.version
        while not self._closed.is_set():
            version = self._changes.wait(seen, _WATCH_S)
            if version != seen:
                seen = version
                self._wake_all()

    def _wake_all(self) -> None:
        if self._loop is None:
            return

        def wake() -> None:
            for client in self._clients:
                client.set()

        with contextlib.suppress(RuntimeError):  # the loop has already ended: nobody is left to wake
            self._loop.call_soon_threadsafe(wake)

    def response(self, seen: str | None) -> StreamingResponse:
        """The stream for one client that knows the state `seen`. Raises Problem (503) when there are too many."""
        if len(self._clients) >= self._most_clients or self._closed.is_set():
            raise Problem(503, "too_many_listeners", {"Retry-After": "30"})
        client = asyncio.Event()
        self._clients.add(client)
        return _Stream(self._events(client, seen), on_end=lambda: self._clients.discard(client))

    async def _events(self, client: asyncio.Event, seen: str | None) -> AsyncIterator[str]:
        yield f"retry: {RETRY_MS}\n: connected\n\n"
        seen = self.stamp() if seen is None else seen
        while not self._closed.is_set():
            client.clear()
            stamp = self.stamp()
            if stamp != seen:
                seen = stamp
                yield f"id: {stamp}\nevent: change\ndata: {stamp}\n\n"
                continue
            try:
                await asyncio.wait_for(client.wait(), self._heartbeat_s)
            except TimeoutError:
                yield ": still here\n\n"


class _Stream(StreamingResponse):
    """Runs `on_end` however the stream ends, also when the client left before the first byte."""

    def __init__(self, content: AsyncIterator[str], on_end: Callable[[], None]) -> None:
        # X-Accel-Buffering asks a proxy of the nginx kind to pass each event on at once.
        super().__init__(content, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._on_end()
