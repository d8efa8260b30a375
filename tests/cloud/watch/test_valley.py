"""A valley without power: one incident with all its sites, one page, and nothing hidden. On both databases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwatch.cloud.db.tables import Node, Site
from sealwatch.cloud.incidents import outage
from sealwatch.cloud.paging.ladder import Ladder
from sealwatch.cloud.silences import store
from sealwatch.cloud.silences.store import Wanted
from sealwatch.contract.codes import Level, Phase
from sealwatch.contract.signing import public_key_text
from tests.cloud.world import World, step

VALLEY = 12


@pytest.fixture
def valley(build_world: Callable[..., World]) -> World:
    """Twelve more sites of one township, each with a node; only one person is on the ladder."""
    world = build_world(ladder=Ladder(steps=(step(0, "wang"),), repeat_after_s=86_400))
    with world.database.write() as session:
        for number in range(VALLEY):
            name = f"v{number}"
            key = world.keys[f"node-{name}"] = Ed25519PrivateKey.generate()
            session.add(
                Site(
                    site_id=name,
                    name_zh=f"{number} 号井",
                    name_en=f"Pit {number}",
                    township_zh="清原镇",
                    declared_status="guard_hut_only",
                )
            )
            session.flush()
            session.add(Node(node_id=f"node-{name}", site_id=name, public_key=public_key_text(key.public_key())))
    return world


def power_gone(world: World, number: int, **changes: Any) -> None:
    name = f"v{number}"
    values = {"alarm_id": "gone-1", "reason": "power_gone", "level": Level.ORANGE} | changes
    kind = values.pop("kind", "power_anomaly")
    world.push(world.alarm(kind, f"node-{name}", origin=world.origin(f"node-{name}", site_id=name), **values))


def pages(world: World) -> list[str]:
    return [f"{address}@{at:g}" for at, address in world.pages_sent()]


def test_a_valley_that_loses_power_is_one_incident_and_one_page(valley: World) -> None:
    for number in range(VALLEY):
        power_gone(valley, number)
        valley.until(number * 5 + 1)
    valley.until(150)
    assert len(pages(valley)) == 1
    incident = valley.incident()
    assert (incident.scope, incident.verdict, incident.level) == ("area", "area_outage", "orange")
    assert incident.reason == "power_gone_together"
    with valley.database.read() as session:
        sites = outage.sites_of(session, incident.incident_id)
    assert len(sites) == VALLEY
    assert {alarm.incident_id for alarm in valley.alarms()} == {incident.incident_id}
    (request,) = valley.webhook.requests
    assert "清原镇（" in request.title
    assert "个站点）" in request.title


def test_a_red_one_among_them_pages_on_its_own(valley: World) -> None:
    for number in range(5):
        power_gone(valley, number)
    valley.until(20)
    power_gone(valley, 2, kind="person", alarm_id="person-1", reason="person_in_zone")
    power_gone(valley, 2, kind="hoist_like_cycle", alarm_id="hoist-1", reason="hoist_like")
    valley.until(60)
    levels = sorted((one.scope, one.site_id, one.level) for one in valley.incidents())
    assert levels == [("area", "v0", "orange"), ("site", "v2", "red")]
    assert len(pages(valley)) == 2  # the area's and the red one's


def test_at_a_site_with_its_own_story_a_trouble_belongs_to_that(valley: World) -> None:
    power_gone(valley, 1, kind="person", alarm_id="person-1", reason="person_in_zone")
    for number in range(5):
        power_gone(valley, number)
    valley.until(30)
    found = {(alarm.site_id, alarm.kind): alarm.incident_id for alarm in valley.alarms()}
    own = found["v1", "person"]
    assert found["v1", "power_anomaly"] == own
    assert {found[f"v{number}", "power_anomaly"] for number in (0, 2, 3, 4)} != {own}


def test_one_site_alone_waits_two_minutes_for_others_and_is_paged_then(valley: World) -> None:
    power_gone(valley, 3)
    valley.until(115)
    assert pages(valley) == []
    valley.until(140)
    incident = valley.incident()
    assert (incident.scope, incident.site_id, len(pages(valley))) == ("site", "v3", 1)


def test_a_short_trouble_is_paged_too(valley: World) -> None:
    power_gone(valley, 3)
    valley.until(60)
    power_gone(valley, 3, phase=Phase.END)
    valley.until(140)
    assert (valley.incident().site_id, len(pages(valley))) == ("v3", 1)


def test_a_site_alone_in_its_township_does_not_wait(valley: World) -> None:
    valley.push(valley.alarm("power_anomaly", reason="power_gone"))
    valley.until(1)
    assert len(pages(valley)) == 1


def test_two_sites_are_two_incidents(valley: World) -> None:
    power_gone(valley, 3)
    power_gone(valley, 4)
    valley.until(140)
    assert [one.scope for one in valley.incidents()] == ["site", "site"]


def test_a_late_one_joins_without_a_page_and_every_return_is_told(valley: World) -> None:
    for number in range(4):
        power_gone(valley, number)
    valley.until(20)
    valley.clock.advance(900)
    power_gone(valley, 7)
    valley.until(1080)
    assert len(pages(valley)) == 1
    for number in (0, 1, 2, 3, 7):
        assert "area_back" not in valley.history()
        power_gone(valley, number, phase=Phase.END)
    assert "area_back" in valley.history()
    with valley.database.read() as session:
        sites = outage.sites_of(session, valley.incident().incident_id)
    assert all(one.back_at_ms for one in sites)


def test_a_cell_that_fails_is_one_incident_after_five_minutes_and_gets_orange_once(valley: World) -> None:
    for number in range(VALLEY):
        valley.say(f"node-v{number}", site_id=f"v{number}")
    valley.until(5)
    for number in range(VALLEY):
        valley.say(f"node-v{number}", "offline", site_id=f"v{number}")
    valley.clock.advance(270)
    valley.until(285)
    assert pages(valley) == []
    valley.until(330)
    assert len(pages(valley)) == 1
    incident = valley.incident()
    assert (incident.scope, incident.level, incident.reason) == ("area", "yellow", "silent_together")
    valley.answer(incident_id=incident.incident_id)
    valley.clock.advance(7000)
    valley.until(7360)
    incident = valley.incident()
    assert (incident.level, incident.state, len(pages(valley))) == ("orange", "notified", 2)


def test_after_its_closing_the_next_outage_is_a_new_one(valley: World) -> None:
    for number in range(4):
        power_gone(valley, number)
    valley.until(20)
    valley.close_incident()
    for number in range(4):
        power_gone(valley, number, phase=Phase.END)
    valley.clock.advance(7200)
    for number in range(4):
        power_gone(valley, number, alarm_id="gone-2")
    valley.until(7260)
    assert [one.state for one in valley.incidents()] == ["closed", "notified"]
    assert len(pages(valley)) == 2


def test_a_restart_while_they_gather_loses_nothing(valley: World) -> None:
    power_gone(valley, 1)
    power_gone(valley, 2)
    valley.until(30)
    valley.restart()
    power_gone(valley, 3)
    valley.until(60)
    assert (valley.incident().scope, len(pages(valley))) == ("area", 1)


def test_a_silence_of_one_site_holds_within_an_outage(valley: World) -> None:

    now_ms = valley.clock.wall_ms()
    with valley.database.write() as session:
        wanted = Wanted(
            site_id="v0", kinds=("power_anomaly",), from_ms=now_ms, until_ms=now_ms + 600_000, reason="换电表"
        )
        store.make(session, wanted, author="desk", now_ms=now_ms)
    for number in range(4):
        power_gone(valley, number)
    valley.until(60)
    aside = {alarm.site_id: alarm.set_aside for alarm in valley.alarms()}
    assert aside == {"v0": "silence", "v1": "area", "v2": "area", "v3": "area"}
