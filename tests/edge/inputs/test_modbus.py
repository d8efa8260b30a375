"""Modbus modules on sockets and a pseudo-terminal, their maps, and configurations that do not fit together."""

from __future__ import annotations

from pathlib import Path

import pytest

from sealwatch.base.clock import ManualClock, SystemClock
from sealwatch.base.errors import UsageError
from sealwatch.base.settings import SettingsError
from sealwatch.edge.config import IoModuleSettings, NodeSettings, load_node
from sealwatch.edge.inputs.build import Wires, input_watchers
from sealwatch.edge.inputs.modbus import SETTLE_S, ModbusLine, ModbusModule, client_for
from sealwatch.edge.inputs.profiles import load_profile, parse_profile, profile_names
from sealwatch.edge.inputs.wire import WireError
from sealwatch.edge.ports import MemorySink
from tests.edge.inputs.module_twin import Module, ModuleServer, SerialModules

SIDES = ("inputs", "outputs")
HEAD = 'site_id = "410100000001"\nnode_id = "node-1"\ndata_dir = "data"\n[mqtt]\nurl = "mqtt://127.0.0.1:1"\n'


def node(folder: Path, *parts: str) -> NodeSettings:
    path = folder / "node.toml"
    path.write_text(HEAD + "\n".join(parts))
    return load_node(path)


def module_wire(url: str, *channels: str, profile: str = "generic-8di-8do", device: int = 1) -> ModbusModule:
    settings = IoModuleSettings(module_id="io-1", url=url, profile=profile, address=device)
    known = load_profile(profile)
    clock = SystemClock()
    return ModbusModule(ModbusLine(url, client_for(settings, known), clock), known, device, channels, clock)


@pytest.mark.parametrize("rtu", [False, True])
def test_contacts_are_read_and_a_relay_is_switched_and_read_back(rtu: bool) -> None:
    module = Module()
    with ModuleServer(module, rtu=rtu) as server:
        wire = module_wire(server.url, "di1", "di3")
        module.contacts[2] = True
        assert [(s.channel, s.value) for s in wire.read()] == [("di1", False), ("di3", True)]
        switched = []
        for on in (True, False):
            wire.write("do2", on)
            switched.append((module.coils[1], wire.state("do2")))
        assert switched == [(True, True), (False, False)]
        with pytest.raises(WireError, match="no output do9"):
            wire.write("do9", True)
        wire.close()


def test_a_serial_module_answers_on_a_pseudo_terminal() -> None:
    module = Module(device=7)
    module.measured[1] = 1234
    with SerialModules(module) as line:
        wire = module_wire(line.url, "ai2", profile="generic-8ai", device=7)
        assert [(s.channel, s.value) for s in wire.read()] == [("ai2", 1234.0)]
        wire.close()


def test_a_module_that_refuses_or_is_silent_or_away_is_told_by_name() -> None:
    module = Module()
    with ModuleServer(module) as server:
        wire = module_wire(server.url, "di1", device=1)
        foreign = module_wire(server.url, "di1", device=9)
        module.silent = True
        with pytest.raises(WireError) as silent:
            wire.read()
        module.silent = False
        assert wire.read()
        with pytest.raises(WireError, match="module 9"):
            foreign.read()
        url = server.url
        wire.close()
    with pytest.raises(WireError) as away:
        module_wire(url, "di1").read()
    assert (silent.value.reason, away.value.reason) == ("silent", "unreachable")


def test_after_a_failure_an_rtu_line_is_left_alone_until_late_answers_have_gone_by() -> None:
    module, clock = Module(), ManualClock()
    module.silent = True
    with ModuleServer(module, rtu=True) as server:
        settings = IoModuleSettings(module_id="io-1", url=server.url)
        profile = load_profile("generic-8di-8do")
        wire = ModbusModule(ModbusLine(server.url, client_for(settings, profile), clock), profile, 1, ["di1"], clock)
        with pytest.raises(WireError):
            wire.read()
        module.silent, asked = False, module.asked
        with pytest.raises(WireError, match="left alone"):
            wire.read()
        assert module.asked == asked
        clock.advance(SETTLE_S)
        assert wire.read()
        wire.close()


@pytest.mark.parametrize("name", profile_names())
def test_every_map_that_comes_along_is_sound(name: str) -> None:
    profile = load_profile(name)
    assert profile.inputs or profile.outputs


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ('outputs = [{ prefix = "do", table = "holding_registers", first = 0, count = 8 }]', "only coils"),
        (
            "\n".join(f'{side} = [{{prefix = "a", table = "coils", first = 0, count = 8}}]' for side in SIDES),
            "used twice",
        ),
        ("speed = 3", "not known"),
    ],
)
def test_a_map_with_a_mistake_is_refused_with_its_reason(change: str, message: str) -> None:
    head = "".join(f'{name} = "x"\n' for name in ("title_zh", "title_en", "description_zh", "description_en", "source"))
    with pytest.raises(SettingsError, match=message):
        parse_profile(head + change, name="io/x.toml")


IO = '[[io_modules]]\nmodule_id = "io-1"\nurl = "modbus-tcp://127.0.0.1:502"\n'
DOOR = '[[inputs]]\ninput_id = "gate"\nkind = "door"\n'
HORN = '[[outputs]]\noutput_id = "horn"\nkind = "siren"\n'


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([DOOR + 'at = "module:io-1/di1"'], "no module 'io-1'"),
        ([DOOR + 'at = "mqtt:z2m/door#contact"'], r"add \[sensors\]"),
        ([DOOR + 'at = "serial:3"'], "inputs"),
        ([IO, DOOR + 'at = "module:io-1/di1"', HORN + 'at = "sound:/a.wav"'], "loudspeaker"),
        ([IO, DOOR + 'at = "module:io-1/di1"', DOOR.replace("gate", "g2") + 'at = "module:io-1/di1"'], "already"),
        ([IO, HORN + 'at = "module:io-1/do1"', '[[actions]]\noutputs = ["bell"]'], "'bell' is not known"),
        ([IO, HORN + 'at = "module:io-1/do1"', '[[actions]]\noutputs = ["horn"]\nkinds = ["persn"]'], "'persn'"),
        ([IO, HORN + 'at = "module:io-1/do1"', '[[actions]]\noutputs = ["horn"]\nsources = ["cam-9"]'], "'cam-9'"),
        (
            [
                IO.replace("modbus-tcp://127.0.0.1:502", "serial:/dev/ttyUSB0"),
                '[[meters]]\nmeter_id = "m"\naddress = "1"\nurl = "serial:/dev/ttyUSB0"',
            ],
            "line of their own",
        ),
        (
            [DOOR + 'at = "gpio:4"\nsupervision = {shorted=[0,1], closed=[2,3], open=[4,5], cut=[6,7]}'],
            "no measured value",
        ),
        (
            [
                IO,
                DOOR + 'at = "module:io-1/di1"\nsupervision = {shorted=[0,2], closed=[2,3], open=[4,5], cut=[6,7]}',
            ],
            "shorted and closed overlap",
        ),
        ([IO, DOOR.replace("gate", "io-1") + 'at = "module:io-1/di1"'], "in use elsewhere"),
    ],
)
def test_a_configuration_that_does_not_fit_together_is_refused_in_one_sentence(
    tmp_path: Path, parts: list[str], message: str
) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        node(tmp_path, *parts)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([IO, DOOR + 'at = "module:io-1/di9"'], "no input for"),
        ([IO, HORN + 'at = "module:io-1/di1"'], "no output for"),
        ([IO + 'profile = "nonesuch"'], "not known"),
        ([IO + 'profile = "generic-8ai"', DOOR + 'at = "module:io-1/ai1"'], "measured inputs need it"),
    ],
)
def test_a_terminal_that_a_module_does_not_have_is_refused(tmp_path: Path, parts: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Wires(node(tmp_path, *parts), SystemClock())


def test_modules_of_one_bus_share_its_line_and_each_has_a_part(tmp_path: Path) -> None:
    with ModuleServer(Module(1), Module(2)) as server:
        modules = [f'[[io_modules]]\nmodule_id = "io-{n}"\nurl = "{server.url}"\naddress = {n}\n' for n in (1, 2)]
        wanted = node(tmp_path, *modules, DOOR + 'at = "module:io-2/di1"')
        wires = Wires(wanted, SystemClock())
        parts = input_watchers(wanted, wires, MemorySink(), SystemClock())
        for part in parts:
            part.poll()
        assert [(part.part_id, part.health().reason) for part in parts] == [("io-1", "reading"), ("io-2", "reading")]
        assert len(server.connections) == 1
        for wire in wires.by_name.values():
            wire.close()
