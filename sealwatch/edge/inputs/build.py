"""From the configuration to wires and parts: a module has one wire for inputs and outputs, a bus one line."""

from __future__ import annotations

from typing import Final

from sealwatch.base.clock import Clock
from sealwatch.base.errors import UsageError
from sealwatch.edge.config import InputSettings, IoModuleSettings, NodeSettings
from sealwatch.edge.inputs import terminals
from sealwatch.edge.inputs.modbus import ModbusLine, ModbusModule, client_for
from sealwatch.edge.inputs.mqtt import Connect, MqttSensors, session_for
from sealwatch.edge.inputs.profiles import find, load_profile
from sealwatch.edge.inputs.terminals import GPIO, SENSORS, Terminal
from sealwatch.edge.inputs.watcher import InputWatcher
from sealwatch.edge.inputs.wire import Wire
from sealwatch.edge.ports import Sink

PINS_INTERVAL_S: Final = 0.05
EVENTS_INTERVAL_S: Final = 0.1


class Wires:
    """The wires that a node's terminals need, by the name of their part. None of them is opened here."""

    def __init__(self, node: NodeSettings, clock: Clock, *, connect: Connect | None = None) -> None:
        """Raises UsageError for a profile or channel that is not known. `connect` makes sessions with [sensors]."""
        self._node, self._clock = node, clock
        self._lines: dict[str, ModbusLine] = {}
        self.by_name: dict[str, Wire] = {}
        for module in node.io_modules:
            self.by_name[module.module_id] = self._module(module)
        if node.sensors is not None and self._terminals("mqtt"):
            wanted = [t.channel for t, is_input in self._terminals("mqtt") if is_input]
            self.by_name[SENSORS] = MqttSensors(connect or session_for(node.sensors), wanted, clock)
        pins = self._terminals("gpio")
        if pins:
            from sealwatch.edge.inputs.gpio import GpioPins

            low = {terminals.parse(o.at).channel: o.active_low for o in node.outputs if o.at.startswith("gpio:")}
            self.by_name[GPIO] = GpioPins([t.channel for t, is_input in pins if is_input], low, clock)

    def of(self, terminal: Terminal) -> Wire:
        """The wire behind a terminal."""
        return self.by_name[terminal.wire]

    def inputs_of(self, name: str) -> list[InputSettings]:
        """The inputs on one wire."""
        return [one for one in self._node.inputs if terminals.parse(one.at).wire == name]

    def close(self) -> None:
        """Let go of every wire."""
        for wire in self.by_name.values():
            wire.close()

    def _terminals(self, kind: str) -> list[tuple[Terminal, bool]]:
        """Terminals of one kind, and whether each is an input."""
        found = [(terminals.parse(one.at), True) for one in self._node.inputs]
        found += [(terminals.parse(one.at), False) for one in self._node.outputs]
        return [(terminal, is_input) for terminal, is_input in found if terminal.kind == kind]

    def _module(self, module: IoModuleSettings) -> ModbusModule:
        profile = load_profile(module.profile)
        line = self._lines.get(module.url)
        if line is None:
            line = ModbusLine(module.url, client_for(module, profile), self._clock)
            self._lines[module.url] = line
        channels = [terminals.parse(one.at).channel for one in self.inputs_of(module.module_id)]
        for one in self.inputs_of(module.module_id):
            place = find(profile.inputs, terminals.parse(one.at).channel)
            if place is None:
                raise UsageError(f"inputs.{one.input_id}: the profile {module.profile} has no input for {one.at}")
            if ("registers" in place[0].table) != (one.supervision is not None):
                raise UsageError(
                    f"inputs.{one.input_id}: supervision belongs to measured inputs, and measured inputs need it"
                )
        for out in self._node.outputs:
            terminal = terminals.parse(out.at)
            if terminal.wire == module.module_id and find(profile.outputs, terminal.channel) is None:
                raise UsageError(f"outputs.{out.output_id}: the profile {module.profile} has no output for {out.at}")
        return ModbusModule(line, profile, module.address, channels, self._clock)


def input_watchers(node: NodeSettings, wires: Wires, sink: Sink, clock: Clock) -> list[InputWatcher]:
    """A part for each wire with inputs, and for each module: one with relays alone is watched as well."""
    intervals = {module.module_id: module.poll_interval_s for module in node.io_modules}
    intervals |= {SENSORS: EVENTS_INTERVAL_S, GPIO: PINS_INTERVAL_S}
    return [
        InputWatcher(name, wire, wires.inputs_of(name), sink, clock, poll_interval_s=intervals[name])
        for name, wire in wires.by_name.items()
        if name not in (SENSORS, GPIO) or wires.inputs_of(name)
    ]
