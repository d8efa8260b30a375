"""Times, durations and quantities as people read them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealwatch.base import text
from sealwatch.base.text import Language
from sealwatch.cloud import web
from sealwatch.cloud.auth.links import LinkRefusal
from sealwatch.cloud.web import problems, words
from sealwatch.cloud.web.language import choose

ZH, EN = Language.ZH, Language.EN
NOW_MS = 1_795_285_267_000  # 2026-11-22 02:21:07 at the sites
S, MIN, H, D = 1000, 60_000, 3_600_000, 86_400_000


@pytest.mark.parametrize(
    ("before_ms", "zh", "en"),
    [
        (0, "02:21:07", "02:21:07"),
        (2 * H, "00:21:07", "00:21:07"),
        (3 * H, "11月21日 23:21:07", "21 Nov 23:21:07"),
        (400 * D, "2025年10月18日 02:21:07", "18 Oct 2025 02:21:07"),
    ],
)
def test_local_time_names_the_day_only_when_it_is_another(before_ms: int, zh: str, en: str) -> None:
    assert words.clock_time(ZH, NOW_MS - before_ms, NOW_MS) == zh
    assert words.clock_time(EN, NOW_MS - before_ms, NOW_MS) == en


@pytest.mark.parametrize(
    ("age_ms", "zh", "en"),
    [
        (-5 * S, "刚刚", "just now"),
        (9 * S, "刚刚", "just now"),
        (10 * S, "10 秒前", "10 s ago"),
        (59_999, "59 秒前", "59 s ago"),
        (MIN, "1 分钟前", "1 min ago"),
        (H - 1, "59 分钟前", "59 min ago"),
        (H, "1 小时前", "1 h ago"),
        (D - 1, "23 小时前", "23 h ago"),
        (49 * H, "2 天前", "2 d ago"),
    ],
)
def test_age_is_told_in_the_one_unit_that_matters(age_ms: int, zh: str, en: str) -> None:
    assert words.ago(ZH, NOW_MS - age_ms, NOW_MS) == zh
    assert words.ago(EN, NOW_MS - age_ms, NOW_MS) == en


@pytest.mark.parametrize(
    ("duration_ms", "zh"),
    [(-1, "0 秒"), (59 * S, "59 秒"), (2 * MIN, "2 分钟"), (98 * S, "1 分 38 秒"), (80 * MIN, "1 小时 20 分")],
)
def test_durations(duration_ms: int, zh: str) -> None:
    assert words.lasting(ZH, duration_ms) == zh


@pytest.mark.parametrize(("duration_ms", "zh"), [(42 * S, "42 秒"), (98 * S, "1 分钟"), (80 * MIN, "1 小时 20 分")])
def test_what_still_goes_on_is_told_without_seconds(duration_ms: int, zh: str) -> None:
    assert words.lasting_roughly(ZH, duration_ms) == zh


@pytest.mark.parametrize(
    ("watts", "said"),
    [
        (0.0, "0 W"), (84.6, "85 W"), (999.4, "999 W"), (1000.0, "1 kW"), (2944.0, "2.94 kW"), (3000.0, "3 kW"),
        (20_000.0, "20 kW"), (55_040.0, "55 kW"), (130_000.0, "130 kW"), (-1500.0, "-1.5 kW"),
    ],
)  # fmt: skip
def test_power_always_has_its_unit(watts: float, said: str) -> None:
    assert words.power(watts) == said


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("mean_period_s", 118.2, "118.2 s"),
        ("peak_power_w", 3274.0, "3274 W"),
        ("people", 2.0, "2"),
        ("best_score", 0.9123, "0.9123"),
        ("share_percent", 13.0, "13 %"),
        ("w", 5.0, "5"),
    ],
)
def test_a_figure_takes_the_unit_its_name_ends_in(name: str, value: float, said: str) -> None:
    assert words.reading(name, value) == said


@pytest.mark.parametrize(
    ("query", "cookie", "header", "language"),
    [
        (None, None, None, ZH),
        ("en", "zh", "zh", EN),
        (None, "en", "zh", EN),
        ("fr", "xx", None, ZH),
        (None, None, "en-GB,en;q=0.9", EN),
        (None, None, "fr,de;q=0.8", ZH),
        (None, None, "en;q=0.3, zh-CN;q=0.9", ZH),
        (None, None, "fr;q=1, en;q=0.5", EN),
        (None, None, "en;q=nonsense", ZH),
        (None, None, ";;;,=,", ZH),
    ],
)
def test_the_language_is_the_readers_choice_and_chinese_without_one(
    query: str | None, cookie: str | None, header: str | None, language: Language
) -> None:
    assert choose(query, cookie, header) is language


@given(header=st.text(max_size=300))
def test_any_language_header_gives_a_language(header: str) -> None:
    assert choose(None, None, header) in set(Language)


def test_every_sentence_of_the_pages_is_used_by_a_page() -> None:
    room = Path(web.__file__).parent
    source = "".join(p.read_text(encoding="utf-8") for p in room.rglob("*") if p.suffix in {".py", ".html"})
    built = ("web.page.", "web.event.", "web.channel.", "web.closure.", "web.problem.", "web.silent.", "web.time.",
             "web.actor.", "web.incident.snapshot_")  # fmt: skip
    unused = [k for k in text.catalogue() if k.startswith("web.") and k not in source and not k.startswith(built)]
    assert unused == []


def test_every_refusal_in_the_code_has_its_sentences() -> None:
    room = Path(web.__file__).parent
    source = "".join(p.read_text(encoding="utf-8") for p in room.rglob("*.py"))
    named = re.findall(r'(?:Problem|respond)\([^"]*?\d{3}, "(\w+)"', source)
    names = {*named, *(f"link_{refusal}" for refusal in LinkRefusal)}
    assert len(names) > 12
    for name in names:
        for language in Language:
            assert all(problems.sentences(language, name)), name
