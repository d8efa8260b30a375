"""An InfluxDB 2 from its first start on, as a local twin of its documented HTTP API, and the real InfluxDB 1."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from sealwatch.cloud.config import TelemetrySettings
from sealwatch.cloud.setup import files, plan, series
from sealwatch.cloud.setup.plan import Plan
from sealwatch.cloud.setup.steps import Outcome, done
from tests.cloud.telemetry.test_setup import Influx2Twin
from tests.servers import influx1_or_skip


class FreshInflux2(Influx2Twin):
    """A server that nobody has set up: it takes its first user once, and from then on only who shows a token."""

    def __init__(self) -> None:
        super().__init__()
        self.first: dict[str, Any] = {}
        self.authorizations: list[dict[str, Any]] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else {}
        match request.method, request.url.path:
            case "GET", "/api/v2/setup":
                return httpx.Response(200, json={"allowed": not self.first})
            case "POST", "/api/v2/setup":
                assert not self.first
                self.first = body
                self.buckets.append({"id": "b0", "name": body["bucket"], "retentionRules": [{"everySeconds": 2592000}]})
                return httpx.Response(201, json={})
            case "GET", "/api/v2/orgs":
                return httpx.Response(200, json={"orgs": [{"id": "0e", "name": "sealwatch"}]})
            case "POST", "/api/v2/authorizations":
                self.authorizations.append(body)
                return httpx.Response(201, json={"token": f"token-{len(self.authorizations)}"})
        return super().answer(request)


@pytest.fixture
def county(tmp_path: Path) -> Plan:
    made = plan.compose("seal.example.cn", tmp_path / "etc", tmp_path / "data", "210423")
    files.draw_secrets(made)
    return made


def test_a_server_that_nobody_has_set_up_is_claimed_and_gives_two_narrow_tokens(county: Plan) -> None:
    server = FreshInflux2()
    settings = TelemetrySettings(engine="influxdb", url="http://influx2")
    told = series.influx2(county, settings, client=server.client())
    assert told.outcome is Outcome.DONE
    assert server.first["token"] == county.secret("influx-admin-token").read_text().strip()
    assert server.first["password"] == county.secret("influx-password").read_text().strip()
    service, grafana = server.authorizations
    ids = {bucket["id"] for bucket in server.buckets}
    assert {p["resource"]["id"] for p in service["permissions"] if p["action"] == "write"} == ids
    assert {p["action"] for p in grafana["permissions"]} == {"read"}
    assert county.secret("influx-token").read_text() == "token-1\n"
    assert county.secret("grafana-series-token").read_text() == "token-2\n"
    again = series.influx2(county, settings, client=server.client())
    assert again.outcome is Outcome.SKIPPED
    assert len(server.authorizations) == 2


def test_a_real_influxdb_1_gets_its_databases(county: Plan) -> None:
    with influx1_or_skip() as server:
        there = dataclasses.replace(county, series_url=server.url, database="")
        assert files.write_config(there).outcome is Outcome.DONE
        assert series.make_series(there) == done("series.made", url=server.url, version="1.6.7~rc0", count=4)
        assert series.make_series(there).outcome is Outcome.SKIPPED
