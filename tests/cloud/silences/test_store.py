"""Silences in the database, on both."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sealwatch.cloud.refused import NotAllowed
from sealwatch.cloud.silences import store
from sealwatch.cloud.silences.store import Wanted
from tests.cloud.world import World

DAY_MS = 24 * 3_600_000


def wanted(world: World, **changes: object) -> Wanted:
    now_ms = world.clock.wall_ms()
    plain = Wanted(site_id="s1", kinds=("camera_fault",), from_ms=now_ms, until_ms=now_ms + 1000, reason="换摄像机")
    return replace(plain, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"site_id": "nowhere"}, "unknown_site"),
        ({"reason": "  "}, "no_reason"),
        ({"kinds": ()}, "bad_window"),
        ({"until_ms": 5}, "bad_window"),
        ({"until_ms": 1_700_000_000_000 + 8 * DAY_MS}, "too_long"),
    ],
)
def test_no_silence_without_end_reason_and_kind(world: World, changes: dict[str, object], name: str) -> None:
    with world.database.write() as session, pytest.raises(NotAllowed) as refused:
        store.make(session, wanted(world, **changes), author="desk", now_ms=world.clock.wall_ms())
    assert refused.value.name == name


def test_one_source_alone_or_the_whole_site_and_not_before_its_beginning(world: World) -> None:
    now_ms = world.clock.wall_ms()
    with world.database.write() as session:
        later = wanted(world, source_id="cam-2", from_ms=now_ms + 500)
        store.make(session, later, author="desk", now_ms=now_ms)
        (quiet,) = store.quiets(session, ["s1"])["s1"]
    assert not quiet.covers("camera_fault", "cam-2", now_ms)
    assert quiet.covers("camera_fault", "cam-2", now_ms + 500)
    assert not quiet.covers("camera_fault", "cam-1", now_ms + 500)
    assert not quiet.covers("meter_fault", "cam-2", now_ms + 500)
    assert not quiet.covers("camera_fault", "cam-2", now_ms + 1000)


def test_who_made_it_who_ended_it_and_why_stays_on_record(world: World) -> None:
    now_ms = world.clock.wall_ms()
    with world.database.write() as session:
        first = store.make(session, wanted(world), author="person:li", now_ms=now_ms)
        second = store.make(session, wanted(world), author="desk", now_ms=now_ms)
        store.end(session, first.silence_id, author="person:wang", now_ms=now_ms + 10)
        with pytest.raises(NotAllowed, match="silence_over"):
            store.end(session, first.silence_id, author="desk", now_ms=now_ms + 20)
        with pytest.raises(NotAllowed, match="unknown_silence"):
            store.end(session, "s-none", author="desk", now_ms=now_ms)
        assert store.end_all_over(session, now_ms=now_ms + 1000, everything=False) == [second.silence_id]
        assert store.end_all_over(session, now_ms=now_ms + 2000, everything=True) == []
    with world.database.read() as session:
        rows = {one.silence_id: one for one in store.listed(session, site_id="s1", holding_only=False, limit=9)}
        assert store.listed(session, site_id="s1", holding_only=True, limit=9) == []
    ended = [(rows[one.silence_id].author, rows[one.silence_id].ended_by, rows[one.silence_id].ended_why)
             for one in (first, second)]  # fmt: skip
    assert ended == [("person:li", "person:wang", "early"), ("desk", "system", "time_over")]
