"""The HTTP server around the application: stops cleanly although live pages hold their connections open."""

from __future__ import annotations

import socket
import time

import uvicorn

from sealwatch.cloud.web.app import create_app
from sealwatch.cloud.web.events import Hub
from sealwatch.cloud.web.services import WebServices

_GRACE_S = 3


class WebServer(uvicorn.Server):
    """A uvicorn server that ends the live streams before it waits for open connections."""

    def __init__(self, config: uvicorn.Config, hub: Hub) -> None:
        super().__init__(config)
        self._hub = hub
        self.turned_s = time.monotonic()

    async def on_tick(self, counter: int) -> bool:
        """Called by uvicorn ten times a second on its event loop."""
        self.turned_s = time.monotonic()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Called by uvicorn once it was asked to stop."""
        self._hub.close()
        await super().shutdown(sockets)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket whose connections send at once. Raises OSError.

    asyncio asks for that only of sockets that it made itself. Without it the body of a response waits, on a connection
    that is kept open, until the other side has acknowledged the header: 40 ms more for each request through a proxy.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=128)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def build_server(services: WebServices, *, port: int | None = None) -> WebServer:
    """A server ready to `run()` (blocking; in a thread of your own set `should_exit` to stop it).

    `port` overrides the configured one. Raises SettingsError as `create_app` does.
    """
    web = services.settings.web
    hub = Hub(services.changes)
    config = uvicorn.Config(
        create_app(services, hub=hub),
        host=web.host,
        port=web.port if port is None else port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
    )
    return WebServer(config, hub)
