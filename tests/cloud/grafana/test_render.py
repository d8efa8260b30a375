"""The files in `deploy/grafana` are what the code renders, and what Grafana from 9.3 on can load."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from sealwatch.base import text
from sealwatch.cli import main
from sealwatch.cloud.grafana.boards import BOARDS
from sealwatch.cloud.grafana.panels import SCHEMA_VERSION, Look, render
from sealwatch.cloud.grafana.queries import Engine, Sources
from sealwatch.cloud.grafana.render import files

DEPLOY = Path(__file__).parents[3] / "deploy" / "grafana"
DASHBOARDS = {
    name: json.loads(content) for name, content in files().items() if "/dashboards/" in name and name.endswith("json")
}
# Panel types that Grafana 9.3 ships.
CORE_9_3 = {
    "stat",
    "table",
    "timeseries",
    "state-timeline",
    "status-history",
    "geomap",
    "barchart",
    "bargauge",
    "piechart",
}
TRANSFORMATIONS_9_3 = {"joinByField", "organize", "sortBy"}


def test_the_files_here_are_what_the_code_renders() -> None:
    wanted = files()
    for name, content in wanted.items():
        assert (DEPLOY / name).read_text(encoding="utf-8") == content, (
            f"run: sealwatch grafana render deploy/grafana ({name})"
        )
    there = {str(p.relative_to(DEPLOY)) for p in DEPLOY.rglob("*") if p.is_file() and p.name != "README.md"}
    assert there == set(wanted)


def test_the_command_writes_the_same_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grafana", "render", str(tmp_path), "--county", "210423"]) == 0
    assert "files under" in capsys.readouterr().out
    one = json.loads((tmp_path / "victoria/dashboards/en/site.json").read_text(encoding="utf-8"))
    assert one["uid"] == "seal-site-210423"
    assert one["panels"][0]["datasource"] == {"type": "prometheus", "uid": "sealwatch-samples-210423"}


@pytest.mark.parametrize("name", sorted(DASHBOARDS))
def test_a_dashboard_survives_grafanas_own_models(name: str) -> None:
    """The SDK's models are generated from Grafana's published schema: what they read and write again is unchanged."""
    there = copy.deepcopy(DASHBOARDS[name])
    # The models have no annotation over SQL and read queries only of data sources that they know.
    plain = {key: value for key, value in there.items() if key != "annotations"}
    again = json.loads(json.dumps(model.Dashboard.from_json(plain), cls=JSONEncoder))
    again.pop("annotations", None)
    for before, after in zip(plain["panels"], again["panels"], strict=True):
        for panel in (before, after):
            panel.pop("targets")
            panel.pop("fieldConfig")
            panel.pop("options")
        assert after == before
    assert {k: v for k, v in again.items() if k not in {"panels", "annotations"}} == {
        k: v for k, v in plain.items() if k != "panels"
    }


@pytest.mark.parametrize("name", sorted(DASHBOARDS))
def test_a_dashboard_uses_nothing_that_grafana_9_3_lacks(name: str) -> None:
    there = DASHBOARDS[name]
    assert there["schemaVersion"] == SCHEMA_VERSION == 37
    assert {panel["type"] for panel in there["panels"]} <= CORE_9_3
    for panel in there["panels"]:
        assert {t["id"] for t in panel.get("transformations", [])} <= TRANSFORMATIONS_9_3
        for target in panel["targets"]:
            assert target["datasource"]["type"] in {"influxdb", "prometheus", "postgres"}


@pytest.mark.parametrize("name", sorted(DASHBOARDS))
def test_panels_have_their_own_number_and_place(name: str) -> None:
    there = DASHBOARDS[name]
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,40}", there["uid"])
    taken: set[tuple[int, int]] = set()
    for panel in there["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    numbers = [panel["id"] for panel in there["panels"]]
    assert numbers == sorted(set(numbers))


def test_both_engines_and_both_languages_have_the_same_panels() -> None:
    def shape(name: str) -> list[tuple[str, Any]]:
        return [(panel["type"], panel["gridPos"]) for panel in DASHBOARDS[name]["panels"]]

    for board in BOARDS:
        shapes = [
            shape(f"{engine}/dashboards/{language}/{board.key}.json") for engine in Engine for language in ("zh", "en")
        ]
        assert shapes.count(shapes[0]) == 4


def test_every_title_is_chinese_and_has_its_english() -> None:
    for board in BOARDS:
        for panel in board.panels:
            key = f"grafana.{board.key}.{panel.key}"
            assert re.search(r"[\u4e00-\u9fff]", text.say("zh", key)), key
            assert not re.search(r"[\u4e00-\u9fff]", text.say("en", key)), key


def test_panels_lead_to_the_incident_and_to_the_site() -> None:
    look = Look(sources=Sources(Engine.INFLUXDB, "210423"), service_url="https://seal.example")
    overview = json.dumps(render(BOARDS[0], look))
    assert "https://seal.example/incidents/${__value.raw}" in overview
    assert "/d/seal-site-210423?var-site=${__value.raw}" in overview


def test_no_secret_stands_in_a_file() -> None:
    for name, content in files().items():
        for key in ("password", "httpHeaderValue1"):
            for found in re.findall(rf'"{key}": "([^"]*)"', content):
                assert "$__file{" in found, name
