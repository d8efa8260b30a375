"""The story tells each thing once, when it happens."""

from __future__ import annotations

from typing import Any

from sealwatch.demo import story


def an_incident(**changes: Any) -> story.Incident:
    incident: story.Incident = {
        "incident_id": "i1",
        "level": "orange",
        "sentence_zh": "井口发现人员",
        "sentence_en": "A person at the shaft",
        "acknowledged_at_ms": None,
        "acknowledged_name": None,
        "alarms": [],
        "pages": [],
    }
    return incident | changes


def an_alarm(**changes: Any) -> dict[str, Any]:
    alarm = {"alarm_id": "a1", "level": "orange", "phase": "start", "sentence_zh": "甲", "sentence_en": "A"}
    return alarm | changes


def a_page(state: str, submitted_at_ms: int | None = None) -> dict[str, Any]:
    return {
        "page_id": "p1",
        "name": "王组长",
        "channel": "webhook",
        "state": state,
        "submitted_at_ms": submitted_at_ms,
    }


def test_a_new_incident_tells_its_alarms_and_then_itself() -> None:
    lines = story.between(None, an_incident(alarms=[an_alarm()]))
    assert [line.en for line in lines] == ["[Orange] A", "incident opened (Orange): A person at the shaft"]
    assert lines[0].zh == "【橙】甲"


def test_nothing_new_tells_nothing() -> None:
    incident = an_incident(alarms=[an_alarm()], pages=[a_page("submitted", 5)])
    assert story.between(incident, incident) == []


def test_a_raised_level_is_told() -> None:
    before, after = an_incident(), an_incident(level="red")
    assert [line.tone for line in story.between(before, after)] == ["red"]


def test_a_page_is_told_once_when_it_was_submitted_even_if_the_look_in_between_was_missed() -> None:
    before = an_incident(pages=[a_page("due")])
    for state in ("submitted", "answered"):
        (line,) = story.between(before, an_incident(pages=[a_page(state, 7)]))
        assert "王组长" in line.zh
    assert story.between(an_incident(pages=[a_page("submitted", 7)]), an_incident(pages=[a_page("answered", 7)])) == []


def test_a_failed_page_is_told() -> None:
    (line,) = story.between(an_incident(pages=[a_page("sending")]), an_incident(pages=[a_page("failed")]))
    assert line.tone == "bad"


def test_an_answer_names_the_person_or_the_desk() -> None:
    by_name = an_incident(acknowledged_at_ms=9, acknowledged_name="李科长")
    by_desk = an_incident(acknowledged_at_ms=9)
    assert "李科长" in story.between(an_incident(), by_name)[0].zh
    assert "值班台" in story.between(an_incident(), by_desk)[0].zh


def test_the_end_of_an_alarm_is_told() -> None:
    before = an_incident(alarms=[an_alarm()])
    after = an_incident(alarms=[an_alarm(phase="end")])
    assert [line.en for line in story.between(before, after)] == ["alarm ended: A"]
