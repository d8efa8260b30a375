"""The challenge at work: in the agent's own watcher with a real output part, and as a command on a real wire."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import cv2
import pytest

from sealwatch import cli
from sealwatch.base.clock import Clock, ManualClock
from sealwatch.base.settings import SettingsError
from sealwatch.contract.codes import Phase
from sealwatch.edge.config import CameraSettings, parse_node
from sealwatch.edge.config_light import ChallengeSettings, PositionSettings
from sealwatch.edge.inputs.wire import WireError
from sealwatch.edge.outputs.journal import Journal
from sealwatch.edge.outputs.limits import Limits
from sealwatch.edge.outputs.part import OutputPart
from sealwatch.edge.ports import Frame, FrameSource, Image, MemorySink
from sealwatch.edge.video import challenger, cli_challenge, doubting
from sealwatch.edge.video.challenge import KnownLight
from sealwatch.edge.video.challenger import Challenger, MemoryLights
from sealwatch.edge.video.ports import Demand, StageTimes
from sealwatch.edge.video.watcher import CameraWatcher
from tests.edge.video import clips
from tests.edge.video.lamp_place import Place, frame, still

NODE = """site_id = "1"
node_id = "n"
data_dir = "d"
{position}
[mqtt]
url = "mqtt://127.0.0.1:1"
[[outputs]]
output_id = "lamp"
kind = "{kind}"
at = "gpio:17"
pause_s = {pause_s}
[[cameras]]
camera_id = "gate"
source = "gate.mp4"
challenge = {{ output = "{output}" }}
"""
HERE = "position = { latitude_deg = 41.2, longitude_deg = 123.9 }"
NOON_MS, NIGHT_MS = 1_718_942_400_000, 1_718_985_600_000  # 2024-06-21, 12:00 and 24:00 UTC+8


def node(position: str = HERE, kind: str = "lamp", pause_s: float = 0, output: str = "lamp") -> str:
    return NODE.format(position=position, kind=kind, pause_s=pause_s, output=output)


def test_a_lamp_a_place_and_no_pause_are_wanted_and_each_lack_is_said() -> None:
    assert parse_node(node(), name="n").cameras[0].challenge == ChallengeSettings(output="lamp")
    for text, sentence in (
        (node(output="horn"), "'horn' is no lamp or relay; there are: lamp"),
        (node(kind="siren"), "'lamp' is no lamp or relay; there are: none"),
        (node(pause_s=30), "give that output pause_s = 0"),
        (node(position=""), "add position ="),
    ):
        with pytest.raises(SettingsError, match=sentence):
            parse_node(text, name="n")


class Wire:
    """A lamp's driver: what it is switched to is what the place is lit by."""

    def __init__(self) -> None:
        self.on, self.dead = False, False

    def switch(self, on: bool) -> None:
        if self.dead:
            raise WireError("silent", "no answer")
        self.on = on

    def state(self) -> bool | None:
        return self.on

    def close(self) -> None: ...


class Lamp:
    """The output's real part, turned by hand at each picture instead of by its own thread."""

    def __init__(self, folder: Path, clock: ManualClock) -> None:
        self.wire, self.clock = Wire(), clock
        rules = Limits(max_s=60, pause_s=0, quiet_hours=None)
        self.part = OutputPart("lamp", "lamp", self.wire, rules, Journal(folder / "o.jsonl"), clock)
        self.part.step()
        self.lit_at: list[tuple[float, bool]] = []

    def step(self) -> None:
        self.part.step()
        self.lit_at.append((self.clock.monotonic_s(), self.wire.on))

    def shone(self, at_s: float) -> bool:
        return next((on for moment_s, on in reversed(self.lit_at) if moment_s <= at_s), False)


def test_the_watcher_flashes_the_real_output_and_tells_of_a_picture_that_does_not_follow(tmp_path: Path) -> None:
    clock, sink, stop = ManualClock(wall_ms=NIGHT_MS), MemorySink(), threading.Event()
    lamp = Lamp(tmp_path, clock)
    wall = cv2.resize(clips.wall(), (160, 120))
    place = Place(clock, lamp, still(wall), delay_s=0.4)  # type: ignore[arg-type]  # it only asks when the lamp shone
    camera = CameraSettings(camera_id="gate", source="x", challenge=ChallengeSettings(output="lamp", every_h=0.25))
    position = PositionSettings(latitude_deg=41.2, longitude_deg=123.9)
    _, asks = doubting.suspicions(camera, position, {"lamp": lamp.part}, clock, tmp_path)
    assert isinstance(asks, Challenger)
    recorded: list[Image] = []

    def frames(_stop: threading.Event) -> Iterator[Frame]:
        for number in range(40_000):
            lamp.step()
            answered = asks.numbers().get("challenge_answered_age_s")
            picture = place.picture() if answered is None else recorded[number % len(recorded)]
            if answered is None and len(recorded) < 100:
                recorded.append(picture)
            yield frame(picture, clock)
            clock.advance(0.2)
            if any(a.reason == "challenge_failed" for a in sink.alarms):
                break
        stop.set()

    def connect(_camera: CameraSettings, _clock: Clock, _times: StageTimes, _demand: Demand) -> FrameSource:
        return clips.ScriptedSource(frames)

    watcher = CameraWatcher(camera, clips.detector(), sink, clock, connect=connect, suspicions=[asks])
    watcher.run(stop)
    (alarm,) = [a for a in sink.alarms if a.reason == "challenge_failed"]
    assert (alarm.kind, alarm.phase) == ("liveness", Phase.START)
    assert "闪烁" in alarm.sentence_zh
    assert "did not follow" in alarm.sentence_en
    assert alarm.snapshot_jpeg is not None
    assert watcher.health().numbers["challenge_lights"] == 1
    assert '"challenge"' in (tmp_path / "o.jsonl").read_text()


def test_an_output_that_fails_is_no_lamp_and_an_alarm_keeps_it_lit(tmp_path: Path) -> None:
    clock = ManualClock()
    lamp = Lamp(tmp_path, clock)
    light = doubting.OutputLamp(lamp.part, "test")
    assert light.light(2.0)
    lamp.part.ask(30, origin="alarm", why="door")
    clock.advance(3)
    lamp.step()
    assert light.lit()
    assert lamp.wire.on  # what the alarm wants holds beyond the flash
    clock.advance(60)
    lamp.wire.dead = True
    lamp.step()
    assert not light.light(2.0)


def test_by_day_the_command_says_that_it_is_not_dark_and_an_unknown_camera_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "node.toml"
    path.write_text(node())
    monkeypatch.setattr(cli_challenge, "SystemClock", lambda: ManualClock(wall_ms=NOON_MS))
    call = ["edge", "challenge", "--lang", "en", "--config", str(path)]
    assert cli.main([*call, "gate"]) == 1
    assert "it is not dark (the sun is at 72°)" in capsys.readouterr().err
    assert cli.main([*call, "yard"]) == 2
    assert "camera yard has no challenge" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answers", "code", "said"), [(True, 0, "the picture follows the lamp"), (False, 1, "does not follow the lamp")]
)
def test_the_command_flashes_once_says_what_came_of_it_and_remembers(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    answers: bool,
    code: int,
    said: str,
) -> None:
    clock = ManualClock(wall_ms=NIGHT_MS)
    lamp = Lamp(tmp_path, clock)
    wall = cv2.resize(clips.wall(), (160, 120))
    place = Place(clock, lamp, still(wall), exposure_s=0.0)  # type: ignore[arg-type]  # it only asks when the lamp shone
    lights = MemoryLights()
    if not answers:  # learnt on another evening
        dark = tuple(challenge_cells(place.picture()))
        lights.known = [KnownLight(dark=dark, jump=(0.2,) * 48, delay_s=0.7)]
        place.strength = 0.0

    def frames(_stop: threading.Event) -> Iterator[Frame]:
        while True:
            lamp.step()
            yield frame(place.picture(), clock)
            clock.advance(0.2)

    code_of_chance = SimpleNamespace(SystemRandom=lambda: random.Random(1))  # one code in twenty is unclear
    monkeypatch.setattr(challenger, "random", code_of_chance)
    monkeypatch.setattr(cli_challenge, "SystemClock", lambda: clock)
    monkeypatch.setattr(cli_challenge, "Wires", lambda *_: type("NoWires", (), {"close": lambda _self: None})())
    monkeypatch.setattr(cli_challenge, "output_parts", lambda *_, **__: {"lamp": lamp.part})
    monkeypatch.setattr(cli_challenge, "open_source", lambda *_: clips.ScriptedSource(frames))
    monkeypatch.setattr(doubting, "lights", lambda *_: lights)
    path = tmp_path / "node.toml"
    path.write_text(node())
    assert cli.main(["edge", "challenge", "gate", "--lang", "en", "--config", str(path)]) == code
    assert said in capsys.readouterr().out
    assert len(lights.known) == 1


def challenge_cells(picture: Image) -> list[float]:
    from sealwatch.edge.video.challenge import sample

    return [float(cell) for cell in sample(picture, 0.0).cells]
