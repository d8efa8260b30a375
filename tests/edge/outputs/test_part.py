"""The part behind an output, its drivers and its journal; actions and commands."""

from __future__ import annotations

import json
import stat
import threading
from pathlib import Path

import pytest

from sealwatch.base.clock import ManualClock
from sealwatch.contract.codes import Level, Phase
from sealwatch.contract.messages import Command
from sealwatch.edge.config import ActionSettings
from sealwatch.edge.inputs.wire import MemoryWire, WireError
from sealwatch.edge.outputs.actions import ActingSink, wanted
from sealwatch.edge.outputs.build import OutputCommands
from sealwatch.edge.outputs.drivers import SoundDriver, TerminalDriver
from sealwatch.edge.outputs.journal import Journal
from sealwatch.edge.outputs.limits import Limits
from sealwatch.edge.outputs.part import CHECK_S, REFRESH_S, RETRY_S, OutputPart
from sealwatch.edge.ports import AlarmDraft, MemorySink


class Bench:
    def __init__(self, folder: Path, *, kind: str = "siren", quiet: tuple[int, int] | None = None) -> None:
        self.clock, self.wire = ManualClock(), MemoryWire()
        self.file = folder / "outputs.jsonl"
        self.part = OutputPart(
            "horn",
            kind,
            TerminalDriver(self.wire, "do1"),
            Limits(max_s=60, pause_s=10, quiet_hours=quiet),
            Journal(self.file),
            self.clock,
        )

    def journal(self) -> list[tuple[str, str]]:
        lines = [json.loads(line) for line in self.file.read_text().splitlines()]
        return [(line["event"], line.get("to") or line.get("reason") or "") for line in lines]

    def pass_s(self, seconds: float) -> None:
        for _ in range(int(seconds * 10)):
            self.part.step()
            self.clock.advance(0.1)
        self.part.step()


def test_a_siren_is_switched_off_first_then_on_for_its_time_and_the_journal_tells_it_all(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.part.step()
    assert bench.wire.written == [("do1", False)]
    assert bench.part.ask(5, origin="alarm", why="door").reason == "started"
    bench.pass_s(1)
    assert bench.wire.outputs == {"do1": True}
    assert (bench.part.health().reason, bench.part.health().numbers["activations"]) == ("on", 1)
    bench.pass_s(5)
    assert bench.wire.outputs == {"do1": False}
    assert bench.journal() == [
        ("switched", "off"),
        ("started", ""),
        ("switched", "on"),
        ("time_over", ""),
        ("switched", "off"),
    ]


def test_while_on_it_is_written_again_for_a_module_with_a_watchdog_and_while_off_looked_at(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.part.ask(30, origin="alarm", why="door")
    bench.pass_s(3 * REFRESH_S + 0.5)
    assert bench.wire.written.count(("do1", True)) >= 3
    bench.part.off(why="enough")
    bench.pass_s(1)
    bench.wire.written.clear()
    bench.pass_s(CHECK_S + 1)
    assert bench.wire.written == [("do1", False)]


def test_a_relay_that_sticks_is_told_and_tried_again_until_it_follows(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.part.step()
    bench.wire.stuck = {"do1": False}
    bench.part.ask(30, origin="alarm", why="door")
    bench.pass_s(RETRY_S + 0.5)
    assert (bench.part.health().ok, bench.part.health().reason) == (False, "stuck")
    bench.wire.stuck = {}
    bench.pass_s(RETRY_S + 0.5)
    assert (bench.part.health().ok, bench.part.health().reason) == (True, "on")
    assert ("failed", "on") in bench.journal()


def test_an_output_that_cannot_be_switched_off_at_the_start_is_tried_until_it_can(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.wire.broken = WireError("silent", "nothing comes back")
    bench.pass_s(5)
    assert bench.part.health().reason == "silent"
    bench.wire.broken = None
    bench.pass_s(RETRY_S + 0.1)
    assert bench.wire.written == [("do1", False)]
    assert bench.part.health().ok


def test_when_the_part_ends_the_siren_is_off_and_nothing_more_is_taken(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.part.ask(30, origin="alarm", why="asked before the part had begun")
    stop, thread = threading.Event(), None
    thread = threading.Thread(target=bench.part.run, args=(stop,))
    thread.start()
    for _ in range(500):
        if bench.wire.outputs.get("do1"):
            break
        threading.Event().wait(0.01)
    assert bench.wire.written[:2] == [("do1", False), ("do1", True)]
    stop.set()
    thread.join(5)
    assert bench.wire.outputs == {"do1": False}
    assert bench.part.ask(5, origin="person", why="late").reason == "ending"


def test_a_journal_that_has_grown_starts_anew_and_a_torn_line_does_not_take_the_next_one_along(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.jsonl", max_bytes=200)
    (tmp_path / "j.jsonl").write_bytes(b'{"at_ms": 1, "out')
    for number in range(5):
        journal.note(at_ms=number, output="horn", event="started", seconds=30.0)
    assert (tmp_path / "j.jsonl.1").exists()
    lines = [
        line
        for name in ("j.jsonl.1", "j.jsonl")
        for line in (tmp_path / name).read_text().splitlines()
        if line.endswith("}")
    ]
    assert [json.loads(line)["at_ms"] for line in lines] == list(range(5))
    assert stat.S_IMODE((tmp_path / "j.jsonl").stat().st_mode) == 0o600


def test_a_journal_that_cannot_be_written_keeps_no_siren_from_sounding(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "not" / "there")
    assert bench.part.ask(5, origin="alarm", why="door").ok
    bench.part.step()
    assert bench.wire.outputs == {"do1": True}


def player(folder: Path, body: str) -> str:
    path = folder / "player"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def test_a_sentence_is_played_again_and_again_until_it_is_to_end(tmp_path: Path) -> None:
    (tmp_path / "leave.wav").write_bytes(b"RIFF")
    driver = SoundDriver(
        str(tmp_path / "leave.wav"), player=player(tmp_path, f'echo "$@" >> {tmp_path}/played; exec sleep 30')
    )
    driver.switch(True)
    first = driver._process
    driver.switch(True)
    assert driver._process is first
    assert first is not None
    first.kill()
    first.wait()
    with pytest.raises(WireError, match="check sound card"):
        driver.switch(True)
    driver.switch(True)
    second = driver._process
    for _ in range(300):
        if (tmp_path / "played").exists():
            break
        threading.Event().wait(0.01)
    driver.switch(False)
    assert second is not None
    assert second.poll() is not None
    assert (tmp_path / "played").read_text().splitlines()[0] == f"-q {tmp_path}/leave.wav"


def test_a_sound_that_is_not_there_and_a_player_that_is_not_installed_are_told(tmp_path: Path) -> None:
    with pytest.raises(WireError, match="no such sound file"):
        SoundDriver(str(tmp_path / "none.wav"), player="sh").switch(True)
    with pytest.raises(WireError, match="not installed"):
        SoundDriver(str(tmp_path / "none.wav"), player="no-such-player").switch(True)


def draft(
    alarm_id: str = "a1", *, phase: Phase = Phase.START, level: Level = Level.RED, kind: str = "input"
) -> AlarmDraft:
    return AlarmDraft(
        alarm_id=alarm_id,
        kind=kind,
        phase=phase,
        level=level,
        source_id="gate",
        started_at_ms=1,
        captured_at_ms=1,
        score=1.0,
        reason="opened",
        sentence_zh="开",
        sentence_en="open",
    )


@pytest.mark.parametrize(
    ("action", "seconds"),
    [
        (ActionSettings(outputs=["horn"], seconds=20), 20),
        (ActionSettings(outputs=["horn"], kinds=["input"], sources=["gate"], seconds=20), 20),
        (ActionSettings(outputs=["horn"], kinds=["person"]), None),
        (ActionSettings(outputs=["horn"], sources=["cam-1"]), None),
        (ActionSettings(outputs=["horn"], min_level=Level.RED), None),
    ],
)
def test_which_alarms_ask_for_an_output(action: ActionSettings, seconds: float | None) -> None:
    assert wanted([action], draft(level=Level.ORANGE)).get("horn") == seconds
    assert wanted([action], draft(phase=Phase.END)) == {}


def test_an_alarm_is_stored_first_and_sounds_once_also_when_it_only_later_grows_urgent(tmp_path: Path) -> None:
    bench, inner = Bench(tmp_path), MemorySink()
    sink = ActingSink(inner, [ActionSettings(outputs=["horn"], min_level=Level.ORANGE)], {"horn": bench.part})
    sink.alarm(draft(level=Level.YELLOW))
    assert not bench.part.health().numbers["on"]
    for _ in range(3):
        sink.alarm(draft(phase=Phase.UPDATE))
    sink.samples("meter", [1], {"active_power_w": [1.0]})
    assert [event for event, _ in bench.journal()] == ["started"]
    assert len(inner.alarms) == 4
    assert len(inner.sampled) == 1


def test_at_quiet_hours_an_alarm_is_noted_as_refused_and_a_persons_command_sounds(tmp_path: Path) -> None:
    bench = Bench(tmp_path, quiet=(0, 24))
    ActingSink(MemorySink(), [ActionSettings(outputs=["horn"])], {"horn": bench.part}).alarm(draft())
    assert bench.journal() == [("refused", "quiet_hours")]
    assert bench.part.health().numbers["refusals"] == 1
    answer = OutputCommands({"horn": bench.part}).siren(command("siren", {"seconds": "5"}))
    assert (answer.ok, answer.reason) == (True, "started")


def command(name: str, arguments: dict[str, str]) -> Command:
    return Command(
        site_id="1", node_id="n", command_id="c-1", name=name, arguments=arguments, issued_at_ms=0, expires_at_ms=1
    )


@pytest.mark.parametrize(
    ("arguments", "ok", "reason"),
    [
        ({"output": "horn"}, True, "started"),
        ({"output": "horn", "state": "off"}, True, "already_off"),
        ({"output": "bell"}, False, "unknown_output"),
        ({"output": "horn", "state": "loud"}, False, "bad_argument"),
        ({"output": "horn", "seconds": "nan"}, False, "bad_argument"),
        ({"output": "horn", "seconds": "ten"}, False, "bad_argument"),
    ],
)
def test_commands_ask_and_answer_by_name(tmp_path: Path, arguments: dict[str, str], ok: bool, reason: str) -> None:
    answer = OutputCommands({"horn": Bench(tmp_path).part}).output(command("output", arguments))
    assert (answer.ok, answer.reason) == (ok, reason)


def test_a_node_without_a_siren_says_so(tmp_path: Path) -> None:
    answer = OutputCommands({"lamp": Bench(tmp_path, kind="lamp").part}).siren(command("siren", {}))
    assert (answer.ok, answer.reason) == (False, "no_siren")
