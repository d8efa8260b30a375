"""Where an input or output is wired to: ``module:io-1/di1``, ``mqtt:topic#key``, ``gpio:17``, ``sound:/file.wav``."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Literal

from sealwatch.contract.codes import AlarmKind

if TYPE_CHECKING:
    from sealwatch.edge.config import NodeSettings, SupervisionSettings

SENSORS: Final = "sensors"
"""The part that listens to the sensors on the node's own network."""
GPIO: Final = "gpio"
"""The part that reads the pins of this machine."""


@dataclass(frozen=True, slots=True)
class Terminal:
    """`wire` is the module's id, ``sensors``, ``gpio`` or empty for a sound; `channel` is what that wire calls it."""

    kind: Literal["module", "mqtt", "gpio", "sound"]
    wire: str
    channel: str


def parse(at: str) -> Terminal:
    """A terminal from its text. Raises ValueError for a text that the configuration would not let pass."""
    scheme, _, rest = at.partition(":")
    match scheme:
        case "module":
            module_id, _, channel = rest.partition("/")
            return Terminal("module", module_id, channel)
        case "mqtt":
            return Terminal("mqtt", SENSORS, rest)
        case "gpio":
            return Terminal("gpio", GPIO, str(int(rest)))
        case "sound":
            return Terminal("sound", "", rest)
        case _:
            raise ValueError(f"'{at}' is no terminal; use module:, mqtt:, gpio: or sound:")


def terminals_problem(node: NodeSettings) -> str:
    """What does not fit together among inputs, outputs, modules and actions: one sentence, or empty."""
    modules = {module.module_id for module in node.io_modules}
    used: dict[Terminal, str] = {}
    named = [(f"inputs.{i.input_id}", i.at) for i in node.inputs]
    named += [(f"outputs.{o.output_id}", o.at) for o in node.outputs]
    for field, at in named:
        terminal = parse(at)
        if terminal.kind == "module" and terminal.wire not in modules:
            return f"{field}: there is no module '{terminal.wire}'; add it under [[io_modules]] or mend the name"
        if terminal.kind == "mqtt" and node.sensors is None:
            return f"{field}: {at} needs the broker of the node's own network; add [sensors] with its url"
        if terminal in used:
            return f"{field}: {at} is used by {used[terminal]} already; give each its own"
        used[terminal] = field
    return (
        _lines_problem(node)
        or _inputs_problem(node)
        or _outputs_problem(node)
        or _actions_problem(node)
        or _challenges_problem(node)
    )


def _lines_problem(node: NodeSettings) -> str:
    meters = {meter.url for meter in node.meters}
    taken = {SENSORS, GPIO, *(m.meter_id for m in node.meters), *(c.camera_id for c in node.cameras)}
    for module in node.io_modules:
        if module.url in meters and not module.url.startswith("modbus-tcp:"):
            return (
                f"io_modules.{module.module_id}: {module.url} is the line of a meter; give modules a line of their own"
            )
        if module.module_id in taken:
            return f"io_modules.{module.module_id}: the id is in use elsewhere; give it another"
    return ""


def _inputs_problem(node: NodeSettings) -> str:
    taken = {SENSORS, GPIO}
    taken |= {m.meter_id for m in node.meters} | {c.camera_id for c in node.cameras}
    taken |= {m.module_id for m in node.io_modules}
    for one in node.inputs:
        if one.input_id in taken:
            return f"inputs.{one.input_id}: the id is in use elsewhere; give it another"
        if one.supervision is not None:
            if one.at.startswith("gpio:"):
                return f"inputs.{one.input_id}: a pin has no measured value; supervise a register of a module instead"
            problem = _windows_problem(one.supervision)
            if problem:
                return f"inputs.{one.input_id}.supervision: {problem}"
    return ""


def _windows_problem(windows: SupervisionSettings) -> str:
    named = [(name, getattr(windows, name)) for name in ("shorted", "closed", "open", "cut")]
    for name, (low, high) in named:
        if low > high:
            return f"{name} goes from {low} down to {high}; write the smaller number first"
    ordered = sorted(named, key=lambda item: item[1])
    for (name, (_, high)), (other, (low, _)) in pairwise(ordered):
        if low <= high:
            return f"{name} and {other} overlap at {low}; leave a gap between them"
    return ""


def _outputs_problem(node: NodeSettings) -> str:
    taken = {i.input_id for i in node.inputs} | {m.module_id for m in node.io_modules}
    for one in node.outputs:
        if one.output_id in taken:
            return f"outputs.{one.output_id}: the id is in use elsewhere; give it another"
        if (one.kind == "loudspeaker") != one.at.startswith("sound:"):
            return f"outputs.{one.output_id}: a loudspeaker plays a sound:/path.wav, and nothing else does"
    return ""


def _challenges_problem(node: NodeSettings) -> str:
    outputs = {one.output_id: one for one in node.outputs}
    for camera in node.cameras:
        if camera.challenge is None:
            continue
        field, lamp = f"cameras.{camera.camera_id}.challenge", outputs.get(camera.challenge.output)
        if lamp is None or lamp.kind not in ("lamp", "relay"):
            lamps = ", ".join(sorted(one.output_id for one in node.outputs if one.kind in ("lamp", "relay"))) or "none"
            return f"{field}: '{camera.challenge.output}' is no lamp or relay; there are: {lamps}"
        if lamp.pause_s > 0 or lamp.max_s < 2:
            return f"{field}: {lamp.output_id} could not flash; give that output pause_s = 0 and max_s of 2 or more"
        if node.position is None:
            return f"{field}: by day no lamp can be seen; add position = {{ latitude_deg = …, longitude_deg = … }}"
    return ""


def _actions_problem(node: NodeSettings) -> str:
    outputs = {one.output_id for one in node.outputs}
    sources = {c.camera_id for c in node.cameras} | {m.meter_id for m in node.meters}
    sources |= {i.input_id for i in node.inputs} | {m.module_id for m in node.io_modules} | {SENSORS, GPIO}
    for number, action in enumerate(node.actions, start=1):
        for field, named, known in (
            ("outputs", action.outputs, outputs),
            ("sources", action.sources, sources),
            ("kinds", action.kinds, set(AlarmKind)),
        ):
            unknown = [name for name in named if name not in known]
            if unknown:
                there = ", ".join(sorted(known)) or "none"
                return f"actions, number {number}: {field}: '{unknown[0]}' is not known; there are: {there}"
    return ""
