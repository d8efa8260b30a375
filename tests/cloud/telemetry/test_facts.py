"""What the service tells about itself: each row of its tables as points of the catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sealwatch.cloud.db.tables import Incident, IncidentEvent, Page
from sealwatch.cloud.telemetry import facts
from sealwatch.cloud.telemetry.catalogue import BY_NAME, CATALOGUE, table
from sealwatch.cloud.telemetry.columns import Columns
from sealwatch.contract.codes import ClockQuality, Level, Phase
from sealwatch.contract.messages import Alarm, Origin, PartHealth, Status

T0 = 1_700_000_000_000
BOOT = "0" * 32


def flat(blocks: list[Columns]) -> dict[tuple[str, str, int], float | None]:
    """(source, metric, time) -> value; every name must be in the catalogue."""
    found = {}
    for block in blocks:
        for metric, column in block.values.items():
            assert metric in BY_NAME
            for at_ms, value in zip(block.at_ms, column, strict=True):
                found[block.source_id, metric, at_ms] = value
    return found


def event(kind: str, **detail: Any) -> tuple[Incident, IncidentEvent]:
    incident = Incident(incident_id="i1", site_id="s1", level="orange")
    return incident, IncidentEvent(incident_id="i1", at_ms=T0, kind=kind, detail=detail)


def test_an_incident_opens_rises_and_closes() -> None:
    assert flat(facts.of_incident(*event("opened"))) == {
        ("incident", "incident_opened_count", T0): 1.0,
        ("incident", "incident_open_level", T0): 3.0,
    }
    assert flat(facts.of_incident(*event("level_raised", to="red"))) == {("incident", "incident_open_level", T0): 4.0}
    assert flat(facts.of_incident(*event("closed"))) == {
        ("incident", "incident_closed_count", T0): 1.0,
        ("incident", "incident_open_level", T0): 0.0,
    }
    assert facts.of_incident(*event("page_submitted")) == []


def test_a_page_tells_its_attempt_and_the_time_to_the_answer() -> None:
    page = Page(person_id="wang", state="answered", due_at_ms=T0, submitted_at_ms=T0, answered_at_ms=T0 + 90_500)
    assert flat(facts.of_page("s1", page)) == {
        ("wang", "page_attempt_count", T0): 1.0,
        ("wang", "page_answer_time_s", T0 + 90_500): 90.5,
    }
    failed = Page(person_id="li", state="failed", due_at_ms=T0, submitted_at_ms=None, answered_at_ms=None)
    assert flat(facts.of_page("s1", failed)) == {("li", "page_failed_count", T0): 1.0}


def origin(seq: int, at_ms: int) -> Origin:
    return Origin(
        site_id="s1",
        node_id="n1",
        boot_id=BOOT,
        seq=seq,
        captured_at_ms=at_ms,
        enqueued_at_ms=at_ms,
        clock_quality=ClockQuality.SYNCHRONISED,
    )


def alarm(at_ms: int = T0, **changes: Any) -> Alarm:
    values: dict[str, Any] = {
        "origin": origin(1, at_ms),
        "alarm_id": "a1",
        "level": Level.YELLOW,
        "score": 1.0,
        "sentence_zh": "",
        "sentence_en": "",
        "source_id": "cam-1",
        "kind": "camera_fault",
        "phase": Phase.START,
        "reason": "covered_for_long",
        "started_at_ms": T0,
    }
    return Alarm(**(values | changes))


def test_a_covered_camera_shows_its_code_until_it_is_free_again() -> None:
    told = flat(facts.of_alarm(alarm(T0 + 60_000, phase=Phase.END)))
    assert told["cam-1", "camera_fault_code", T0] == 1.0
    assert told["cam-1", "camera_fault_code", T0 + 60_000] == 0.0
    assert told["cam-1", "alarm_end_count", T0 + 60_000] == 1.0


@pytest.mark.parametrize(
    ("reason", "code"), [("signal_lost", 7.0), ("frozen_picture", 6.0), ("something_new", 10.0), ("moved", 2.0)]
)
def test_the_reason_of_a_camera_fault_is_a_code(reason: str, code: float) -> None:
    assert facts.fault_code(reason, {}) == code
    assert facts.fault_code(reason, {"fault_code": 9.0}) == 9.0


def test_a_recognised_load_tells_its_size() -> None:
    told = flat(facts.of_alarm(alarm(kind="power_step", source_id="meter-1", numbers={"step_w": 7500.0})))
    assert told == {
        ("meter-1", "alarm_start_count", T0): 1.0,
        ("meter-1", "load_event_count", T0): 1.0,
        ("meter-1", "load_step_w", T0): 7500.0,
    }


def test_a_node_tells_its_parts_and_only_figures_of_the_catalogue() -> None:
    disk = PartHealth(part_id="disk", kind="disk", ok=True, reason="room", numbers={"disk_free_ratio": 0.4, "odd": 1.0})
    status = Status(
        site_id="s1",
        node_id="n1",
        boot_id=BOOT,
        state="online",
        reported_at_ms=T0,
        agent_version="1",
        outbox_depth=3,
        parts=[disk],
    )
    assert flat(facts.of_status(status)) == {
        ("n1", "node_online", T0): 1.0,
        ("n1", "outbox_depth_count", T0): 3.0,
        ("disk", "part_ok", T0): 1.0,
        ("disk", "disk_free_ratio", T0): 0.4,
    }


def test_ingest_lag_is_the_worst_of_each_node_and_second() -> None:
    [block] = facts.of_ingest([(origin(1, T0 - 100), T0), (origin(2, T0 - 900), T0 + 10), (origin(3, T0), T0 + 1500)])
    assert list(block.at_ms) == [T0, T0 + 1000]
    assert list(block.values["ingest_lag_ms"]) == [910.0, 1500.0]


def test_names_are_unique_and_carry_their_unit() -> None:
    assert len(BY_NAME) == len(CATALOGUE)
    tails = {"W": "_w", "var": "_var", "V": "_v", "A": "_a", "Hz": "_hz", "Wh": "_wh", "s": "_s", "ms": "_ms",
             "d": "days", "°C": "_c", "dBm": "_dbm", "B": "_bytes", "level": "_level", "code": "_code"}  # fmt: skip
    for metric in CATALOGUE:
        if metric.unit in tails:
            assert tails[metric.unit] in metric.name, metric.name


def test_the_table_in_the_documentation_is_the_catalogue() -> None:
    document = (Path(__file__).parents[3] / "docs" / "telemetry.md").read_text(encoding="utf-8")
    assert table() in document
