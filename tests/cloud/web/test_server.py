"""The pages over a real socket: live streams end when the service stops, whoever is still listening."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import uvicorn

from sealwatch.base.broker import free_port
from sealwatch.cloud.web.server import WebServer, build_server, listen
from tests.cloud.web.scene import RED, Scene

PATIENCE_S = 20.0


@contextmanager
def serving(scene: Scene, *, port: int = 0, **web: Any) -> Iterator[tuple[WebServer, str]]:
    """The service's web server on a free port, in a thread; stopped and joined at the end."""
    port = port or free_port()
    server = build_server(scene.services(**web), port=port)
    listener = listen("127.0.0.1", port)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield server, f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
        listener.close()
    assert not thread.is_alive(), "the server did not stop"


def test_a_change_arrives_over_the_wire_and_the_stream_is_not_held_back_by_compression(scene: Scene) -> None:
    scene.add_red()
    with serving(scene) as (_, url), httpx.Client(base_url=url, timeout=PATIENCE_S) as client:
        page = client.get(f"/incidents/{RED}", headers={"Accept": "text/html"}).text
        stamp = page.split('data-stamp="')[1].split('"')[0]
        with client.stream("GET", f"/events?seen={stamp}", headers={"Accept-Encoding": "gzip"}) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            assert "content-encoding" not in response.headers
            lines = response.iter_lines()
            assert next(lines) == "retry: 3000"
            scene.changes.announce()
            assert "event: change" in [next(lines) for _ in range(4)]


def test_the_service_stops_although_a_page_is_listening(scene: Scene) -> None:
    with (
        serving(scene) as (server, url),
        httpx.Client(base_url=url, timeout=PATIENCE_S) as client,
        client.stream("GET", "/events") as response,
    ):
        lines = response.iter_lines()
        assert next(lines) == "retry: 3000"
        server.should_exit = True
        assert not [line for line in lines if line.startswith("event")]


def test_a_connection_that_is_kept_sends_each_response_at_once() -> None:
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()) as _:
        accepted, _address = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_the_server_keeps_its_name_to_itself(scene: Scene) -> None:
    with serving(scene) as (_, url):
        assert "server" not in httpx.get(f"{url}/healthz").headers


def test_a_taken_port_ends_the_server_with_a_plain_fault(scene: Scene) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = build_server(scene.services(), port=taken.getsockname()[1])
        assert isinstance(server, uvicorn.Server)
        with pytest.raises(SystemExit):
            server.run()
