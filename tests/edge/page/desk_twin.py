"""A page that is served in this process: a real server, a real desk and a camera that is played."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import httpx
import numpy as np

from sealwatch.base.clock import ManualClock
from sealwatch.contract.messages import PartHealth
from sealwatch.edge.changes import ChangeLog
from sealwatch.edge.config import CameraSettings, load_node
from sealwatch.edge.page.access import Access, Keyring
from sealwatch.edge.page.desk import Desk
from sealwatch.edge.page.http import PageServer
from sealwatch.edge.page.milestones import MilestoneKeeper
from sealwatch.edge.ports import MemorySink
from sealwatch.edge.video.geometry import Box
from sealwatch.edge.video.watcher import LiveView

PASSWORD = "correct horse 77"
CONFIG = """\
site_id = "610000000001"
node_id = "node-1"
data_dir = "data"

[mqtt]
url = "mqtt://127.0.0.1:1"

[[cameras]]   # above the gate
camera_id = "gate-cam"
source = "gate.mp4"
"""


def picture() -> bytes:
    """Something with structure to draw on."""
    rows = np.linspace(40, 160, 180, dtype=np.uint8)[:, None].repeat(320, axis=1)
    image = cv2.merge([rows, rows, np.full_like(rows, 90)])
    cv2.rectangle(image, (120, 60), (200, 170), (200, 200, 200), -1)
    return bytes(cv2.imencode(".jpg", image)[1])


class PlayedEyes:
    """The camera's twin: always the same picture, and it remembers what it was told to watch."""

    def __init__(self) -> None:
        self.view: LiveView | None = LiveView(
            jpeg=picture(),
            captured_at_ms=1_700_000_000_000,
            boxes=((Box(0.4, 0.3, 0.6, 0.9), "person", 0.81),),
            gate="moved",
            motion_ratio=0.02,
            faults=(),
            active=(),
        )
        self.told: list[CameraSettings] = []

    def live(self) -> LiveView | None:
        return self.view

    def redraw(self, camera: CameraSettings) -> None:
        self.told.append(camera)


@dataclass
class Served:
    """A page at work, with everything that is behind it."""

    url: str
    path: Path
    desk: Desk
    eyes: PlayedEyes
    sink: MemorySink
    clock: ManualClock
    health: list[PartHealth]
    clients: list[httpx.Client] = field(default_factory=list)

    def client(self) -> httpx.Client:
        """A browser's twin with cookies of its own."""
        self.clients.append(httpx.Client(base_url=self.url))
        return self.clients[-1]


@contextmanager
def served(folder: Path, *, config: str = CONFIG, watched: bool = True) -> Iterator[Served]:
    """A page for one camera, with the password of `zhang` set."""
    path = folder / "node.toml"
    path.write_text(config)
    data = folder / "data"
    data.mkdir(exist_ok=True)
    clock, sink, eyes, keyring = ManualClock(), MemorySink(), PlayedEyes(), Keyring(data)
    keyring.set("zhang", PASSWORD)
    health = [PartHealth(part_id="gate-cam", kind="camera", ok=True, reason="pictures_change")]
    desk = Desk(
        load_node(path),
        path,
        eyes={"gate-cam": eyes} if watched else {},
        health=lambda: health,
        alarms_wait=lambda: False,
        milestones=MilestoneKeeper(data, clock),
        changes=ChangeLog(data, sink, clock),
        clock=clock,
    )
    server = PageServer(("127.0.0.1", 0), desk, Access(keyring, clock))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        found = Served(url, path, desk, eyes, sink, clock, health)
        yield found
        for client in found.clients:
            client.close()
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
