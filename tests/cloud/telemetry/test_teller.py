"""What the service tells about itself: after its commits, once, and also after a restart or an absent store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from sealwatch.cloud.ports import Columns
from sealwatch.cloud.telemetry.memory import MemoryTelemetry
from sealwatch.cloud.telemetry.teller import CURSOR_FILE, Teller
from sealwatch.contract import topics, wire
from sealwatch.contract.codes import Phase
from sealwatch.contract.messages import Alarm, Status
from tests.cloud.world import World


class FrailTelemetry(MemoryTelemetry):
    """Keeps every block that it took, and can be away."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.took: list[Columns] = []

    def write_blocks(self, blocks: Sequence[Columns]) -> None:
        if self.away:
            raise ConnectionError("away")
        super().write_blocks(blocks)
        self.took += blocks

    def told(self, metric: str) -> list[tuple[str, float | None]]:
        """(source, value) of every point of a metric, in the order in which they came."""
        return [(b.source_id, v) for b in self.took if metric in b.values for v in b.values[metric]]


class Wheel:
    """Workers that turn when they are told to."""

    def __init__(self) -> None:
        self.turns = {"pager": 1, "ingest-alarms": 1}

    def __call__(self) -> dict[str, int]:
        return dict(self.turns)


@pytest.fixture
def telemetry() -> FrailTelemetry:
    return FrailTelemetry()


def teller(world: World, telemetry: FrailTelemetry, folder: Path, wheel: Wheel | None = None) -> Teller:
    made = Teller(
        world.database,
        telemetry,
        folder=folder,
        worker="w1",
        turns=wheel or Wheel(),
        clock=world.clock,
        changes=world.changes,
    )
    world.recorder._tell = made.note
    return made


def push(world: World, *alarms: Alarm) -> None:
    world.push(*alarms)
    world.changes.announce()


def test_an_alarm_its_incident_its_page_and_the_answer_are_told(
    world: World, telemetry: FrailTelemetry, tmp_path: Path
) -> None:
    tells = teller(world, telemetry, tmp_path)
    push(world, world.alarm("camera_fault", reason="covered"))
    world.until(1)
    assert tells.turn()
    assert telemetry.told("alarm_start_count") == [("cam-1", 1.0)]
    assert telemetry.told("camera_fault_code") == [("cam-1", 1.0)]
    assert telemetry.told("incident_opened_count") == [("incident", 1.0)]
    assert telemetry.told("page_attempt_count") == [("wang", 1.0)]
    assert telemetry.told("ingest_lag_ms") == [("ingest", 0.0)]
    world.clock.advance(20)
    world.answer()
    world.changes.announce()
    assert tells.turn()
    assert telemetry.told("incident_acknowledged_count") == [("incident", 1.0)]
    [(person, seconds)] = telemetry.told("page_answer_time_s")
    assert person == "wang"
    assert seconds == pytest.approx(21, abs=1.1)
    world.close_incident()
    world.changes.announce()
    assert tells.turn()
    assert telemetry.told("incident_open_level")[-1] == ("incident", 0.0)


def test_the_end_of_an_alarm_and_a_state_are_told(world: World, telemetry: FrailTelemetry, tmp_path: Path) -> None:
    tells = teller(world, telemetry, tmp_path)
    push(world, world.alarm(), world.alarm(phase=Phase.END))
    status = Status(
        site_id="s1",
        node_id="node-1",
        boot_id=world.boot_id,
        state="online",
        reported_at_ms=world.clock.wall_ms(),
        agent_version="1",
        outbox_depth=3,
    )
    arrival = type(world.samples())(
        topic=topics.topic("s1", "node-1", topics.Channel.STATUS), payload=wire.encode(status)
    )
    world.recorder.record([arrival])
    assert tells.turn()
    assert telemetry.told("alarm_end_count") == [("cam-1", 1.0)]
    assert telemetry.told("outbox_depth_count") == [("node-1", 3.0)]


def test_a_restart_goes_on_where_the_last_life_ended(world: World, telemetry: FrailTelemetry, tmp_path: Path) -> None:
    first = teller(world, telemetry, tmp_path)
    push(world, world.alarm())
    first.stop()
    assert int((tmp_path / CURSOR_FILE).read_text()) > 0
    telemetry.took.clear()
    world.answer()
    second = teller(world, telemetry, tmp_path)
    assert second.turn()
    assert telemetry.told("incident_acknowledged_count") == [("incident", 1.0)]


@pytest.mark.parametrize("content", ["", "nonsense", "-5"])
def test_a_damaged_cursor_tells_everything_again(
    world: World, telemetry: FrailTelemetry, tmp_path: Path, content: str
) -> None:
    push(world, world.alarm())
    (tmp_path / CURSOR_FILE).write_text(content)
    assert teller(world, telemetry, tmp_path).turn()
    assert telemetry.told("incident_opened_count") == [("incident", 1.0)]


def test_a_store_that_is_away_loses_nothing(world: World, telemetry: FrailTelemetry, tmp_path: Path) -> None:
    tells = teller(world, telemetry, tmp_path)
    telemetry.away = True
    push(world, world.alarm())
    assert not tells.turn()
    assert not (tmp_path / CURSOR_FILE).exists()
    push(world, world.alarm("vehicle"))
    assert not tells.turn()
    telemetry.away = False
    assert tells.turn()
    assert [value for _, value in telemetry.told("alarm_start_count")] == [1.0, 1.0]
    assert telemetry.told("incident_opened_count") == [("incident", 1.0)]
    assert tells.turn()
    assert len(telemetry.told("alarm_start_count")) == 2


def test_a_figure_that_can_never_be_stored_takes_no_other_one_with_it(
    world: World, telemetry: FrailTelemetry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def picky(blocks: Sequence[Columns]) -> None:
        if any("ingest_lag_ms" in block.values for block in blocks):
            raise ValueError("never")
        FrailTelemetry.write_blocks(telemetry, blocks)

    monkeypatch.setattr(telemetry, "write_blocks", picky)
    tells = teller(world, telemetry, tmp_path)
    push(world, world.alarm())
    assert tells.turn()
    assert tells.counters["refused"] == 1
    assert telemetry.told("alarm_start_count") == [("cam-1", 1.0)]


def test_a_worker_that_hangs_is_told_as_dead(world: World, telemetry: FrailTelemetry, tmp_path: Path) -> None:
    wheel = Wheel()
    tells = teller(world, telemetry, tmp_path, wheel)
    assert tells.turn()
    wheel.turns["pager"] += 1
    world.clock.advance(61)
    assert tells.turn()
    alive = dict(telemetry.told("worker_alive")[-2:])
    assert alive == {"pager.w1": 1.0, "ingest-alarms.w1": 0.0}
