"""What doubts a camera by other means than its pictures alone, put together from the configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from sealwatch.base.clock import Clock
from sealwatch.edge.config import CameraSettings
from sealwatch.edge.config_light import PositionSettings
from sealwatch.edge.outputs.part import OutputPart
from sealwatch.edge.video import sun
from sealwatch.edge.video.challenger import Challenger, FileLights, KnownLights, MemoryLights
from sealwatch.edge.video.sun_watch import FileMemory, RamMemory, SunWatch
from sealwatch.edge.video.suspicion import Suspicion


def suspicions(
    camera: CameraSettings,
    position: PositionSettings | None,
    outputs: Mapping[str, OutputPart],
    clock: Clock,
    folder: Path | None,
) -> list[Suspicion]:
    """What `camera` is to be doubted by; what that learns lies in `folder`, or in memory alone."""
    if position is None:
        return []
    memory = RamMemory() if folder is None else FileMemory(folder, camera.camera_id)
    found: list[Suspicion] = [] if camera.repeat else [SunWatch(position, memory, clock)]  # a file knows no sun
    if camera.challenge is not None and camera.challenge.output in outputs:
        lamp = OutputLamp(outputs[camera.challenge.output], f"challenge of {camera.camera_id}")
        found.append(
            Challenger(
                lamp, lights(folder, camera.camera_id), clock, every_s=camera.challenge.every_h * 3600,
                dark=dark_at(position),
            )
        )  # fmt: skip
    return found


def lights(folder: Path | None, camera_id: str) -> KnownLights:
    """Where a camera's lamp is remembered."""
    return MemoryLights() if folder is None else FileLights(folder, camera_id)


def dark_at(position: PositionSettings) -> Callable[[int], bool]:
    """Whether civil twilight is over at a moment (epoch ms)."""

    def dark(at_ms: int) -> bool:
        height_deg = sun.elevation_deg(at_ms, latitude_deg=position.latitude_deg, longitude_deg=position.longitude_deg)
        return height_deg < sun.CIVIL_DEG

    return dark


class OutputLamp:
    """A lamp of the node's own outputs; implements `challenger.ChallengeLamp`.

    It is only ever asked to be on for a time and goes off by itself, so that an alarm that wants it meanwhile keeps it.
    """

    def __init__(self, part: OutputPart, why: str) -> None:
        self._part, self._why = part, why

    def light(self, seconds: float) -> bool:
        return self._part.health().ok and self._part.ask(seconds, origin="challenge", why=self._why).ok

    def lit(self) -> bool:
        return self._part.health().numbers["on"] > 0
