"""Who is silent, and how bad that is: the table, case by case."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sealwatch.cloud.watch.silent import OVERDUE_S, NodeSeen, grade_of, look
from sealwatch.contract.codes import DeclaredStatus

NOW = 1_700_000_000_000
MINUTE = 60_000
NODE = NodeSeen(
    node_id="n1", site_id="s1", declared=DeclaredStatus.GUARD_HUT_ONLY, mobile=True, offline=False, heard_ms=NOW
)


@pytest.mark.parametrize(
    ("minutes", "declared", "mobile", "grade"),
    [
        (4.9, DeclaredStatus.POWER_CUT, True, None),
        (5, DeclaredStatus.POWER_CUT, True, "noted"),
        (19.9, DeclaredStatus.POWER_CUT, True, "noted"),
        (20, DeclaredStatus.POWER_CUT, True, "yellow"),
        (60, DeclaredStatus.FLOODED, True, "orange"),
        (29.9, DeclaredStatus.GUARD_HUT_ONLY, True, "noted"),
        (30, DeclaredStatus.DRAINAGE_ONLY, True, "yellow"),
        (119, DeclaredStatus.GUARD_HUT_ONLY, True, "yellow"),
        (120, DeclaredStatus.GUARD_HUT_ONLY, True, "orange"),
        (59, DeclaredStatus.PERMITTED_WORK, True, "noted"),
        (239, DeclaredStatus.PERMITTED_WORK, True, "yellow"),
        (5, DeclaredStatus.GUARD_HUT_ONLY, False, "noted"),
        (15, DeclaredStatus.GUARD_HUT_ONLY, False, "yellow"),
        (30, DeclaredStatus.POWER_CUT, False, "orange"),
        (100_000, DeclaredStatus.POWER_CUT, True, "orange"),
    ],
)
def test_grades_by_time_declaration_and_link(
    minutes: float, declared: DeclaredStatus, mobile: bool, grade: str | None
) -> None:
    found = grade_of(minutes, declared, mobile=mobile)
    assert (None if found is None else "noted" if found.noted else str(found.level)) == grade


def silent(node: NodeSeen, listening_ms: int = 0) -> list[tuple[str, str]]:
    return [(one.kind, one.source_id) for one in look([node], now_ms=NOW, listening_ms=listening_ms)]


def test_a_node_that_speaks_is_not_silent() -> None:
    assert silent(replace(NODE, heard_ms=NOW - 6 * MINUTE)) == []


def test_a_node_that_the_broker_calls_gone_is_silent_at_once_and_an_overdue_one_after_two_words() -> None:
    assert silent(replace(NODE, heard_ms=NOW - 6 * MINUTE, offline=True)) == [("node_silent", "n1")]
    assert silent(replace(NODE, heard_ms=NOW - round(OVERDUE_S * 1000) - 1)) == [("node_silent", "n1")]


def test_a_node_that_has_never_spoken_is_not_silent() -> None:
    assert silent(replace(NODE, heard_ms=None, offline=True)) == []


def test_after_a_start_of_the_service_nodes_get_time_to_speak() -> None:
    old = replace(NODE, heard_ms=NOW - 600 * MINUTE)
    assert silent(old, listening_ms=NOW - 5 * MINUTE) == []
    assert silent(old, listening_ms=NOW - 12 * MINUTE) == [("node_silent", "n1")]
    assert silent(replace(old, offline=True), listening_ms=NOW - 1) == [("node_silent", "n1")]


def part(kind: str, age_ms: int | None) -> dict[str, Any]:
    return {"part_id": f"{kind}-1", "kind": kind, "evidence_at_ms": None if age_ms is None else NOW - age_ms}


@pytest.mark.parametrize(
    ("one", "found"),
    [
        (part("camera", 14 * MINUTE), []),
        (part("camera", 16 * MINUTE), [("source_silent", "camera-1")]),
        (part("meter", 16 * MINUTE), [("source_silent", "meter-1")]),
        (part("meter", None), []),
        (part("output", 600 * MINUTE), []),
    ],
)
def test_cameras_and_meters_of_a_node_that_lives(one: dict[str, Any], found: list[tuple[str, str]]) -> None:
    status = {"reported_at_ms": NOW, "parts": [one]}
    assert silent(replace(NODE, status=status)) == found


def test_the_sources_of_a_silent_node_are_not_told_of_as_well() -> None:
    status = {"reported_at_ms": NOW, "parts": [part("camera", 600 * MINUTE)]}
    gone = replace(NODE, status=status, heard_ms=NOW - 6 * MINUTE, offline=True)
    assert silent(gone) == [("node_silent", "n1")]
