"""A small county with a past: measurements for every metric of the catalogue, incidents, pages; and one beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from sqlalchemy.orm import Session

from sealwatch.cloud.db.duty_tables import WorkPermit
from sealwatch.cloud.db.tables import AlarmRecord, Incident, IncidentEvent, Node, Page, Person, Site
from sealwatch.cloud.telemetry.catalogue import CATALOGUE
from sealwatch.cloud.telemetry.columns import Columns
from sealwatch.cloud.telemetry.reading import DAY_MS, HOUR_MS

COUNTY, OTHER = "210423", "210422"
SITES: Final = ("s1", "s2", "s3")
MINUTES: Final = 5
_NODES: Final = {"outbox_depth_count", "node_online", "ingest_lag_ms", "clock_offset_ms"}


def raw_points(now_ms: int) -> Iterator[Columns]:
    """A day of every metric at the first site, and of power at the others; every five minutes."""
    at_ms = [now_ms - i * MINUTES * 60_000 for i in range(24 * 60 // MINUTES)][::-1]
    for metric in CATALOGUE:
        column = [10.0 + math.sin(i / 10) for i in range(len(at_ms))]
        if metric.unit in {"1", "code", "level"}:
            column = [float(i % 2) for i in range(len(at_ms))]
        yield Columns(
            site_id="s1",
            node_id="n1",
            source_id="n1" if metric.name in _NODES else metric.source.replace(" ", "-"),
            at_ms=at_ms,
            values={metric.name: column},
        )
    for k, site_id in enumerate(SITES[1:], start=1):
        power = [1000.0 * k] * len(at_ms)
        yield Columns(
            site_id=site_id, node_id=f"n{site_id}", source_id="meter", at_ms=at_ms, values={"active_power_w": power}
        )


def rolled_points(now_ms: int, step_ms: int) -> Iterator[Columns]:
    """A year of power of every site, a value each step."""
    at_ms = [now_ms // HOUR_MS * HOUR_MS - i * step_ms for i in range(365 * DAY_MS // step_ms)][::-1]
    for k, site_id in enumerate(SITES, start=1):
        values = {f"{kind}_active_power_w": [100.0 * k] * len(at_ms) for kind in ("min", "max", "mean")}
        yield Columns(site_id=site_id, node_id="n1", source_id="meter", at_ms=at_ms, values=values)


def fill(session: Session, now_ms: int) -> None:
    """Two counties; the first with everything that a panel shows, the second with as much to be hidden."""
    for person_id, level in (("wang", 5), ("li", 3), ("zhao", 1)):
        session.add(Person(person_id=person_id, name=f"姓{person_id}", level=level, telephone="13800000000"))
    for county, sites in ((COUNTY, SITES), (OTHER, ("x1", "x2", "x3"))):
        for i, site_id in enumerate(sites):
            session.add(
                Site(
                    site_id=site_id,
                    name_zh=f"{site_id}号井",
                    name_en=f"Pit {site_id}",
                    county_code=county,
                    latitude_deg=42.1 + i / 100,
                    longitude_deg=124.9 + i / 100,
                    declared_status="power_cut",
                )
            )
        session.flush()
        for i, site_id in enumerate(sites):
            state = "online" if i else "offline"
            session.add(
                Node(node_id=f"node-{site_id}", site_id=site_id, public_key="", state=state, state_at_ms=now_ms)
            )
            _case(session, site_id, now_ms, opened_ms=now_ms - 2 * DAY_MS, closed=False)
            _case(session, site_id, now_ms, opened_ms=now_ms - 60_000, closed=True)
            _pages(session, site_id, now_ms)
            _check_ins(session, site_id, now_ms, 42.1 + i / 100)
            _permit(session, site_id, "repair", now_ms - DAY_MS, now_ms + DAY_MS)
            _permit(session, site_id, "long ago", now_ms - 90 * DAY_MS, now_ms - 80 * DAY_MS)


def _permit(session: Session, site_id: str, purpose: str, from_ms: int, to_ms: int) -> None:
    session.add(
        WorkPermit(
            permit_id=f"{site_id}-{purpose}",
            site_id=site_id,
            from_ms=from_ms,
            to_ms=to_ms,
            from_hour=0,
            to_hour=24,
            max_power_w=5500.0,
            max_people=4,
            equipment=[],
            purpose=purpose,
            measures="",
            responsible="",
            telephone="13800000000",
            documents=[],
            author="desk",
            created_at_ms=from_ms,
        )
    )


def _case(session: Session, site_id: str, now_ms: int, *, opened_ms: int, closed: bool) -> None:
    incident_id = f"{site_id}-{'closed' if closed else 'open'}"
    closure = (0 if site_id == "s3" else 1) if closed else None
    session.add(
        Incident(
            incident_id=incident_id,
            site_id=site_id,
            level="red" if closed else "orange",
            state="closed" if closed else "notified",
            verdict="person",
            reason="person",
            opened_at_ms=opened_ms,
            updated_at_ms=opened_ms,
            acknowledged_at_ms=opened_ms + 30_000 if closed else None,
            closed_at_ms=now_ms if closed else None,
            closure=closure,
            ladder={},
        )
    )
    session.flush()
    session.add(
        AlarmRecord(
            node_id=f"node-{site_id}",
            alarm_id=f"a-{incident_id}",
            site_id=site_id,
            incident_id=incident_id,
            kind="power_step",
            level="orange",
            source_id="meter",
            zone="",
            phase="start",
            boot_id="0" * 32,
            seq=1,
            score=1.0,
            reason="step_held",
            numbers={},
            sentence_zh="用电突增",
            sentence_en="Power step",
            started_at_ms=now_ms - 60_000,
            captured_at_ms=now_ms - 60_000,
        )
    )


def _check_ins(session: Session, site_id: str, now_ms: int, latitude_deg: float) -> None:
    """Wang stands 111 m north of the closed case's site with two pictures; the desk noted the other's plainly."""
    sent = {"key": "k", "taken_at_ms": now_ms - 20_000, "latitude_deg": latitude_deg + 0.001, "accuracy_m": 8.0}
    sent |= {"longitude_deg": 124.9, "attachments": ["a", "b"], "note": ""}
    for incident, kind, actor, detail in (
        ("closed", "arrived", "person:wang", sent),
        ("open", "arrived", "desk", {"attachments": []}),
        ("open", "checked_in", "desk", {"taken_at_ms": None, "latitude_deg": None, "attachments": []}),
    ):
        row = IncidentEvent(incident_id=f"{site_id}-{incident}", at_ms=now_ms, kind=kind, actor=actor, reason=kind)
        row.detail = detail
        session.add(row)


def _pages(session: Session, site_id: str, now_ms: int) -> None:
    for step, (person_id, state) in enumerate((("wang", "answered"), ("li", "submitted"), ("zhao", "failed"))):
        session.add(
            Page(
                page_id=f"{site_id}-{step}",
                incident_id=f"{site_id}-{'closed' if state == 'answered' else 'open'}",
                cycle=1,
                step=step,
                occasion="opened",
                person_id=person_id,
                channel="webhook",
                state=state,
                due_at_ms=now_ms - 60_000,
                submitted_at_ms=None if state == "failed" else now_ms - 50_000,
                answered_at_ms=now_ms if state == "answered" else None,
                outcome="timeout" if state == "failed" else "",
            )
        )
