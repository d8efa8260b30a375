"""Permits in the database, what the nodes hear of them, on both databases."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import select

from sealwatch.cloud.db.tables import Downlink
from sealwatch.cloud.permits import store
from sealwatch.cloud.permits.store import Announced
from sealwatch.cloud.refused import NotAllowed
from sealwatch.contract import wire
from sealwatch.contract.messages import Declaration
from tests.cloud.world import World

HOUR_MS = 3_600_000


def work(world: World, **changes: object) -> Announced:
    now_ms = world.clock.wall_ms()
    plain = Announced(
        site_id="s1",
        from_ms=now_ms,
        to_ms=now_ms + HOUR_MS,
        max_power_w=5000,
        max_people=3,
        purpose="检修",
        responsible="赵",
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def told(world: World) -> list[Declaration]:
    with world.database.read() as session:
        rows = session.scalars(select(Downlink).where(Downlink.node_id == "node-1").order_by(Downlink.id))
        return [wire.decode(Declaration, row.body) for row in rows]


def test_each_change_is_told_to_the_nodes_of_the_site(world: World) -> None:
    now_ms = world.clock.wall_ms()
    with world.database.write() as session:
        first = store.announce(session, work(world), author="desk", now_ms=now_ms)
        later = work(world, from_ms=now_ms + HOUR_MS, to_ms=now_ms + 3 * HOUR_MS, from_hour=8, to_hour=18)
        second = store.announce(session, later, author="desk", now_ms=now_ms)
    assert [p.permit_id for p in told(world)[-1].permits] == [first.permit_id, second.permit_id]
    assert told(world)[-1].permits[1].to_hour == 18
    with world.database.write() as session:
        store.end(session, first.permit_id, author="person:li", reason="提前完工", now_ms=now_ms + 1000)
    assert [p.permit_id for p in told(world)[-1].permits] == [second.permit_id]
    versions = [one.version for one in told(world)]
    assert versions == sorted(set(versions))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"site_id": "nowhere"}, "unknown_site"),
        ({"to_ms": 1}, "bad_window"),
        ({"from_hour": 8, "to_hour": 8}, "bad_window"),
        ({"to_ms": 1_700_000_000_000 + 100 * 24 * HOUR_MS}, "too_long"),
    ],
)
def test_what_can_not_be_announced(world: World, changes: dict[str, object], reason: str) -> None:
    with world.database.write() as session, pytest.raises(NotAllowed) as refused:
        store.announce(session, work(world, **changes), author="desk", now_ms=world.clock.wall_ms())
    assert refused.value.name == reason
    assert told(world) == []


def test_no_more_than_a_declaration_can_carry(world: World) -> None:
    now_ms = world.clock.wall_ms()
    with world.database.write() as session:
        for _ in range(store.MOST_OPEN):
            store.announce(session, work(world), author="desk", now_ms=now_ms)
        with pytest.raises(NotAllowed, match="too_many_permits"):
            store.announce(session, work(world), author="desk", now_ms=now_ms)
    assert len(told(world)[-1].permits) == store.MOST_OPEN


def test_a_permit_is_ended_once_and_with_a_reason(world: World) -> None:
    now_ms = world.clock.wall_ms()
    with world.database.write() as session:
        permit = store.announce(session, work(world), author="desk", now_ms=now_ms)
        for permit_id, reason, name in (
            (permit.permit_id, " ", "no_reason"),
            ("p-none", "完工", "unknown_permit"),
        ):
            with pytest.raises(NotAllowed, match=name):
                store.end(session, permit_id, author="desk", reason=reason, now_ms=now_ms)
        store.end(session, permit.permit_id, author="desk", reason="完工", now_ms=now_ms + 5)
        with pytest.raises(NotAllowed, match="permit_over"):
            store.end(session, permit.permit_id, author="desk", reason="完工", now_ms=now_ms + 10)
    with world.database.read() as session:
        (row,) = store.listed(session, site_id="s1", open_at_ms=None, limit=5)
        assert (row.ended_at_ms, row.ended_by, row.ended_reason) == (now_ms + 5, "desk", "完工")
        assert store.listed(session, site_id="s1", open_at_ms=now_ms + 10, limit=5) == []
