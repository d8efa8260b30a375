"""Disarming: who may, for how long, what is said meanwhile, and that nobody is silenced by it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from sealwatch.base.clock import ManualClock
from sealwatch.contract.codes import DeclaredStatus, Level, Phase
from sealwatch.contract.messages import Command, PartHealth, Permit
from sealwatch.edge import housekeeping
from sealwatch.edge.arming import ArmedSink, Arming
from sealwatch.edge.declared import FixedDeclared
from sealwatch.edge.ports import AlarmDraft, MemorySink
from tests.edge.scripted_agent import plain_draft

NOW_MS = ManualClock().wall_ms()
HOUR_MS = 3_600_000
PERMIT = Permit(permit_id="p1", from_ms=NOW_MS - HOUR_MS, to_ms=NOW_MS + HOUR_MS)
TWO = {"reason": "pump", "minutes": "30", "first": "wang", "second": "li"}


def command(name: str = "disarm", **arguments: str) -> Command:
    return Command(
        site_id="s1",
        node_id="n1",
        command_id="c1",
        name=name,
        arguments=arguments,
        issued_at_ms=NOW_MS,
        expires_at_ms=NOW_MS + HOUR_MS,
    )


class Node:
    """A node that may be started again in the same folder."""

    def __init__(self, folder: Path, *permits: Permit, clock: ManualClock | None = None) -> None:
        self.clock = clock or ManualClock()
        self.said = MemorySink()
        self.arming = Arming(folder, self.said, self.clock, FixedDeclared(DeclaredStatus.POWER_CUT, permits))
        self.sink = ArmedSink(self.said, self.arming)
        self.arming.start()

    def disarm(self, **changes: str) -> str:
        return self.arming.disarm(command(**(TWO | changes))).reason

    def see(self, alarm_id: str, phase: Phase = Phase.START, **changes: Any) -> None:
        self.sink.alarm(dataclasses.replace(plain_draft(alarm_id, phase=phase), **changes))

    def heard(self) -> list[tuple[str, str, str]]:
        return [_short(draft) for draft in self.said.alarms]


def _short(draft: AlarmDraft) -> tuple[str, str, str]:
    return str(draft.kind), str(draft.phase), str(draft.level)


DISARMED = ("disarmed", "start", "yellow")
ARMED = ("disarmed", "end", "yellow")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, "disarmed"),
        ({"reason": " "}, "no_reason"),
        ({"minutes": "0"}, "bad_minutes"),
        ({"minutes": "1441"}, "bad_minutes"),
        ({"minutes": "soon"}, "bad_minutes"),
        ({"second": ""}, "two_persons_wanted"),
        ({"second": "Wang"}, "two_persons_wanted"),
        ({"first": "", "second": "", "permit": "p1"}, "disarmed"),
        ({"permit": "p2"}, "no_open_permit"),
        ({"permit": "p1", "minutes": "90"}, "no_open_permit"),
    ],
)
def test_it_wants_a_reason_an_end_and_two_persons_or_an_open_permit(
    tmp_path: Path, changes: dict[str, str], reason: str
) -> None:
    node = Node(tmp_path, PERMIT)
    assert node.disarm(**changes) == reason
    assert node.heard() == ([DISARMED] if reason == "disarmed" else [])


def test_a_permit_does_not_hold_outside_its_hours(tmp_path: Path) -> None:
    hour = (NOW_MS // HOUR_MS + 8) % 24
    closed = Permit(permit_id="p1", from_ms=0, to_ms=NOW_MS * 2, from_hour=(hour + 2) % 24, to_hour=(hour + 4) % 24)
    assert Node(tmp_path, closed).disarm(permit="p1") == "no_open_permit"


def test_the_time_counts_from_when_it_was_asked_for(tmp_path: Path) -> None:
    clock = ManualClock()
    clock.advance(31 * 60)
    assert Node(tmp_path, clock=clock).disarm() == "bad_minutes"


def test_what_is_seen_meanwhile_is_kept_and_blue_and_faults_speak_as_ever(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.see("before")
    node.disarm()
    node.see("a")
    node.see("f", kind="camera_fault")
    node.see("a", Phase.END)
    node.see("before", Phase.END)
    assert node.heard() == [
        ("person", "start", "orange"),
        DISARMED,
        ("while_disarmed", "start", "blue"),
        ("camera_fault", "start", "orange"),
        ("while_disarmed", "end", "blue"),
        ("person", "end", "orange"),
    ]
    assert node.said.alarms[2].snapshot_jpeg is not None


def test_what_still_stands_at_the_end_is_raised_as_what_it_is(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.disarm()
    node.see("a")
    node.clock.advance(30 * 60)
    node.arming.tick()
    node.see("a", Phase.END)
    assert node.heard()[2:] == [
        ARMED,
        ("while_disarmed", "end", "blue"),
        ("person", "start", "orange"),
        ("person", "end", "orange"),
    ]
    assert [draft.alarm_id for draft in node.said.alarms[-2:]] == ["a-armed", "a-armed"]


def test_arming_ends_it_at_once_and_once(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.disarm()
    assert node.disarm() == "already_disarmed"
    assert [node.arming.arm(command("arm")).reason for _ in range(2)] == ["armed", "already_armed"]
    assert node.heard() == [DISARMED, ARMED]
    assert Node(tmp_path).arming.disarmed is None


def test_it_outlives_a_restart_but_not_its_end(tmp_path: Path) -> None:
    first = Node(tmp_path)
    first.disarm()
    again = Node(tmp_path, clock=first.clock)
    assert again.heard() == [DISARMED]
    first.clock.advance(30 * 60)
    assert Node(tmp_path, clock=first.clock).heard() == []


def test_a_clock_that_goes_back_does_not_prolong_it(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.disarm()
    node.clock.jump_wall(-86_400)
    node.clock.advance(31 * 60)
    node.arming.tick()
    assert node.arming.disarmed is None
    node.disarm()
    node.clock.jump_wall(-10 * 365 * 86_400)
    late = Node(tmp_path, clock=node.clock)
    node.clock.advance(31 * 60 + 86_400)
    late.arming.tick()
    assert late.arming.disarmed is None


def test_a_disk_that_refuses_leaves_the_node_armed(tmp_path: Path) -> None:
    node = Node(tmp_path / "gone")
    assert node.disarm() == "not_kept"
    assert node.arming.disarmed is None
    assert Level.YELLOW not in {draft.level for draft in node.said.alarms}


def test_the_self_test_names_what_is_not_well() -> None:
    well = PartHealth(part_id="cam-1", kind="camera", ok=True, reason="pictures_change")
    ill = PartHealth(part_id="m-1", kind="meter", ok=False, reason="silent")
    assert housekeeping.self_test([well]).reason == "well"
    answer = housekeeping.self_test([well, ill])
    assert (answer.ok, answer.reason, answer.detail) == (False, "ailing", "m-1: silent")


def test_a_reboot_that_the_system_does_not_permit_is_answered_with_its_words() -> None:
    asked: list[list[str]] = []

    def refuses(program: Any) -> str:
        asked.append(list(program))
        return "Interactive authentication required."

    def run(answer: Any) -> str:
        made = housekeeping.commands(health=list, restart=lambda: None, run=answer)
        return made["reboot"](command("reboot")).reason

    assert (run(refuses), run(lambda _program: "")) == ("not_permitted", "rebooting")
    assert asked == [["systemctl", "reboot"]]
