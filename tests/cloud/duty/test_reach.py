"""Who can be reached, by what is known: case by case."""

from __future__ import annotations

import pytest

from sealwatch.base.text import Language
from sealwatch.cloud.duty.reach import KNOWN_S, Contact, Way, judge
from sealwatch.cloud.duty.selftest import compose

NOW = 1_700_000_000_000
WELL = {"sms": "", "mail": "", "robot": ""}


def way(channel: str = "sms", *, taken: bool = True, ago_s: float | None = 60.0, has_address: bool = True) -> Way:
    at_ms = None if ago_s is None else NOW - round(ago_s * 1000)
    return Way(channel=channel, has_address=has_address, at_ms=at_ms, taken=taken)


@pytest.mark.parametrize(
    ("ways", "channels", "standing", "known"),
    [
        ([way()], WELL, "reachable", ["works"]),
        ([way(taken=False)], WELL, "unreachable", ["last_failed"]),
        ([way(ago_s=None)], WELL, "doubtful", ["never_tried"]),
        ([way(ago_s=KNOWN_S + 1)], WELL, "doubtful", ["never_tried"]),
        ([way(taken=False, ago_s=KNOWN_S + 1)], WELL, "doubtful", ["never_tried"]),
        ([way(has_address=False)], WELL, "unreachable", ["no_address"]),
        ([way()], {"sms": "not_registered"}, "unreachable", ["channel_bad"]),
        ([way()], {}, "unreachable", ["channel_bad"]),
        ([way(taken=False), way("mail")], WELL, "reachable", ["last_failed", "works"]),
        ([way(taken=False), way("mail", ago_s=None)], WELL, "doubtful", ["last_failed", "never_tried"]),
        ([], WELL, "unreachable", []),
    ],
)
def test_what_is_known_of_a_person(ways: list[Way], channels: dict[str, str], standing: str, known: list[str]) -> None:
    (found,) = judge([Contact(person_id="li", name="李", ways=tuple(ways))], channels, now_ms=NOW)
    assert (found.standing, [state for _, state in found.ways]) == (standing, known)


def test_the_unreachable_come_first() -> None:
    people = [("a", [way()]), ("b", [way(ago_s=None)]), ("c", [way(taken=False)])]
    found = judge([Contact(person_id=name, name=name, ways=tuple(ways)) for name, ways in people], WELL, now_ms=NOW)
    assert [one.person_id for one in found] == ["c", "b", "a"]


@pytest.mark.parametrize("language", Language)
def test_a_report_names_who_and_why(language: Language) -> None:
    people = [
        {"name": "李×", "standing": "unreachable", "ways": {"sms": "last_failed", "mail": "no_address"}},
        {"name": "赵×", "standing": "doubtful", "ways": {"sms": "never_tried"}},
        {"name": "孙×", "standing": "unreachable", "ways": {}},
        {"name": "王×", "standing": "reachable", "ways": {"sms": "works"}},
    ]
    title, body = compose({"sms": "", "mail": "535 refused"}, people, "2026-11-26", language)
    assert "2026-11-26" in title
    assert [name in body for name in ("李×", "赵×", "孙×", "王×", "535 refused")] == [True, True, True, False, True]


def test_a_report_of_hundreds_stays_short_and_says_so() -> None:
    people = [{"name": f"人{n}", "standing": "unreachable", "ways": {"sms": "last_failed"}} for n in range(300)]
    title, body = compose({}, people, "2026-11-26", Language.ZH)
    assert "300" in title
    assert body.endswith("另有 280 人")


def test_a_good_night_is_told_too() -> None:
    title, body = compose({"sms": ""}, [{"name": "王", "standing": "reachable", "ways": {}}], "d", Language.ZH)
    assert (title, body) == ("d 自检：全部叫得到", "名单上 1 人都有可用的通道。")
