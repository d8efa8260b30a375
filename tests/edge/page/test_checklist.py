"""The installer's checklist: green by evidence alone, and each other line says what to do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sealwatch.base.clock import ManualClock
from sealwatch.base.text import Language
from sealwatch.contract.codes import AlarmKind, Phase
from sealwatch.contract.messages import Command, PartHealth
from sealwatch.edge.page.checklist import CameraFacts, Facts, Line, Milestones, judge
from sealwatch.edge.page.milestones import MilestoneKeeper, WitnessedSink, is_night
from sealwatch.edge.ports import MemorySink
from tests.edge.page.desk_twin import served
from tests.edge.scripted_agent import plain_draft


def part(part_id: str, kind: str, reason: str = "fine", *, ok: bool = True, **numbers: float) -> PartHealth:
    return PartHealth(part_id=part_id, kind=kind, ok=ok, reason=reason, numbers=numbers)


WELL = Facts(
    cameras=[CameraFacts(camera_id="cam", zones=1, lines=0, equipment=0, challenged=True)],
    meters=["meter"],
    health=[
        part("cam", "camera", "pictures_change", follows_sun=1, challenge_lights=1),
        part("meter", "meter", "reading", active_power_w=120.0),
        part("door", "input", "closed"),
        part("horn", "output", "off"),
        part("uplink", "uplink", "delivering"),
        part("clock", "clock", "disciplined"),
        part("cam-footage", "recorder", "footage_kept", reach_days=40, target_days=30),
    ],
    records=True,
    milestones=Milestones(
        night_ms={"cam": 1},
        inputs_ms={"door": 1},
        outputs_ms={"horn": 1},
        alarm_ms=1,
        alarm_source="cam",
        delivered_ms=2,
        answered_ms=3,
    ),
)


def found(facts: Facts, item: str) -> Line:
    (line,) = [line for line in judge(facts) if line.item == item]
    return line


def with_part(one: PartHealth) -> Facts:
    return replace(WELL, health=[p for p in WELL.health if p.part_id != one.part_id] + [one])


def test_where_all_is_well_every_line_is_green() -> None:
    assert {line.item: line.state for line in judge(WELL)} == {
        "picture": "good",
        "zones": "good",
        "night": "good",
        "sun": "good",
        "lamp": "good",
        "meter": "good",
        "contact": "good",
        "siren": "good",
        "uplink": "good",
        "clock": "good",
        "storage": "good",
        "alarm": "good",
    }


@pytest.mark.parametrize(
    ("facts", "item", "state", "reason"),
    [
        (with_part(part("cam", "camera", "signal_lost", ok=False)), "picture", "wrong", "signal_lost"),
        (
            replace(WELL, cameras=[CameraFacts(camera_id="cam", zones=0, lines=1, equipment=0)]),
            "zones",
            "wrong",
            "whole",
        ),
        (replace(WELL, milestones=Milestones()), "night", "waiting", "not_yet"),
        (with_part(part("cam", "camera", follows_sun=-1)), "sun", "waiting", "learning"),
        (with_part(part("cam", "camera", follows_sun=0)), "sun", "none", "exempt"),
        (with_part(part("cam", "camera")), "sun", "none", "no_position"),
        (with_part(part("cam", "camera", challenge_lights=0)), "lamp", "waiting", "not_seen"),
        (with_part(part("meter", "meter", "silent", ok=False)), "meter", "wrong", "silent"),
        (with_part(part("meter", "meter", "reading", active_power_w=-50)), "meter", "wrong", "negative"),
        (with_part(part("meter", "meter", "reading", active_power_w=9e6)), "meter", "wrong", "too_large"),
        (replace(WELL, milestones=Milestones()), "contact", "wrong", "not_tested"),
        (with_part(part("door", "input", "line_cut", ok=False)), "contact", "wrong", "failing"),
        (replace(WELL, milestones=Milestones()), "siren", "wrong", "not_tested"),
        (with_part(part("horn", "output", "stuck", ok=False)), "siren", "wrong", "failing"),
        (with_part(part("uplink", "uplink", "broker_unreachable", ok=False)), "uplink", "wrong", "broker_unreachable"),
        (with_part(part("clock", "clock", "never_synchronised", ok=False)), "clock", "wrong", "never_synchronised"),
        (with_part(part("clock", "clock", "source_away", ok=False)), "clock", "waiting", "source_away"),
        (with_part(part("cam-footage", "recorder", "footage_kept", target_days=30)), "storage", "waiting", "measuring"),
        (
            with_part(
                part("cam-footage", "recorder", "target_days_out_of_reach", ok=False, reach_days=3, target_days=30)
            ),
            "storage",
            "wrong",
            "target_days_out_of_reach",
        ),
        (replace(WELL, records=False), "storage", "wrong", "not_configured"),
        (replace(WELL, milestones=Milestones()), "alarm", "wrong", "none_yet"),
        (
            replace(WELL, milestones=Milestones(alarm_ms=1, alarm_source="cam", delivered_ms=2)),
            "alarm",
            "waiting",
            "delivered",
        ),
        (replace(WELL, milestones=Milestones(alarm_ms=1, alarm_source="cam")), "alarm", "wrong", "not_delivered"),
    ],
)
def test_a_line_that_is_not_green_has_its_reason_and_a_sentence_of_its_own(
    facts: Facts, item: str, state: str, reason: str
) -> None:
    line = found(facts, item)
    assert (line.state, line.reason) == (state, reason)
    for language in Language:
        assert line.sentence(language)


def test_what_is_not_configured_is_said_and_counts_as_nothing() -> None:
    bare = Facts(cameras=[], meters=[], health=[], records=False)
    states = {line.item: line.state for line in judge(bare)}
    assert {item for item, state in states.items() if state == "none"} == {"picture", "meter", "contact", "siren"}


def test_a_reason_without_a_sentence_falls_back_to_one_that_names_it() -> None:
    line = found(with_part(part("meter", "meter", "bad_checksum", ok=False)), "meter")
    assert "bad_checksum" in line.sentence(Language.ZH)


def test_milestones_outlive_the_program_and_come_from_the_watchers_alarms(tmp_path: Path) -> None:
    clock = ManualClock(wall_ms=5000)
    keeper = MilestoneKeeper(tmp_path, clock)
    keeper.delivered()
    assert keeper.now.delivered_ms is None  # nothing was raised yet
    sink = WitnessedSink(MemorySink(), keeper)
    sink.alarm(plain_draft("a", phase=Phase.END))
    assert keeper.now.alarm_ms is None
    sink.alarm(replace(plain_draft("a", source_id="door"), kind=AlarmKind.INPUT))
    keeper.delivered()
    command = Command(site_id="s", node_id="n", command_id="c", name="answered", issued_at_ms=1, expires_at_ms=9)
    assert keeper.answered(command).ok
    keeper.night("cam", 77, b"\xff\xd8")
    again = MilestoneKeeper(tmp_path, clock).now
    assert again == keeper.now
    assert again.answered_ms == 5000
    assert (again.alarm_source, again.delivered_ms, dict(again.night_ms)) == ("door", 5000, {"cam": 77})
    assert set(again.inputs_ms) == {"door"}
    (tmp_path / "milestones.json").write_bytes(b"{")
    assert MilestoneKeeper(tmp_path, clock).now == Milestones()


def test_a_siren_that_sounded_once_stays_tested_after_a_restart(tmp_path: Path) -> None:
    with served(tmp_path) as page:

        def siren() -> str:
            page.desk.look_around()
            return next(line.reason for line in page.desk.checklist() if line.item == "siren")

        page.health.append(part("horn", "output", "off", activations=0))
        assert siren() == "not_tested"
        page.health[-1] = part("horn", "output", "off", activations=1)
        assert siren() == "tested"
        page.health[-1] = part("horn", "output", "off", activations=0)
        assert siren() == "tested"


@pytest.mark.parametrize(("hour_utc", "night"), [(11, False), (12, True), (20, True), (21, False), (4, False)])
def test_night_is_meant_by_the_clock_of_the_mines(hour_utc: int, night: bool) -> None:
    assert is_night(hour_utc * 3_600_000) is night
