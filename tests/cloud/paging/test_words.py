"""What a page says: what, where, since when, why, and how to answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealwatch.cloud.paging.words import Story, compose
from tests.cloud.world import World

STORY = Story(
    level="red",
    verdict="suspected_illegal_production",
    why="person_with_hoist_like_power",
    site_zh="一号井",
    site_en="Pit 1",
    township_zh="枸乃甸乡",
    township_en="Gounaidian",
    declared_status="power_cut",
    opened_at_ms=1_700_000_000_000,
    sentences=[("井口有 2 人", "2 people at the shaft"), ("提升样用电 4 次", "4 hoist-like cycles")],
    occasion="opened",
    cycle=1,
)


def said(language: str = "zh", **changes: Any) -> tuple[str, str]:
    return compose(
        replace(STORY, **changes), language=language, person_name="王×", answer_url="https://seal.example/a/x"
    )


def test_a_page_in_chinese() -> None:
    title, body = said()
    assert title == "【红】一号井：疑似非法生产"
    assert body.splitlines()[:4] == [
        "王×，请核查并应答。",
        "原因：井口有人，同时电表出现提升样用电。",
        "· 井口有 2 人",
        "· 提升样用电 4 次",
    ]
    assert "该站申报断电。" in body
    assert "枸乃甸乡" in body
    assert body.splitlines()[-1] == "应答：https://seal.example/a/x"


def test_a_page_in_english() -> None:
    title, body = said("en")
    assert title == "[Red] Pit 1: Suspected illegal production"
    assert "2 people at the shaft" in body
    assert "The site is declared cut off." in body


def test_a_page_says_whether_it_is_the_first_one() -> None:
    assert "更新" not in said()[1]
    assert "第 3 轮" in said(cycle=3, occasion="nobody_answered")[1]
    assert "情况升级" in said(cycle=2, occasion="level_raised")[1]


def test_a_page_shows_four_sentences_and_counts_the_rest() -> None:
    _, body = said(sentences=[(f"报警 {n}", f"alarm {n}") for n in range(9)])
    assert body.count("· 报警") == 4
    assert "另有 5 条报警" in body


def test_a_name_without_a_word_is_shown_as_it_is_because_the_page_must_go_out() -> None:
    title, body = said(verdict="verdict_of_next_year", why="why_of_next_year", declared_status="sold")
    assert title.endswith("verdict_of_next_year")
    assert "why_of_next_year" in body


@pytest.mark.parametrize("language", ["zh", "en"])
@given(name=st.text(max_size=60))
def test_a_title_is_one_line_whatever_a_site_is_called(language: str, name: str) -> None:
    title, body = said(language, site_zh=name, site_en=name, sentences=[(name, name)])
    assert "\n" not in title
    assert "\r" not in title
    assert body.splitlines()[-1].endswith("https://seal.example/a/x")


def test_a_page_that_waited_tells_what_has_happened_since(world: World) -> None:
    world.push(world.alarm("power_step", sentence_zh="用电突增 3 千瓦", level="yellow"))
    world.push(
        world.alarm("person", sentence_zh="井口有 1 人"),
        world.alarm("person", alarm_id="p2", sentence_zh="井口有 1 人"),
    )
    world.until(0)
    (request,) = world.webhook.requests
    assert "用电突增 3 千瓦" in request.body
    assert request.body.count("井口有 1 人") == 1, "the same sentence is said once"
    assert request.answer_url in request.body
