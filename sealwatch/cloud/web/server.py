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
