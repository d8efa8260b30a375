"""The watchers that a configuration asks for. Their libraries are loaded here and only where they are wanted."""

from __future__ import annotations

import functools
import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sealwatch.base.clock import Clock
from sealwatch.edge.activity import Activity, NotingSink, WorkLog
from sealwatch.edge.config import NodeSettings
from sealwatch.edge.declared import Declared, FixedDeclared
from sealwatch.edge.people import PeopleSink
from sealwatch.edge.ports import Image, Part, Sink

if TYPE_CHECKING:
    from sealwatch.edge.inputs.build import Wires
    from sealwatch.edge.outputs.part import OutputPart
    from sealwatch.edge.recorder.media import PacketTap

logger = logging.getLogger(__name__)


class SharedDetector:
    """One detector for all cameras of a node.

    The model is in memory once, and at most half of the cores detect at a time: each detection under way holds its own
    intermediate results, and a node has cameras to decode as well. It is loaded when first wanted, so that a missing or
    damaged model stops what needs it and nothing else; the supervisor tries again.
    """

    def __init__(self, load: Callable[[], Any], *, at_once: int | None = None) -> None:
        self._load = load
        self._detector: Any = None
        self._loading = threading.Lock()
        self._places = threading.BoundedSemaphore(at_once or max(1, (os.cpu_count() or 1) // 2))

    def prepare(self) -> None:
        """Load the model now. Raises what loading raises (ModelError)."""
        with self._loading:
            if self._detector is None:
                self._detector = self._load()

    def detect(self, image_bgr: Image, threshold: float = 0.35) -> Sequence[Any]:
        """What is in the picture; waits for its turn. Raises ModelError."""
        self.prepare()
        with self._places:
            found: Sequence[Any] = self._detector.detect(image_bgr, threshold)
        return found


def watchers(
    node: NodeSettings,
    sink: Sink,
    clock: Clock,
    power_clock: Clock,
    taps: Mapping[str, PacketTap] | None = None,
    raw_folder: Path | None = None,
    view_folder: Path | None = None,
    wires: Wires | None = None,
    declared: Declared | None = None,
    model: Path | None = None,
    outputs: Mapping[str, OutputPart] | None = None,
) -> list[Part]:
    """A part for each camera, meter and wire with inputs; `taps` get the packets of the cameras they are named after.

    Below `raw_folder` the meters' raw readings of the last seven days are kept, below `view_folder` the cameras'
    reference pictures, which camera faults are judged by. `wires` are shared with the outputs, where there are some.
    The cameras that name a lamp among `outputs` are challenged by it.
    `model` is the manifest of the person model, without it the one of the model store.
    Without `declared` the configured status holds for good. What the cameras see of work is told to the meter's rules.

    Raises UsageError for a profile or wire that is not known.
    """
    declared = declared or FixedDeclared(node.declared_status)
    work = WorkLog()
    eyes = NotingSink(PeopleSink(sink, declared.current), work)
    return [
        *_cameras(node, eyes, clock, taps or {}, view_folder, model, outputs or {}),
        *_meters(node, sink, power_clock, raw_folder, declared, work if node.cameras else None),
        *_inputs(node, sink, clock, wires),
    ]


def _cameras(
    node: NodeSettings,
    sink: Sink,
    clock: Clock,
    taps: Mapping[str, PacketTap],
    view_folder: Path | None,
    model: Path | None,
    outputs: Mapping[str, OutputPart],
) -> list[Part]:
    if not node.cameras:
        return []
    from sealwatch.edge.video.change_keep import FileSurroundings
    from sealwatch.edge.video.doubting import suspicions
    from sealwatch.edge.video.source import open_source
    from sealwatch.edge.video.views import FileViews
    from sealwatch.edge.video.watcher import CameraWatcher
    from sealwatch.models.errors import ModelError

    detector = SharedDetector(functools.partial(_load_detector, model))
    try:
        detector.prepare()
    except ModelError as error:
        logger.warning("cameras cannot be watched yet: %s", error)
    return [
        CameraWatcher(
            camera,
            detector,
            sink,
            clock,
            connect=functools.partial(open_source, tap=taps.get(camera.camera_id)),
            views=FileViews(view_folder, camera.camera_id, camera.source) if view_folder is not None else None,
            surroundings=FileSurroundings(view_folder, camera.camera_id) if view_folder is not None else None,
            suspicions=suspicions(camera, node.position, outputs, clock, view_folder),
        )
        for camera in node.cameras
    ]


def _load_detector(model: Path | None) -> Any:
    from sealwatch.models.runtime import Detector

    return Detector.load(model, threads=1)


def _meters(
    node: NodeSettings,
    sink: Sink,
    power_clock: Clock,
    raw_folder: Path | None,
    declared: Declared,
    activity: Activity | None,
) -> list[Part]:
    if not node.meters:
        return []
    from sealwatch.edge.power.watcher import meter_watchers

    return list(
        meter_watchers(
            node.meters,
            declared=declared,
            sink=sink,
            clock=power_clock,
            raw_folder=raw_folder,
            activity=activity,
        )
    )


def _inputs(node: NodeSettings, sink: Sink, clock: Clock, wires: Wires | None) -> list[Part]:
    if not node.inputs and not node.io_modules:
        return []
    from sealwatch.edge.inputs.build import Wires, input_watchers

    return list(input_watchers(node, wires or Wires(node, clock), sink, clock))
