"""A node hears that a person has answered: once, and only of its own alarms."""

from __future__ import annotations

from sqlalchemy import select

from sealwatch.cloud.db.engine import Database
from sealwatch.cloud.db.tables import AlarmRecord, Downlink, Node, Site
from sealwatch.cloud.incidents import service, told
from sealwatch.contract import wire
from sealwatch.contract.messages import Command
from tests.cloud.incidents.test_service import NOW_MS, an_incident

WEEK_MS = round(told.VALID_S * 1000)


def an_alarm(node_id: str, incident_id: str) -> AlarmRecord:
    return AlarmRecord(
        node_id=node_id, alarm_id=f"{node_id}-{incident_id}", site_id="s1", incident_id=incident_id, kind="person",
        level="orange", source_id="cam", zone="", phase="start", boot_id="b", seq=1, score=1.0, reason="person",
        numbers={}, sentence_zh="人", sentence_en="person", started_at_ms=NOW_MS, captured_at_ms=NOW_MS,
    )  # fmt: skip


def commands(database: Database) -> list[tuple[str, str]]:
    with database.write() as session:
        rows = session.scalars(select(Downlink).order_by(Downlink.id)).all()
        return [(row.node_id, wire.decode(Command, row.body).name) for row in rows]


def answer(database: Database, incident_id: str, at_ms: int, actor: str = "person:wang") -> None:
    with database.write() as session:
        service.acknowledge(session, incident_id=incident_id, actor=actor, reason="link", now_ms=at_ms)


def test_the_nodes_of_an_answered_incident_are_told_once_a_week_and_no_others(database: Database) -> None:
    with database.write() as session:
        for site_id in ("s1", "s2", "s3"):
            session.add(Site(site_id=site_id, name_zh="井", name_en="pit", declared_status="power_cut"))
        session.flush()
        session.add_all([Node(node_id=node_id, site_id="s1", public_key="k") for node_id in ("n1", "n2", "n3")])
        session.add_all([an_incident(f"i{n}", site_id=f"s{n}") for n in (1, 2, 3)])
        session.flush()
        session.add_all([an_alarm("n1", "i1"), an_alarm("n2", "i1"), an_alarm("gone", "i1")])
        session.add_all([an_alarm("n1", "i2"), an_alarm("n1", "i3")])
    answer(database, "i1", NOW_MS)
    answer(database, "i1", NOW_MS + 1, actor="person:li")  # too late: nothing changes
    assert commands(database) == [("n1", "answered"), ("n2", "answered")]
    answer(database, "i2", NOW_MS + 1000)
    assert len(commands(database)) == 2
    answer(database, "i3", NOW_MS + WEEK_MS + 1)
    assert commands(database)[2:] == [("n1", "answered")]
