"""The part that owns a wire: alarms in words, a module that falls silent, what its health says."""

from __future__ import annotations

import threading

import pytest

from sealwatch.base.clock import ManualClock
from sealwatch.contract.codes import AlarmKind, Level, Phase
from sealwatch.edge.config import InputSettings, SupervisionSettings
from sealwatch.edge.inputs.decide import Line
from sealwatch.edge.inputs.watcher import FAULT_AFTER_S, InputWatcher
from sealwatch.edge.inputs.wire import MemoryWire, WireError
from sealwatch.edge.ports import AlarmDraft, ManySources, MemorySink

DOOR = InputSettings(input_id="gate", kind="door", at="module:io-1/di1", name="井口大门")
SEAL = InputSettings(
    input_id="seal-1",
    kind="seal",
    at="module:io-1/ai1",
    name="1 号密闭",
    supervision=SupervisionSettings(shorted=(0, 300), closed=(900, 1300), open=(1900, 2500), cut=(9000, 1e9)),
)
SENSOR = InputSettings(input_id="pir-1", kind="pir", at="mqtt:pir#occupancy", rest="open", silent_after_s=60)


class Bench:
    def __init__(self, *inputs: InputSettings) -> None:
        self.clock, self.wire, self.sink = ManualClock(), MemoryWire(), MemorySink()
        self.watcher = InputWatcher("io-1", self.wire, inputs, self.sink, self.clock, poll_interval_s=0.5)

    def say(self, channel: str, value: float | bool) -> None:
        self.wire.say(channel, value, self.clock.monotonic_s())
        self.watcher.poll()

    def pass_s(self, seconds: float) -> None:
        for _ in range(int(seconds * 2)):
            self.clock.advance(0.5)
            self.watcher.poll()

    @property
    def told(self) -> list[tuple[str, str, str]]:
        return [(draft.source_id, draft.phase.value, draft.reason) for draft in self.sink.alarms]


def test_a_door_that_opens_and_closes_is_one_alarm_with_a_sentence_in_both_languages() -> None:
    bench = Bench(DOOR)
    bench.say("di1", True)
    bench.pass_s(5)
    bench.say("di1", False)
    bench.pass_s(10)
    bench.say("di1", True)
    bench.pass_s(10)
    assert bench.told == [("gate", "start", "opened"), ("gate", "end", "at_rest")]
    start, end = bench.sink.alarms
    assert (start.kind, start.level) == (AlarmKind.INPUT, Level.ORANGE)
    assert start.alarm_id == end.alarm_id
    assert start.sentence_zh.endswith("井口大门被打开")
    assert "was opened" in start.sentence_en
    assert end.captured_at_ms - start.started_at_ms == pytest.approx(15_050, abs=2)


def test_a_supervised_seal_tells_open_from_cut() -> None:
    bench = Bench(SEAL)
    bench.say("ai1", 1000)
    bench.pass_s(2)
    bench.say("ai1", 2000)
    bench.pass_s(2)
    bench.say("ai1", 1e6)
    bench.pass_s(2)
    assert bench.told == [("seal-1", "start", "seal_parted"), ("seal-1", "start", "line_cut")]
    assert bench.sink.alarms[0].level is Level.RED
    assert "剪断" in bench.sink.alarms[1].sentence_zh
    assert bench.watcher.lines() == {"seal-1": Line.CUT}
    assert bench.watcher.health().numbers["not_believed"] == 1


def test_a_module_that_falls_silent_is_told_once_and_its_return_as_well() -> None:
    bench = Bench(DOOR)
    bench.say("di1", True)
    bench.pass_s(2)
    assert bench.watcher.health().ok
    bench.wire.broken = WireError("silent", "nothing comes back")
    bench.pass_s(FAULT_AFTER_S + 20)
    assert not bench.watcher.health().ok
    assert bench.watcher.health().reason == "silent"
    bench.wire.broken = None
    bench.pass_s(2)
    assert bench.told == [("io-1", "start", "silent"), ("io-1", "end", "reading")]
    assert bench.sink.alarms[0].level is Level.ORANGE
    assert bench.sink.alarms[0].alarm_id == bench.sink.alarms[1].alarm_id
    assert bench.sink.alarms[0].numbers["lost_s"] >= FAULT_AFTER_S


def test_a_module_that_never_answered_is_wired_wrongly_and_told_so() -> None:
    bench = Bench(DOOR)
    bench.wire.broken = WireError("strange_fault", "who knows")
    bench.pass_s(FAULT_AFTER_S + 1)
    assert bench.told == [("io-1", "start", "strange_fault")]
    assert bench.sink.alarms[0].level is Level.YELLOW
    assert "strange_fault" in bench.sink.alarms[0].sentence_en


def test_a_sensor_that_is_not_heard_any_more_is_told_though_its_broker_answers() -> None:
    bench = Bench(SENSOR)
    bench.say("pir#occupancy", False)
    bench.pass_s(70)
    assert bench.told == [("pir-1", "start", "sensor_silent")]
    assert bench.watcher.health().ok
    bench.say("pir#occupancy", True)
    bench.pass_s(1)
    assert bench.told[1:] == [("pir-1", "end", "line_good"), ("pir-1", "start", "movement")]


def test_started_again_a_part_knows_nothing_and_raises_what_still_holds_under_a_new_id() -> None:
    bench = Bench(DOOR)
    bench.say("di1", False)
    bench.pass_s(1)
    bench.watcher.begin()
    bench.say("di1", False)
    bench.pass_s(1)
    assert bench.told == [("gate", "start", "opened")] * 2
    assert len({draft.alarm_id for draft in bench.sink.alarms}) == 2
    assert isinstance(bench.watcher, ManySources)
    assert list(bench.watcher.source_ids) == ["io-1", "gate"]


def test_the_part_ends_when_it_is_asked_to_and_lets_go_of_its_wire() -> None:
    bench = Bench(DOOR)
    stop = threading.Event()
    thread = threading.Thread(target=bench.watcher.run, args=(stop,))
    thread.start()
    stop.set()
    thread.join(5)
    assert not thread.is_alive()
    assert bench.wire.closed == 1


@pytest.mark.parametrize("kind", ["door", "seal", "lock", "pir", "vibration", "mains", "battery"])
def test_every_kind_has_its_own_words_in_both_languages(kind: str) -> None:
    bench = Bench(InputSettings(input_id="one", kind=kind, at="module:io-1/di1"))  # type: ignore[arg-type]  # the parameter is one of the kinds
    bench.say("di1", False)
    bench.pass_s(1)
    for k in range(12):
        bench.say("di1", k % 2 == 0)
        bench.pass_s(1)
    bench.say("di1", True)
    bench.pass_s(80)
    phases = [draft.phase for draft in bench.sink.alarms]
    assert phases == [Phase.START, Phase.UPDATE, Phase.END]
    assert bench.sink.alarms[1].reason == "chattering"
    assert len({_bare(draft) for draft in bench.sink.alarms}) == 3


def _bare(draft: AlarmDraft) -> tuple[str, str]:
    return draft.sentence_zh[5:], draft.sentence_en[5:]
