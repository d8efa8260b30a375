"""What people do with an incident, once, twice and at the same time."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import select

from sealwatch.cloud.db.engine import Database
from sealwatch.cloud.db.tables import Incident, IncidentEvent, Page, Site
from sealwatch.cloud.incidents import service
from sealwatch.contract.codes import Closure

NOW_MS = 1_700_000_000_000


@pytest.fixture
def paged(database: Database) -> Database:
    """Incident i1: Wang was paged and has not answered, Li is due in a minute, then Wang again."""
    with database.write() as session:
        session.add(Site(site_id="s1", name_zh="井", name_en="pit", declared_status="power_cut"))
        session.flush()
        session.add(an_incident("i1"))
        session.flush()
        session.add_all([a_page(0, "wang", "submitted"), a_page(1, "li", "due"), a_page(2, "wang", "due")])
    return database


def an_incident(incident_id: str, **changes: Any) -> Incident:
    values: dict[str, Any] = {
        "site_id": "s1",
        "level": "orange",
        "state": "notified",
        "verdict": "person",
        "reason": "person",
        "opened_at_ms": NOW_MS,
        "updated_at_ms": NOW_MS,
        "ladder": {"steps": [], "repeat_after_s": 300},
    }
    return Incident(incident_id=incident_id, **(values | changes))


def a_page(step: int, person_id: str, state: str) -> Page:
    return Page(
        page_id=f"p{step}",
        incident_id="i1",
        cycle=1,
        step=step,
        occasion="opened",
        person_id=person_id,
        channel="webhook",
        state=state,
        due_at_ms=NOW_MS + step * 60_000,
    )


def answer(database: Database, actor: str, at_ms: int = NOW_MS + 1000) -> service.AnswerOutcome:
    with database.write() as session:
        return service.acknowledge(session, incident_id="i1", actor=actor, reason="link", now_ms=at_ms)


def pages(database: Database) -> list[tuple[str, str]]:
    with database.read() as session:
        return [(p.person_id, p.state) for p in session.scalars(select(Page).order_by(Page.step))]


def lines(database: Database) -> list[tuple[str, str, str]]:
    with database.read() as session:
        return [(e.kind, e.actor, e.reason) for e in session.scalars(select(IncidentEvent).order_by(IncidentEvent.id))]


def test_an_answer_stops_the_ladder_and_names_who_has_it(paged: Database) -> None:
    outcome = answer(paged, "person:wang")
    assert (outcome.name, outcome.changed, outcome.by) == ("acknowledged", True, "person:wang")
    assert pages(paged) == [("wang", "answered"), ("li", "cancelled"), ("wang", "cancelled")]
    assert lines(paged) == [("acknowledged", "person:wang", "link")]
    with paged.read() as session:
        incident = session.get_one(Incident, "i1")
        assert (incident.state, incident.acknowledged_by) == ("acknowledged", "person:wang")
        assert incident.acknowledged_at_ms == NOW_MS + 1000


def test_the_same_person_again_changes_nothing(paged: Database) -> None:
    answer(paged, "person:wang")
    again = answer(paged, "person:wang", NOW_MS + 9000)
    assert (again.name, again.changed, again.at_ms) == ("acknowledged", False, NOW_MS + 1000)
    assert len(lines(paged)) == 1


def test_a_second_person_learns_who_has_it(paged: Database) -> None:
    answer(paged, "person:wang")
    outcome = answer(paged, "person:li")
    assert (outcome.name, outcome.changed, outcome.by) == ("already_acknowledged_by", False, "person:wang")


def test_of_many_who_answer_at_once_one_has_it(paged: Database) -> None:
    outcomes: list[service.AnswerOutcome] = []
    threads = [threading.Thread(target=lambda n=n: outcomes.append(answer(paged, f"person:p{n}"))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(o.changed for o in outcomes) == 1
    assert len({o.by for o in outcomes}) == 1
    assert len(lines(paged)) == 1


def test_an_unknown_incident_is_named_so(paged: Database) -> None:
    with paged.write() as session:
        arguments: dict[str, Any] = {"incident_id": "nope", "actor": "desk", "now_ms": NOW_MS}
        assert service.acknowledge(session, reason="desk", **arguments).name == "unknown_incident"
        assert service.pass_on(session, reason="busy", **arguments).name == "unknown_incident"
        assert service.close(session, closure=Closure.PASSER_BY, **arguments).name == "unknown_incident"
        assert service.reopen(session, **arguments).name == "unknown_incident"


def test_passing_on_brings_the_next_person_forward_at_once(paged: Database) -> None:
    with paged.write() as session:
        outcome = service.pass_on(session, incident_id="i1", actor="person:wang", reason="cannot", now_ms=NOW_MS + 5000)
    assert (outcome.name, outcome.to_person_id) == ("passed_on", "li")
    assert pages(paged) == [("wang", "submitted"), ("li", "due"), ("wang", "cancelled")]
    with paged.read() as session:
        assert session.get_one(Page, "p1").due_at_ms == NOW_MS + 5000
        assert session.get_one(Incident, "i1").state == "notified"


def test_passing_on_twice_pages_one_person(paged: Database) -> None:
    for _ in range(2):
        with paged.write() as session:
            outcome = service.pass_on(session, incident_id="i1", actor="person:wang", reason="cannot", now_ms=NOW_MS)
            assert outcome.name == "passed_on"
    assert [kind for kind, _, _ in lines(paged)] == ["passed_on"]


def test_passing_on_as_the_last_one_is_said(paged: Database) -> None:
    for actor in ("person:wang", "person:li"):
        with paged.write() as session:
            outcome = service.pass_on(session, incident_id="i1", actor=actor, reason="cannot", now_ms=NOW_MS)
    assert outcome.name == "nobody_left"


def test_after_an_answer_nothing_is_passed_on(paged: Database) -> None:
    answer(paged, "person:li")
    with paged.write() as session:
        outcome = service.pass_on(session, incident_id="i1", actor="person:wang", reason="cannot", now_ms=NOW_MS)
    assert (outcome.name, outcome.by) == ("already_acknowledged_by", "person:li")


def test_a_closed_incident_takes_no_answer_until_it_is_reopened(paged: Database) -> None:
    arguments: dict[str, Any] = {"incident_id": "i1", "actor": "desk", "now_ms": NOW_MS + 2000}
    with paged.write() as session:
        assert service.close(session, closure=Closure.FALSE_ALARM, note="a dog", **arguments).changed
        assert service.close(session, closure=Closure.FALSE_ALARM, **arguments).name == "already_closed"
    assert answer(paged, "person:wang").name == "closed"
    assert pages(paged)[1:] == [("li", "cancelled"), ("wang", "cancelled")]
    with paged.write() as session:
        assert service.reopen(session, **arguments).name == "reopened"
        assert service.reopen(session, **arguments).name == "not_closed"
    assert answer(paged, "person:wang").changed
    assert [kind for kind, _, _ in lines(paged)] == ["closed", "reopened", "nobody_to_page", "acknowledged"]


def test_reopening_yields_to_the_sites_newer_incident(paged: Database) -> None:
    arguments: dict[str, Any] = {"incident_id": "i1", "actor": "desk", "now_ms": NOW_MS}
    with paged.write() as session:
        service.close(session, closure=Closure.PASSER_BY, **arguments)
        session.flush()
        session.add(an_incident("i2"))
    with paged.write() as session:
        assert service.reopen(session, **arguments).name == "another_is_open"
