"""Every query of every panel, asked of the real stores, gives what the panel needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from sealwatch.cloud.grafana import alerts, records
from sealwatch.cloud.grafana.boards import BOARDS
from sealwatch.cloud.grafana.panels import Board, Look, render
from sealwatch.cloud.grafana.queries import Engine, Measure, Sources
from tests.cloud.grafana import world
from tests.cloud.grafana.conftest import Asked, Rows, Source, span

PANELS = [(board, i) for board in BOARDS for i in range(len(board.panels))]
Ask = Callable[[dict[str, Any], Asked], Rows]


def look(engine: Engine, language: str = "zh") -> Look:
    return Look(sources=Sources(engine, world.COUNTY), language=language)


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize(("board", "number"), PANELS, ids=[f"{b.key}.{b.panels[i].key}" for b, i in PANELS])
def test_a_panel_gets_what_it_needs(board: Board, number: int, language: str, source: Source, now_ms: int) -> None:
    panel = board.panels[number]
    made = render(board, look(source.engine, language))["panels"][number]
    asked = span(board.time_from, made.get("timeFrom"), now_ms)
    names: set[str] = set()
    for target, question in zip(made["targets"], panel.questions, strict=True):
        rows = source(target, asked)
        assert rows, f"{target} gives nothing"
        names |= set(rows[0])
        if isinstance(question, Measure):
            assert any(row["value"] is not None for row in rows)
            if question.by:
                assert all(row[question.by] for row in rows)
            if question.whole:
                keys = [row[question.by] for row in rows]
                assert len(keys) == len(set(keys)), "one row for each"
    assert {name for name in panel.columns if name != "value 2"} <= names


@pytest.mark.parametrize("engine", list(Engine))
def test_annotations_and_the_choice_of_sites_are_answered(engine: Engine, ask_records: Ask, now_ms: int) -> None:
    site = next(board for board in BOARDS if board.key == "site")
    made = render(site, look(engine))
    asked = Asked(now_ms - 7 * 86_400_000, now_ms)
    notes = ask_records({"rawSql": made["annotations"]["list"][0]["rawQuery"]}, asked)
    assert [(note["tags"], note["text"]) for note in notes] == [("orange", "用电突增"), ("red", "用电突增")]
    work = ask_records({"rawSql": made["annotations"]["list"][1]["rawQuery"]}, asked)
    assert [(note["text"], note["tags"]) for note in work] == [("repair", "5500 W")]
    assert work[0]["timeend"] - work[0]["time"] == 2 * 86_400_000
    variable = next(v for v in made["templating"]["list"] if v["name"] == "site")
    choices = ask_records({"rawSql": variable["query"]}, asked)
    assert choices == [{"__text": f"{site_id}号井", "__value": site_id} for site_id in world.SITES]


@pytest.mark.parametrize("wanted", alerts.RULES, ids=lambda rule: rule.key)
def test_rules_of_the_platform_ask_what_their_store_answers(wanted: alerts.Rule, source: Source, now_ms: int) -> None:
    rule = alerts.rule(wanted, look(source.engine))
    target = rule["data"][0]["model"]
    assert "$" not in str(target), "nothing is left for Grafana to fill in"
    assert source(target, Asked(now_ms - 600_000, now_ms, "1m"))
    assert rule["condition"] == rule["data"][-1]["refId"]
    assert [step["model"].get("expression") for step in rule["data"][1:]] == ["A", "B"]


def test_figures_are_right_not_only_there(ask_records: Ask, now_ms: int) -> None:
    asked = Asked(now_ms - 86_400_000, now_ms)
    overview = render(BOARDS[0], look(Engine.INFLUXDB))["panels"]

    def answer(number: int) -> Rows:
        return ask_records(overview[number]["targets"][0], asked)

    assert answer(0) == [{"level": "orange", "value": 3}]
    assert answer(1) == [{"value": 3}]
    assert answer(2) == [{"value": 1}]
    assert answer(3) == [{"value": 2}]
    assert {row["site_id"]: float(row["value"]) for row in answer(5)} == {"s1": 3.0, "s2": 3.0, "s3": 3.0}


def test_check_ins_tell_who_was_how_near_and_how_soon(ask_records: Ask, now_ms: int) -> None:
    board = next(board for board in BOARDS if board.key == "closure")
    made = dict(zip((p.key for p in board.panels), render(board, look(Engine.INFLUXDB))["panels"], strict=True))
    asked = Asked(now_ms - 86_400_000, now_ms)
    rows = ask_records(made["check_ins"]["targets"][0], asked)
    assert {row["person"] for row in rows} == {"姓wang", "desk"}
    sent = next(row for row in rows if row["incident_id"] == "s1-closed")
    assert (round(sent["distance_m"]), sent["accuracy_m"], sent["pictures"]) == (111, 8.0, 2)
    plain = next(row for row in rows if row["incident_id"] == "s1-open")
    assert (plain["distance_m"], plain["pictures"]) == (None, 0)
    arrivals = {row["level"]: float(row["median_s"]) for row in ask_records(made["arrivals"]["targets"][0], asked)}
    assert arrivals == {"red": 40.0, "orange": 2 * 86_400.0}
    assert ask_records(made["on_site"]["targets"][0], asked) == [{"value": 1.0}]


def test_power_is_the_same_from_both_engines(ask_influx: Ask, ask_victoria: Ask, now_ms: int) -> None:
    asked = Asked(now_ms - 86_400_000, now_ms)
    answers = []
    for engine, ask in ((Engine.INFLUXDB, ask_influx), (Engine.VICTORIA, ask_victoria)):
        target = render(BOARDS[2], look(engine))["panels"][0]["targets"][1]
        answers.append({row["site_id"]: round(float(row["value"]), 6) for row in ask(target, asked)})
    assert answers[0] == answers[1]
    assert set(answers[0]) == set(world.SITES)


def test_a_county_sees_its_own_sites_and_nothing_else(as_county: Callable[[str], psycopg.Connection[Any]]) -> None:
    for county, own in ((world.COUNTY, set(world.SITES)), (world.OTHER, {"x1", "x2", "x3"})):
        for view in records.VIEWS:
            rows = as_county(county).execute(f"SELECT DISTINCT site_id FROM grafana.{view}".encode()).fetchall()
            assert {row[0] for row in rows} == own, view


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM public.sites",
        "SELECT telephone FROM public.people",
        "SELECT * FROM grafana.counties",
        "UPDATE grafana.sites SET name_zh = 'x'",
        "CREATE TABLE public.mine (a int)",
        "SET default_transaction_read_only = off; DELETE FROM grafana.incidents",
        "SET ROLE sealwatch",
        "INSERT INTO grafana.counties VALUES ('grafana_210423', '210422')",
    ],
)
def test_a_county_can_neither_look_further_nor_write(
    statement: str, as_county: Callable[[str], psycopg.Connection[Any]]
) -> None:
    with pytest.raises(psycopg.Error) as refused:
        as_county(world.COUNTY).execute(statement.encode())
    assert refused.value.sqlstate in {"42501", "25006", "55000"}


def test_a_condition_that_trips_over_foreign_rows_never_meets_one(
    as_county: Callable[[str], psycopg.Connection[Any]],
) -> None:
    """Without `security_barrier` the planner may run the caller's cheap condition before the county's."""
    trap = "CASE WHEN site_id LIKE 'x%' THEN 1 / strpos(site_id, '?') ELSE 1 END = 1"
    leak = f"SELECT site_id FROM grafana.sites WHERE {trap}"
    assert len(as_county(world.COUNTY).execute(leak.encode()).fetchall()) == 3


def test_no_view_holds_telephones_keys_or_addresses(as_county: Callable[[str], psycopg.Connection[Any]]) -> None:
    rows = as_county(world.COUNTY).execute(
        b"SELECT column_name FROM information_schema.columns WHERE table_schema = 'grafana'"
    )
    names = {row[0] for row in rows.fetchall()}
    assert names
    assert not names & {"telephone", "email", "webhook_url", "public_key", "ladder", "sealed", "payload"}
