"""The node's configuration file (`node.toml`): every field has a unit, bounds and a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Meta, Struct

from sealwatch.base import settings
from sealwatch.base.mqtt import MqttSettings
from sealwatch.base.redact import holds_secret
from sealwatch.base.settings import SettingsError
from sealwatch.contract.codes import DeclaredStatus, Level
from sealwatch.contract.messages import Identifier
from sealwatch.contract.signing import key_id, public_key_from_text
from sealwatch.edge.config_light import ChallengeSettings, PositionSettings
from sealwatch.edge.inputs.terminals import terminals_problem

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
VIEW_FOLDER = "views"  # below data_dir: the cameras' reference pictures
Ratio = Annotated[float, Meta(ge=0, le=1)]


class RegionSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A polygon in parts of the picture, so that it survives a change of resolution."""

    name: Annotated[str, Meta(min_length=1, max_length=64, description="What people call the place.")]
    polygon: Annotated[
        list[tuple[Ratio, Ratio]],
        Meta(min_length=3, max_length=64, description="Corners [x, y], 0 to 1 from the top left corner."),
    ]


class ZoneSettings(RegionSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A polygon where people, vehicles and animals are watched for."""

    dwell_s: (
        Annotated[
            float, Meta(ge=0, le=600, description="Somebody must be in it this long; else the camera's on-delay.")
        ]
        | None
    ) = None
    loiter_s: (
        Annotated[float, Meta(ge=1, le=86_400, description="A person in it longer is loitering and raises the level.")]
        | None
    ) = None


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
        str,
        Meta(
            min_length=1,
            description="rtsp://host/path, /dev/video0 or a file. No user or password in it, only {username} and "
            "{password} where the camera wants them in the path.",
        ),
    ]
    username: Annotated[str, Meta(description="User name of the camera.")] = ""
    password: Annotated[str, Meta(description="Reference to the password: file:/path or env:NAME.")] = ""
    transport: Annotated[
        Literal["auto", "tcp", "udp"],
        Meta(description="How RTSP sends pictures. auto: TCP, and UDP where the camera refuses TCP."),
    ] = "auto"
    repeat: Annotated[bool, Meta(description="Play a file again and again, in real time.")] = False
    analysis_fps: Annotated[float, Meta(ge=0.5, le=30, description="Pictures looked at in a second, at most.")] = 5.0
    zones: Annotated[list[ZoneSettings], Meta(max_length=32, description="Empty: the whole picture.")] = []
    lines: Annotated[list[LineSettings], Meta(max_length=16, description="Where people in and out are counted.")] = []
    equipment: Annotated[
        list[RegionSettings], Meta(max_length=8, description="Regions on a drum, sheave, rope or belt: does it run?")
    ] = []
    person_on_delay_s: Annotated[float, Meta(ge=0, le=60, description="A person must be seen this long.")] = 1.0
    person_off_delay_s: Annotated[float, Meta(ge=1, le=600, description="Nobody for this long ends the alarm.")] = 10.0
    challenge: ChallengeSettings | None = None
    footage_days: (
        Annotated[
            float, Meta(ge=0, le=3650, description="Days of footage wanted of this camera; 0: none. Else [recorder]'s.")
        ]
        | None
    ) = None


class MeterSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One electricity meter."""

    meter_id: Identifier
    url: Annotated[
        str,
        Meta(
            pattern=r"^((modbus-)?tcp://[^/]+:\d+|serial:/.+)$",
            description="tcp://host:port of a converter, serial:/dev/ttyUSB0, or modbus-tcp://host:502.",
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
    production_w: Annotated[
        list[Annotated[float, Meta(ge=0, le=1e8)]],
        Meta(
            max_length=24,
            description="24 hourly means of a day of production, W, from midnight on (UTC+8); empty: not known.",
        ),
    ] = []
    uplink: Annotated[
        Literal["seconds", "minutes"],
        Meta(description="What the service gets: every reading, or minutes and the seconds around an alarm."),
    ] = "seconds"


class RecorderSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How footage is kept. Without this section nothing is recorded."""

    mode: Annotated[
        Literal["continuous", "events"],
        Meta(description="continuous: everything. events: only around alarms, from memory, for cards that wear out."),
    ] = "continuous"
    folder: Annotated[str, Meta(min_length=1, description="Where footage lies; relative to data_dir.")] = "footage"
    max_gb: Annotated[float, Meta(ge=0.1, le=1_000_000, description="Room for footage, in GB (10^9 bytes).")] = 64.0
    clips_gb: Annotated[float, Meta(ge=0.1, le=100_000, description="Room for clips of alarms, in GB.")] = 4.0
    keep_free_gb: Annotated[float, Meta(ge=0, le=10_000, description="GB of the disk left to others.")] = 2.0
    max_days: Annotated[float, Meta(gt=0, le=3650, description="Nothing is kept longer, in days.")] = 90.0
    target_days: Annotated[float, Meta(gt=0, le=3650, description="Days that must be there, or health says so.")] = 30.0
    segment_s: Annotated[float, Meta(ge=10, le=600, description="Length of a file, in seconds.")] = 60.0
    pre_s: Annotated[float, Meta(ge=10, le=120, description="Seconds of a clip before the alarm.")] = 10.0
    post_s: Annotated[float, Meta(ge=20, le=300, description="Seconds of a clip after the alarm.")] = 20.0
    clip_max_s: Annotated[float, Meta(ge=60, le=3600, description="A longer clip goes on in the next file.")] = 600.0
    sm3: Annotated[bool, Meta(description="Take an SM3 digest of every file as well.")] = False
    sm2_key_file: Annotated[str, Meta(description="Private SM2 key (PEM) for a second signature; empty: none.")] = ""


class UploadSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How clips of alarms reach the service. Without this section they stay on the node. Needs [recorder]."""

    url: Annotated[str, Meta(pattern=r"^https?://[^/]+$", description="https://host[:port] of the service.")]
    ca_file: Annotated[str, Meta(description="CA that signed the service's certificate (PEM).")] = ""
    certificate_file: Annotated[str, Meta(description="The node's certificate (PEM), where a proxy wants one.")] = ""
    key_file: Annotated[str, Meta(description="Private key of that certificate (PEM).")] = ""
    daily_mb: (
        Annotated[float, Meta(gt=0, le=10_000_000, description="MB (10^6 bytes) a day, on a metered SIM.")] | None
    ) = None


class UpdateSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where releases of agent and model come from. Without this section none is taken."""

    release_public_key: Annotated[str, Meta(max_length=200, description="From `sealwatch release key`.")]
    url: Annotated[str, Meta(pattern=r"^https?://[^/]+$", description="https://host[:port] of the service.")]
    ca_file: Annotated[str, Meta(description="CA that signed the service's certificate (PEM).")] = ""
    certificate_file: Annotated[str, Meta(description="The node's certificate (PEM), where a proxy wants one.")] = ""
    key_file: Annotated[str, Meta(description="Private key of that certificate (PEM).")] = ""
    daily_mb: Annotated[
        float, Meta(gt=0, le=10_000_000, description="MB (10^6 bytes) a day, besides what [upload] sends.")
    ] = 20.0


class IoModuleSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One Modbus module with contacts or relays."""

    module_id: Identifier
    url: Annotated[
        str,
        Meta(
            pattern=r"^((modbus-)?tcp://[^/]+:\d+|serial:/.+)$",
            description="modbus-tcp://host:502, tcp://host:port of an RTU converter, or serial:/dev/ttyUSB1.",
        ),
    ]
    profile: Annotated[str, Meta(description="Name of a file in firmware_config/io, without .toml.")] = (
        "generic-8di-8do"
    )
    address: Annotated[int, Meta(ge=1, le=247, description="Address of the module on its bus.")] = 1
    baud: Annotated[int, Meta(ge=1200, le=256_000, description="Serial speed, bit/s.")] = 9600
    poll_interval_s: Annotated[float, Meta(ge=0.05, le=60, description="Seconds from reading to reading.")] = 0.5


Terminal = Annotated[
    str,
    Meta(
        pattern=r"^(module:[A-Za-z0-9_.-]+/[a-z]+[0-9]+|mqtt:[^#+\s]+(#[A-Za-z0-9_.-]+)?|gpio:[0-9]{1,3})$",
        description="module:ID/di1, mqtt:topic, mqtt:topic#key for a field of JSON, or gpio:17 (BCM number).",
    ),
]
Window = Annotated[
    tuple[float, float], Meta(description="From and to, both included, in the unit of the module's profile.")
]


class SupervisionSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a supervised line measures in each of its four states. Between the windows it is unclear, and told."""

    shorted: Window
    closed: Window
    open: Window
    cut: Window


class InputSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One contact or sensor that raises an alarm when it leaves its rest."""

    input_id: Identifier
    kind: Annotated[
        Literal["door", "seal", "lock", "pir", "vibration", "mains", "battery"],
        Meta(description="What it tells: lock is that of a winch or hoist; mains and battery are those of the UPS."),
    ]
    at: Terminal
    name: Annotated[str, Meta(max_length=32, description="What people call it; empty: its id.")] = ""
    rest: Annotated[
        Literal["closed", "open"],
        Meta(description="The contact while all is well. Of a value, closed is on, true or 1."),
    ] = "closed"
    supervision: SupervisionSettings | None = None
    debounce_s: Annotated[float, Meta(ge=0, le=5, description="A shorter change is bouncing, seconds.")] = 0.05
    on_delay_s: Annotated[float, Meta(ge=0, le=600, description="It must last this long to be an alarm.")] = 0.0
    off_delay_s: Annotated[float, Meta(ge=0, le=3600, description="At rest for this long ends the alarm.")] = 5.0
    silent_after_s: Annotated[
        float, Meta(ge=10, le=1_000_000, description="An MQTT sensor not heard for this long is a fault.")
    ] = 7200.0


class OutputSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that makes noise or light at the shaft. It is off whenever nothing asks for it."""

    output_id: Identifier
    kind: Literal["siren", "lamp", "relay", "loudspeaker"]
    at: Annotated[
        str,
        Meta(
            pattern=r"^(module:[A-Za-z0-9_.-]+/[a-z]+[0-9]+|mqtt:[^#+\s]+(#[A-Za-z0-9_.-]+)?|gpio:[0-9]{1,3}|sound:/.+\.wav)$",
            description="As an input's, such as module:ID/do1; or sound:/path/leave.wav for a recorded sentence.",
        ),
    ]
    active_low: Annotated[bool, Meta(description="gpio: the board switches on at low level.")] = False
    max_s: Annotated[float, Meta(ge=1, le=3600, description="Never on for longer at a stretch, seconds.")] = 180.0
    pause_s: Annotated[float, Meta(ge=0, le=86_400, description="Off at least this long in between, seconds.")] = 30.0
    quiet_hours: (
        Annotated[
            tuple[Annotated[int, Meta(ge=0, le=23)], Annotated[int, Meta(ge=0, le=24)]],
            Meta(description="From and to, hour of day UTC+8: no alarm switches it on then; may go over midnight."),
        ]
        | None
    ) = None


class ActionSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the node does by itself at an alarm, whether the service can be reached or not."""

    outputs: Annotated[list[Identifier], Meta(min_length=1, max_length=16, description="What is switched on.")]
    kinds: Annotated[list[str], Meta(max_length=32, description="Kinds of alarm, such as person; empty: all.")] = []
    sources: Annotated[list[Identifier], Meta(max_length=64, description="Cameras, meters, inputs; empty: all.")] = []
    min_level: Annotated[Level, Meta(description="At least this urgent.")] = Level.ORANGE
    seconds: Annotated[float, Meta(ge=1, le=3600, description="For how long.")] = 30.0


class MachineSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the machine may use before somebody is told. What it uses is counted and shown in any case."""

    daily_write_gb: (
        Annotated[
            float,
            Meta(
                gt=0, le=100_000, description="GB a day to the disk of data_dir: its promised TB by its days of life."
            ),
        ]
        | None
    ) = None
    monthly_data_mb: (
        Annotated[float, Meta(gt=0, le=100_000_000, description="MB a month, both ways, of a metered SIM.")] | None
    ) = None


class PageSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The installer's page on the node itself. Without this section there is none."""

    host: Annotated[str, Meta(min_length=1, description="Address to listen on; others than this machine need TLS.")] = (
        "127.0.0.1"
    )
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port; 0: a free one, told in the log.")] = 8090
    certificate_file: Annotated[str, Meta(description="TLS certificate (PEM); empty: plain HTTP, loopback only.")] = ""
    key_file: Annotated[str, Meta(description="Private key (PEM) of the certificate.")] = ""


class NodeSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything a node must be told."""

    site_id: Identifier
    node_id: Identifier
    data_dir: Annotated[str, Meta(min_length=1, description="Folder for outbox and key; relative to this file.")]
    mqtt: MqttSettings
    service_public_key: Annotated[
        str,
        Meta(max_length=200, description="From `sealwatch cloud key`. Empty: no command or declaration is believed."),
    ] = ""
    next_service_public_key: Annotated[
        str,
        Meta(max_length=200, description="Believed as well, while the service changes its key."),
    ] = ""
    declared_status: Annotated[DeclaredStatus, Meta(description="Until the service has sent a declaration.")] = (
        DeclaredStatus.POWER_CUT
    )
    position: Annotated[
        PositionSettings | None, Meta(description="Where the node stands: pictures are compared with the sun's height.")
    ] = None
    cameras: Annotated[list[CameraSettings], Meta(max_length=16)] = []
    meters: Annotated[list[MeterSettings], Meta(max_length=32)] = []
    recorder: RecorderSettings | None = None
    upload: UploadSettings | None = None
    update: UpdateSettings | None = None
    io_modules: Annotated[list[IoModuleSettings], Meta(max_length=16)] = []
    sensors: Annotated[
        MqttSettings | None, Meta(description="Broker on the node's own network, for mqtt: terminals.")
    ] = None
    inputs: Annotated[list[InputSettings], Meta(max_length=128)] = []
    outputs: Annotated[list[OutputSettings], Meta(max_length=32)] = []
    actions: Annotated[list[ActionSettings], Meta(max_length=64)] = []
    machine: MachineSettings = MachineSettings()
    page: PageSettings | None = None


def load_node(path: Path) -> NodeSettings:
    """Read and check a node's configuration. Raises SettingsError."""
    return parse_node(settings.read_text(path), name=str(path))


def parse_node(text: str, *, name: str) -> NodeSettings:
    """Check the text of a node's configuration; `name` stands for the file in sentences. Raises SettingsError."""
    node = settings.parse(NodeSettings, text, name=name)
    for field, ids in (
        ("cameras", [c.camera_id for c in node.cameras]),
        ("meters", [m.meter_id for m in node.meters]),
        ("io_modules", [m.module_id for m in node.io_modules]),
        ("inputs", [i.input_id for i in node.inputs]),
        ("outputs", [o.output_id for o in node.outputs]),
    ):
        twice = {i for i in ids if ids.count(i) > 1}
        if twice:
            raise SettingsError(f"{name}: {field}: the id {', '.join(sorted(twice))} is used twice; give each its own")
    for camera in node.cameras:
        if holds_secret(camera.source):
            raise SettingsError(
                f"{name}: cameras: {camera.camera_id}: source holds a user name or password, and this file may be "
                'shown; name them as username and password = "file:…", and write {username} and {password} into source '
                "where the camera wants them in its path"
            )
        if problem := drawn_twice(camera.zones, camera.lines, camera.equipment):
            raise SettingsError(f"{name}: cameras: {camera.camera_id}: {problem}")
    try:
        service_key(node)
        release_key(node)
    except SettingsError as error:
        raise SettingsError(f"{name}: {error}") from None
    for meter in node.meters:
        if len(meter.production_w) not in (0, 24):
            raise SettingsError(
                f"{name}: meters: {meter.meter_id}: production_w has {len(meter.production_w)} values; "
                "a day has 24 hourly means"
            )
    problem = terminals_problem(node)
    if problem:
        raise SettingsError(f"{name}: {problem}")
    if node.page is not None:
        _check_page(node.page, name)
    return node


def drawn_twice(
    zones: Sequence[ZoneSettings], lines: Sequence[LineSettings], equipment: Sequence[RegionSettings]
) -> str:
    """What is wrong with the names of what is drawn into a camera's picture, in words; empty where nothing is.

    A name tells people where an alarm is, and the node which alarm it is.
    """
    drawn: dict[str, Sequence[ZoneSettings | LineSettings | RegionSettings]]
    drawn = {"zones": zones, "lines": lines, "equipment": equipment}
    for field, places in drawn.items():
        names = [place.name for place in places]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            return f"{field}: the name {', '.join(twice)} is used twice; give each its own"
    return ""


def _check_page(page: PageSettings, name: str) -> None:
    if bool(page.certificate_file) != bool(page.key_file):
        raise SettingsError(f"{name}: page: certificate_file and key_file belong together; name both or neither")
    if page.host not in LOOPBACK and not page.certificate_file:
        raise SettingsError(
            f"{name}: page.host: {page.host} is not this machine alone, and passwords would travel in the open; "
            "name certificate_file and key_file, or stay at 127.0.0.1 and reach it through ssh -L"
        )


def service_key(node: NodeSettings) -> dict[str, Ed25519PublicKey] | None:
    """The service's keys that this node has pinned, by their id, or None where it has pinned none.

    Raises SettingsError.
    """
    found = {}
    for name in ("service_public_key", "next_service_public_key"):
        if text := getattr(node, name):
            try:
                key = public_key_from_text(text)
            except ValueError:
                raise SettingsError(
                    f"{name}: not an Ed25519 public key; copy what `sealwatch cloud key` prints"
                ) from None
            found[key_id(key)] = key
    return found or None


def release_key(node: NodeSettings) -> Ed25519PublicKey | None:
    """The key of releases that this node has pinned, or None. Raises SettingsError."""
    if node.update is None:
        return None
    try:
        return public_key_from_text(node.update.release_public_key)
    except ValueError:
        raise SettingsError(
            "update.release_public_key: not an Ed25519 public key; copy what `sealwatch release key` prints"
        ) from None


def data_dir(node: NodeSettings, path: Path) -> Path:
    """The node's data folder: relative paths are meant from the configuration file."""
    return (path.parent / node.data_dir).resolve()
