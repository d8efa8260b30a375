"""`sealwatch grafana sync` against a twin of Grafana's API: everything once, the second time nothing new."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sealwatch.base.broker import free_port
from sealwatch.cli import main
from tests.cloud.grafana.fake import TOKEN, FakeGrafana


@pytest.fixture
def grafana(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGrafana]:
    monkeypatch.setenv("GRAFANA_TOKEN", TOKEN)
    monkeypatch.setenv("RECORDS_PASSWORD", "secret")
    with FakeGrafana() as fake:
        yield fake


def sync(url: str, *more: str, counties: tuple[str, ...] = ("210423:清原县:清原县应急管理局",)) -> int:
    arguments = ["grafana", "sync", "--url", url, "--token", "env:GRAFANA_TOKEN", "--series-url", "http://influx:8086"]
    for county in counties:
        arguments += ["--county", county]
    return main([*arguments, "--records-password", "env:RECORDS_PASSWORD", *more])


def test_a_county_gets_folder_team_sources_dashboards_and_rules(grafana: FakeGrafana) -> None:
    assert sync(grafana.url) == 0
    assert {uid: folder["title"] for uid, folder in grafana.folders.items()} == {"sealwatch-210423": "清原县"}
    assert [team["name"] for team in grafana.teams] == ["清原县应急管理局"]
    assert set(grafana.sources) == {
        f"sealwatch-{name}-210423" for name in ("samples", "minutes", "hours", "days", "records")
    }
    assert len(grafana.boards) == 6
    assert {board["meta"]["folderUid"] for board in grafana.boards.values()} == {"sealwatch-210423"}
    assert set(grafana.rules) == {"seal-ingest-lag-210423", "seal-dead-worker-210423"}
    assert all(rule["folderUID"] == "sealwatch-210423" for rule in grafana.rules.values())
    assert grafana.sources["sealwatch-records-210423"]["user"] == "grafana_210423"
    assert grafana.sources["sealwatch-records-210423"]["secureJsonData"] == {"password": "secret"}
    assert grafana.sources["sealwatch-hours-210423"]["jsonData"]["dbName"] == "sealwatch_hours"


def test_every_data_source_that_a_panel_names_is_made(grafana: FakeGrafana) -> None:
    assert sync(grafana.url) == 0
    named = {
        target["datasource"]["uid"]
        for board in grafana.boards.values()
        for panel in board["dashboard"]["panels"]
        for target in panel["targets"]
    }
    assert named <= set(grafana.sources)


def test_only_the_countys_team_may_look(grafana: FakeGrafana) -> None:
    """A list without the roles takes Grafana's default (every viewer, every editor) away."""
    counties = ("210423:清原县", "210422:新宾县")
    assert sync(grafana.url, counties=counties) == 0
    assert grafana.permissions == {
        "sealwatch-210423": [{"teamId": 1, "permission": 1}],
        "sealwatch-210422": [{"teamId": 2, "permission": 1}],
    }
    assert len(grafana.boards) == 12


def test_the_second_run_makes_nothing_new(grafana: FakeGrafana, capsys: pytest.CaptureFixture[str]) -> None:
    assert sync(grafana.url) == 0
    grafana.changes.clear()
    capsys.readouterr()
    assert sync(grafana.url) == 0
    said = capsys.readouterr().out.splitlines()
    assert not [line for line in said if line.startswith("made")]
    assert len([line for line in said if line.startswith("kept     dashboard")]) == 6
    assert "POST /api/dashboards/db" not in grafana.changes
    assert (len(grafana.folders), len(grafana.teams)) == (1, 1)


def test_a_dashboard_changed_by_hand_and_a_renamed_county_are_put_right(grafana: FakeGrafana) -> None:
    assert sync(grafana.url) == 0
    grafana.boards["seal-site-210423"]["dashboard"]["title"] = "mine"
    assert sync(grafana.url, counties=("210423:清原满族自治县:清原县应急管理局",)) == 0
    assert grafana.boards["seal-site-210423"]["dashboard"]["title"] == "点位"
    assert grafana.folders["sealwatch-210423"]["title"] == "清原满族自治县"


def test_english_and_victoriametrics_are_a_choice(grafana: FakeGrafana) -> None:
    assert sync(grafana.url, "--lang", "en", "--engine", "victoria") == 0
    board = grafana.boards["seal-overview-210423"]["dashboard"]
    assert board["title"] == "County overview"
    assert grafana.sources["sealwatch-samples-210423"]["type"] == "prometheus"


def test_what_goes_wrong_is_one_sentence(
    grafana: FakeGrafana, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sync(f"http://127.0.0.1:{free_port()}") == 1
    grafana.broken = True
    assert sync(grafana.url) == 1
    monkeypatch.setenv("GRAFANA_TOKEN", "another")
    assert sync(grafana.url) == 1
    assert sync(grafana.url, counties=("210423",)) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 4
    assert "500" in said[1]
    assert "401" in said[2]
    assert "CODE:NAME" in said[3]


def test_the_sql_of_a_role_is_printed_and_a_strange_name_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PASSWORD", "it's")
    arguments = ["grafana", "sql", "--county", "210423", "--password", "env:PASSWORD", "--role"]
    assert main([*arguments, "grafana_210423"]) == 0
    assert "PASSWORD 'it''s'" in capsys.readouterr().out
    assert main([*arguments, "x; DROP TABLE sites"]) == 2
    assert "no role name" in capsys.readouterr().err
