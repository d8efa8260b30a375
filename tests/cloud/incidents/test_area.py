"""Whether the troubles of many sites are one: pure cases."""

from __future__ import annotations

import pytest

from sealwatch.cloud.incidents.area import Trouble, areas_of, find, is_trouble, joins, name_of

MINUTE = 60_000


def trouble(site: str, minute: float, alarm: str = "a") -> Trouble:
    return Trouble(round(minute * MINUTE), site, f"n-{site}", alarm)


def township(*sites: str, feeder: dict[str, str] | None = None) -> dict[str, tuple[str, ...]]:
    return {
        site: areas_of(feeder=(feeder or {}).get(site, ""), uplink="", township="清原镇", county="210423")
        for site in sites
    }


def test_three_sites_within_ten_minutes_are_one() -> None:
    (outage,) = find([trouble("b", 1), trouble("a", 0), trouble("c", 9)], township("a", "b", "c"))
    assert (name_of(outage.area), outage.sites) == ("清原镇", ["a", "b", "c"])


@pytest.mark.parametrize(
    "troubles",
    [
        [trouble("a", 0), trouble("b", 1)],
        [trouble("a", 0), trouble("a", 1, "b"), trouble("b", 2)],  # three alarms of two sites
        [trouble("a", 0), trouble("b", 6), trouble("c", 12)],
    ],
)
def test_fewer_sites_or_too_far_apart_are_several(troubles: list[Trouble]) -> None:
    assert find(troubles, township("a", "b", "c")) == []


def test_sites_without_a_known_area_are_never_one() -> None:
    unknown = {name: areas_of(feeder="", uplink="", township="", county="210423") for name in "abc"}
    assert find([trouble("a", 0), trouble("b", 0), trouble("c", 0)], unknown) == []


def test_the_same_name_in_another_county_is_another_place() -> None:
    areas = {
        name: areas_of(feeder="", uplink="", township="清原镇", county=county)
        for name, county in (("a", "1"), ("b", "1"), ("c", "2"))
    }
    assert find([trouble("a", 0), trouble("b", 0), trouble("c", 0)], areas) == []


def test_the_feeder_is_named_where_it_explains_as_much_as_the_township() -> None:
    areas = township("a", "b", "c", feeder=dict.fromkeys("abc", "北沟线"))
    (outage,) = find([trouble(site, 0) for site in "abc"], areas)
    assert outage.area == "feeder/210423:北沟线"


def test_the_township_where_it_explains_more_and_two_outages_at_once() -> None:
    areas = township("a", "b", "c", "d", feeder=dict.fromkeys("abc", "北沟线"))
    (outage,) = find([trouble(site, 0) for site in "abcd"], areas)
    assert name_of(outage.area) == "清原镇"
    other = {name: areas_of(feeder="", uplink="", township="南口镇", county="210423") for name in "xyz"}
    found = find([trouble(site, 0) for site in "abcdxyz"], areas | other)
    assert sorted(name_of(one.area) for one in found) == ["南口镇", "清原镇"]


def test_every_alarm_of_its_time_belongs_to_it() -> None:
    troubles = [trouble("a", 0), trouble("a", 1, "meter"), trouble("b", 2), trouble("c", 3), trouble("c", 4, "cam")]
    (outage,) = find(troubles, township("a", "b", "c"))
    assert list(outage.troubles) == troubles


def test_later_ones_join_for_half_an_hour() -> None:
    first, last = 60 * MINUTE, 65 * MINUTE
    assert joins(94 * MINUTE, first_ms=first, last_ms=last)
    assert not joins(96 * MINUTE, first_ms=first, last_ms=last)
    assert joins(51 * MINUTE, first_ms=first, last_ms=last)
    assert not joins(49 * MINUTE, first_ms=first, last_ms=last)


@pytest.mark.parametrize(
    ("kind", "reason", "wanted"),
    [
        ("node_silent", "nothing_heard", True),
        ("meter_fault", "silent", True),
        ("camera_fault", "signal_lost", True),
        ("camera_fault", "covered", False),
        ("power_anomaly", "power_gone", True),
        ("power_anomaly", "power_while_dead", False),
        ("person", "person_in_zone", False),
        ("input", "opened", False),
    ],
)
def test_what_an_outage_would_bring(kind: str, reason: str, wanted: bool) -> None:
    assert is_trouble(kind, reason) is wanted
