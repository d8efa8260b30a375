"""The embedded MQTT broker: rumqttd out of the `iotcore` wheel, for the demo, tests and a first look.

It speaks MQTT 5 on loopback without TLS and keeps nothing on disk; production uses Mosquitto or EMQX (see `deploy/`).
It may deliver a QoS 1 message twice, as any broker may: ingestion is idempotent.
"""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from sealwatch.contract.messages import MAX_PAYLOAD_BYTES

_CONFIG = """\
id = 0
[router]
id = 0
max_connections = 1000
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
[v5.1]
name = "v5-1"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = {max_payload}
max_inflight_count = 500
dynamic_filters = true
"""


def free_port() -> int:
    """A TCP port on loopback that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class EmbeddedBroker:
    """The broker as a child process: it ends when `stop` is called or this process goes away."""

    def __init__(self, port: int | None = None) -> None:
        from iotcore import Broker

        self.port = port or free_port()
        self._folder = tempfile.TemporaryDirectory(prefix="sealwatch-broker-")
        config = Path(self._folder.name) / "rumqttd.toml"
        config.write_text(_CONFIG.format(port=self.port, max_payload=4 * MAX_PAYLOAD_BYTES), encoding="utf-8")
        self._broker = Broker(config_path=str(config))

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Start listening. Raises OSError where the port is taken."""
        self._broker.start()
        return self

    def stop(self) -> None:
        """End the broker and release its port."""
        self._broker.stop()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()
