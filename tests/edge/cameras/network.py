"""The loopback card as a network with simulated cameras on it."""

from __future__ import annotations

import socket

from sealwatch.edge.cameras import discovery
from sealwatch.edge.cameras.discovery import Network
from sealwatch.edge.cameras.reading import Login
from sealwatch.edge.cameras.sheet import Sheet
from sealwatch.simulator.onvif_camera import OnvifCamera

LOGIN = Login("admin", "one two")


def loopback() -> list[Network]:
    return [Network("lo", socket.if_nametoindex("lo"))]


def found(camera: OnvifCamera, wait_s: float = 0.4) -> list[Sheet]:
    """What discovery finds while only `camera` listens at its port."""
    return discovery.find(loopback(), wait_s=wait_s, port=camera.discovery_port, repeats_s=(0.0, 0.1, 0.2))


def sheet(camera: OnvifCamera) -> Sheet:
    return Sheet(host="127.0.0.1", xaddr=camera.xaddr)
