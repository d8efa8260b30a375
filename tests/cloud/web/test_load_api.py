"""Alarm load through the JSON API."""

from __future__ import annotations

from tests.cloud.web.conftest import ClientFactory
from tests.cloud.web.scene import NOW_MS, Scene

DAY_MS = 24 * 3_600_000


def test_the_last_day(scene: Scene, open_client: ClientFactory) -> None:
    scene.add_red()
    api = open_client(accept="application/json")
    body = api.get(f"/api/v1/alarm-load?to_ms={NOW_MS + 1}").json()
    assert body["to_ms"] - body["from_ms"] == DAY_MS
    assert body["alarms"]["total"] == 2
    assert {one["source"]["kind"] for one in body["offenders"]} == {"person", "hoist_like_cycle"}
    assert body["pages"]["total"] == 1
    assert api.get("/api/v1/alarm-load?site_id=beigou").json()["alarms"]["total"] == 0


def test_spans_out_of_bounds_are_refused(open_client: ClientFactory) -> None:
    api = open_client(accept="application/json")
    for query, name in ((f"from_ms={NOW_MS}&to_ms=5", "bad_window"), (f"from_ms=0&to_ms={NOW_MS}", "too_long")):
        response = api.get(f"/api/v1/alarm-load?{query}")
        assert (response.status_code, response.json()["type"]) == (422, f"urn:sealwatch:problem:{name}")
