"""What the page can see and do on this node, apart from HTTP: the agent behind a small set of methods."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import msgspec

from sealwatch.base.clock import Clock
from sealwatch.base.errors import UsageError
from sealwatch.base.settings import read_text
from sealwatch.contract.codes import Level
from sealwatch.contract.messages import PartHealth
from sealwatch.edge.changes import Change, ChangeLog
from sealwatch.edge.config import CameraSettings, NodeSettings, parse_node
from sealwatch.edge.page.checklist import CameraFacts, Facts, Line, judge
from sealwatch.edge.page.milestones import MilestoneKeeper, is_night
from sealwatch.edge.rewrite import Drawn, drawn_of, install, revision, with_drawn

if TYPE_CHECKING:
    from sealwatch.edge.video.watcher import LiveView


@runtime_checkable
class Eyes(Protocol):
    """A camera at work: shows what it sees and takes other zones while it runs."""

    def live(self) -> LiveView | None: ...

    def redraw(self, camera: CameraSettings) -> None: ...


class Desk:
    """The node as the page sees it. Callable from any thread."""

    def __init__(
        self,
        settings: NodeSettings,
        path: Path,
        *,
        eyes: Mapping[str, Eyes],
        health: Callable[[], Sequence[PartHealth]],
        alarms_wait: Callable[[], bool],
        milestones: MilestoneKeeper,
        changes: ChangeLog,
        clock: Clock,
    ) -> None:
        """`eyes` by camera id; `alarms_wait` tells whether the service has yet to acknowledge anything."""
        self._settings, self._path, self._eyes = settings, path, eyes
        self._health, self._alarms_wait = health, alarms_wait
        self._milestones, self._changes, self._clock = milestones, changes, clock
        self._writing = threading.Lock()

    @property
    def site_id(self) -> str:
        return self._settings.site_id

    @property
    def node_id(self) -> str:
        return self._settings.node_id

    def cameras(self) -> list[str]:
        """Ids of the cameras that this agent watches."""
        return [camera.camera_id for camera in self._settings.cameras]

    def live(self, camera_id: str) -> LiveView | None:
        """The next picture, or None where none comes. Raises UsageError for a camera that is not watched."""
        eyes = self._eyes.get(camera_id)
        if eyes is None:
            raise UsageError(f"no camera '{camera_id}' is watched")
        return eyes.live()

    def drawn(self, camera_id: str) -> tuple[str, Drawn]:
        """The file's revision and what is drawn on a camera. Raises SettingsError, UsageError."""
        written = read_text(self._path)
        return revision(written), drawn_of(self._camera(parse_node(written, name=str(self._path)), camera_id))

    def redraw(self, camera_id: str, drawn: Drawn, *, expected: str, who: str, where: str) -> bool:
        """Write other zones, lines and regions into the configuration, record it, and watch by them.

        Whether the running agent watches by them already; else it must be restarted. `expected` is the revision that
        was looked at. Raises SettingsError, UsageError, ChangedMeanwhileError, CommandFailed; nothing is changed then.
        """
        with self._writing:
            before = read_text(self._path)
            was = drawn_of(self._camera(parse_node(before, name=str(self._path)), camera_id))
            after = with_drawn(before, camera_id, drawn)
            node = install(self._path, after, expected=expected)
            camera = self._camera(node, camera_id)
            self._changes.record(
                "zones_changed",
                level=Level.YELLOW,
                who=who,
                where=where,
                subject=camera_id,
                before=_summary(was),
                after=_summary(drawn_of(camera)),
            )
            self._changes.accept(after)
            return self._apply(camera)

    def locked(self, name: str, where: str) -> None:
        """Somebody has tried too many wrong passwords."""
        self._changes.record("login_locked", level=Level.YELLOW, who=name[:32], where=where, subject="page")

    def changes(self, count: int) -> list[Change]:
        """The newest changes, newest first."""
        return self._changes.latest(count)

    def checklist(self) -> list[Line]:
        """How the installation stands."""
        cameras = [
            CameraFacts(
                camera_id=c.camera_id,
                zones=len(c.zones),
                lines=len(c.lines),
                equipment=len(c.equipment),
                challenged=c.challenge is not None,
            )
            for c in self._settings.cameras
        ]
        return judge(
            Facts(
                cameras=cameras,
                meters=[meter.meter_id for meter in self._settings.meters],
                health=self._health(),
                records=self._settings.recorder is not None,
                milestones=self._milestones.now,
            )
        )

    def look_around(self) -> None:
        """Note what has been reached: called every few seconds."""
        if not self._alarms_wait():
            self._milestones.delivered()
        health = self._health()
        for part in health:
            if part.kind == "output" and part.ok and part.numbers.get("activations", 0.0) > 0:
                self._milestones.sounded(part.part_id)
        if not is_night(self._clock.wall_ms()):
            return
        well = {part.part_id for part in health if part.kind == "camera" and part.ok}
        for camera_id, eyes in self._eyes.items():
            if camera_id in self._milestones.now.night_ms or camera_id not in well:
                continue
            view = eyes.live()
            if view is not None and not view.faults:
                self._milestones.night(camera_id, view.captured_at_ms, view.jpeg)

    def night_picture(self, camera_id: str) -> bytes | None:
        """The picture that a camera took at night, or None."""
        if camera_id not in self._milestones.now.night_ms:
            return None
        try:
            return self._milestones.night_file(camera_id).read_bytes()
        except OSError:
            return None

    def _apply(self, camera: CameraSettings) -> bool:
        running = {c.camera_id: c for c in self._settings.cameras}
        eyes = self._eyes.get(camera.camera_id)
        if eyes is None or camera.camera_id not in running:
            return False
        # Only what is drawn is taken over: anything else in the file may need a new connection, so a restart.
        was, drawn = running[camera.camera_id], drawn_of(camera)
        now = msgspec.structs.replace(was, zones=drawn.zones, lines=drawn.lines, equipment=drawn.equipment)
        eyes.redraw(now)
        cameras = [now if c.camera_id == camera.camera_id else c for c in self._settings.cameras]
        self._settings = msgspec.structs.replace(self._settings, cameras=cameras)
        return True

    @staticmethod
    def _camera(node: NodeSettings, camera_id: str) -> CameraSettings:
        for camera in node.cameras:
            if camera.camera_id == camera_id:
                return camera
        raise UsageError(f"no camera '{camera_id}' in the configuration")


def _summary(drawn: Drawn) -> str:
    """The names of what is drawn, with the part of the picture, so that a zone that shrank shows."""
    parts = [f"{zone.name} {_area(zone.polygon):.0%}" for zone in drawn.zones]
    parts += [f"{line.name} →" for line in drawn.lines]
    parts += [f"{region.name} {_area(region.polygon):.0%}" for region in drawn.equipment]
    return ", ".join(parts)[:160]


def _area(polygon: Sequence[tuple[float, float]]) -> float:
    """Part of the picture inside a polygon (shoelace formula), 0 to 1."""
    pairs = zip(polygon, [*polygon[1:], polygon[0]], strict=True)
    return abs(sum(ax * by - bx * ay for (ax, ay), (bx, by) in pairs)) / 2
