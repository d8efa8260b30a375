"""The node's configuration file (`node.toml`): every field has a unit, bounds and a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from sealwatch.base import settings
from sealwatch.base.mqtt import MqttSettings
from sealwatch.base.settings import SettingsError
from sealwatch.contract.codes import DeclaredStatus
from sealwatch.contract.messages import Identifier

Ratio = Annotated[float, Meta(ge=0, le=1)]


class ZoneSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A polygon to watch, in parts of the picture, so that it survives a change of resolution."""

    name: Annotated[str, Meta(min_length=1, max_length=64, description="What people call the place.")]
    polygon: Annotated[
        list[tuple[Ratio, Ratio]],
        Meta(min_length=3, max_length=64, description="Corners [x, y], 0 to 1 from the top left corner."),
    ]


class LineSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line to count people across, such as a doorstep."""

    name: Annotated[str, Meta(min_length=1, max_length=64, description="What people call the passage.")]
    points: Annotated[
        list[tuple[Ratio, Ratio]],
        Meta(
            min_length=2, max_length=2, description="Both ends [x, y], where feet cross it; 0 to 1 from the top left."
        ),
    ]
    inside: Annotated[tuple[Ratio, Ratio], Meta(description="Any point [x, y] on the inner side: towards it is in.")]


class CameraSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One camera."""

    camera_id: Identifier
    source: Annotated[
        str, Meta(min_length=1, description="rtsp://host/path, /dev/video0 or a file. No user or password in it.")
    ]
    username: Annotated[str, Meta(description="User name of the camera.")] = ""
    password: Annotated[str, Meta(description="Reference to the password: file:/path or env:NAME.")] = ""
    repeat: Annotated[bool, Meta(description="Play a file again and again, in real time.")] = False
    analysis_fps: Annotated[float, Meta(ge=0.5, le=30, description="Pictures looked at in a second, at most.")] = 5.0
    zones: Annotated[list[ZoneSettings], Meta(max_length=32, description="Empty: the whole picture.")] = []
    lines: Annotated[list[LineSettings], Meta(max_length=16, description="Where people in and out are counted.")] = []
    person_on_delay_s: Annotated[float, Meta(ge=0, le=60, description="A person must be seen this long.")] = 1.0
    person_off_delay_s: Annotated[float, Meta(ge=1, le=600, description="Nobody for this long ends the alarm.")] = 10.0


class MeterSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One electricity meter."""

    meter_id: Identifier
    url: Annotated[
        str,
        Meta(
            pattern=r"^(tcp://[^/]+:\d+|serial:/.+)$",
            description="tcp://host:port of a converter, or serial:/dev/ttyUSB0.",
        ),
    ]
    profile: Annotated[str, Meta(description="Name of a file in firmware_config/meters, without .toml.")] = (
        "dlt645-2007-three-phase"
    )
    address: Annotated[str, Meta(pattern=r"^\d{1,12}$", description="Address as printed on the meter.")]
    baud: Annotated[int, Meta(ge=300, le=115200, description="Serial speed, bit/s.")] = 2400
    transformer_ratio: Annotated[
        float, Meta(gt=0, le=100000, description="CT ratio times PT ratio, where the meter does not know it.")
    ] = 1.0
    poll_interval_s: Annotated[float, Meta(ge=0.2, le=900, description="Seconds from reading to reading.")] = 1.0


class NodeSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything a node must be told."""

    site_id: Identifier
    node_id: Identifier
    data_dir: Annotated[str, Meta(min_length=1, description="Folder for outbox and key; relative to this file.")]
    mqtt: MqttSettings
    declared_status: Annotated[DeclaredStatus, Meta(description="What the site declares about its electricity.")] = (
        DeclaredStatus.POWER_CUT
    )
    cameras: Annotated[list[CameraSettings], Meta(max_length=16)] = []
    meters: Annotated[list[MeterSettings], Meta(max_length=32)] = []


def load_node(path: Path) -> NodeSettings:
    """Read and check a node's configuration. Raises SettingsError."""
    node = settings.load(NodeSettings, path)
    for field, ids in (
        ("cameras", [c.camera_id for c in node.cameras]),
        ("meters", [m.meter_id for m in node.meters]),
    ):
        twice = {i for i in ids if ids.count(i) > 1}
        if twice:
            raise SettingsError(f"{path}: {field}: the id {', '.join(sorted(twice))} is used twice; give each its own")
    return node


def data_dir(node: NodeSettings, path: Path) -> Path:
    """The node's data folder: relative paths are meant from the configuration file."""
    return (path.parent / node.data_dir).resolve()
