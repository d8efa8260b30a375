"""The JSON API, its document, and the figures for Prometheus."""

from __future__ import annotations

from typing import NoReturn

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from sealwatch.cloud.db.tables import AlarmRecord
from tests.cloud.web.conftest import ClientFactory
from tests.cloud.web.scene import NOW_MS, ORANGE, RED, YELLOW, Scene, incident


@pytest.fixture
def api(scene: Scene, open_client: ClientFactory) -> TestClient:
    """A program."""
    scene.add_red()
    scene.add_others()
    scene.add_refused()
    return open_client(accept="application/json")


def test_open_incidents_in_order_with_the_verdict_in_words(api: TestClient) -> None:
    body = api.get("/api/v1/incidents", headers={"Accept-Language": "en"}).json()
    assert [item["incident_id"] for item in body["items"]] == [RED, ORANGE, YELLOW]
    first = body["items"][0]
    assert first["sentence"] == "Suspected illegal production"
    assert first["site"]["name_zh"] == "井家沟主井"
    assert first["opened_at_ms"] == NOW_MS - 420_000
    assert body["next"] is None


def test_closed_incidents_page_by_page(scene: Scene, api: TestClient) -> None:
    scene.add(*[
        incident(f"c{i}", "beigou", "yellow", "closed", NOW_MS, closed_at_ms=NOW_MS - i % 3, closure=0)
        for i in range(7)
    ])  # fmt: skip
    seen, before = [], ""
    while True:
        body = api.get(f"/api/v1/incidents?state=closed&limit=3&before={before}").json()
        seen += [item["incident_id"] for item in body["items"]]
        if body["next"] is None:
            break
        before = body["next"]
    assert sorted(seen) == sorted(["closed1", *(f"c{i}" for i in range(7))])
    assert len(seen) == 8


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "state=all", "before=" + "x" * 101])
def test_a_question_out_of_bounds_is_refused_with_the_place(api: TestClient, query: str) -> None:
    response = api.get(f"/api/v1/incidents?{query}")
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["errors"][0]["at"].startswith("query.")


def test_one_incident_with_everything(scene: Scene, api: TestClient) -> None:
    body = api.get(f"/api/v1/incidents/{RED}").json()
    assert [alarm["kind"] for alarm in body["alarms"]] == ["person", "hoist_like_cycle"]
    assert body["alarms"][0]["snapshot_sha256"] == scene.picture_sha256
    assert [(page["name"], page["state"]) for page in body["pages"]] == [
        ("王建国", "submitted"), ("李秀英", "sending"), ("张伟", "due"),
    ]  # fmt: skip
    assert body["events"][0]["kind"] == "opened"
    assert api.get("/api/v1/incidents/none").json()["type"] == "urn:sealwatch:problem:unknown_incident"


def test_a_person_takes_an_incident_on_once_and_the_next_one_is_told(scene: Scene, api: TestClient) -> None:
    url = f"/api/v1/incidents/{RED}/acknowledge"
    first = api.post(url, json={"person_id": "li"})
    assert first.json() == {"name": "acknowledged", "changed": True, "by": "person:li", "at_ms": NOW_MS}
    assert scene.changes.version == 1
    assert api.post(url, json={"person_id": "li"}).json()["changed"] is False
    second = api.post(url, json={})
    assert (second.status_code, second.json()["type"]) == (409, "urn:sealwatch:problem:conflict")
    assert second.json()["by"] == "person:li"


def test_the_desk_takes_an_incident_on(api: TestClient) -> None:
    assert api.post(f"/api/v1/incidents/{RED}/acknowledge", json={}).json()["by"] == "desk"


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ('{"person_id": "nobody"}', "unknown_person"),
        ('{"person_id": 5}', "invalid_request"),
        ('{"someone": "li"}', "invalid_request"),
        ("{", "invalid_request"),
        ("[" * 5000, "invalid_request"),
        ("", "invalid_request"),
        ("null", "invalid_request"),
    ],
)
def test_a_broken_answer_changes_nothing(scene: Scene, api: TestClient, body: str, name: str) -> None:
    response = api.post(
        f"/api/v1/incidents/{RED}/acknowledge", content=body, headers={"Content-Type": "application/json"}
    )
    assert response.status_code in {400, 422}
    assert response.json()["type"] == f"urn:sealwatch:problem:{name}"
    assert scene.changes.version == 0


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_what_a_foreign_form_could_send_is_not_taken(scene: Scene, api: TestClient, kind: str) -> None:
    response = api.post(f"/api/v1/incidents/{RED}/acknowledge", content=b"{}", headers={"Content-Type": kind})
    assert response.status_code == 422
    assert scene.changes.version == 0


def test_what_a_browser_calls_foreign_is_refused(scene: Scene, api: TestClient) -> None:
    response = api.post(f"/api/v1/incidents/{RED}/acknowledge", json={}, headers={"Sec-Fetch-Site": "cross-site"})
    assert (response.status_code, scene.changes.version) == (403, 0)


def test_counters_and_quarantine(api: TestClient) -> None:
    assert api.get("/api/v1/counters").json() == {"alarms_stored": 12, "messages.received": 480}
    body = api.get("/api/v1/quarantine").json()
    assert body["counts"] == [{"reason": "bad_signature", "count": 3, "last_at_ms": NOW_MS}]
    assert body["latest"][0]["size_bytes"] == 812
    assert "payload" not in body["latest"][0]


def test_the_document_describes_the_api_and_nothing_else(api: TestClient) -> None:
    document = api.get("/openapi.json").json()
    assert document["openapi"].startswith("3.")
    assert set(document["paths"]) >= {
        "/api/v1/incidents", "/api/v1/incidents/{incident_id}", "/api/v1/incidents/{incident_id}/acknowledge",
        "/api/v1/alarms", "/api/v1/permits", "/api/v1/counters", "/api/v1/quarantine", "/healthz",
    }  # fmt: skip
    assert all(path.startswith("/api/v1/") for path in set(document["paths"]) - {"/healthz"})
    for path in ("/docs", "/redoc"):
        assert api.get(path).status_code == 404


def test_figures_for_prometheus(api: TestClient) -> None:
    response = api.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = response.text.splitlines()
    for line in (
        'sealwatch_open_incidents{level="red",state="notified"} 1.0',
        'sealwatch_quarantined_total{reason="bad_signature"} 3.0',
        "sealwatch_silent_nodes 2.0",
        "sealwatch_alarms_stored_total 12.0",
        "sealwatch_messages_received_total 480.0",
        "sealwatch_web_live_clients 0.0",
        "sealwatch_database_answers 1.0",
    ):
        assert line in lines, line


def test_while_the_database_is_away_the_services_own_counters_are_told_all_the_same(
    scene: Scene, api: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> NoReturn:
        raise OperationalError("SELECT 1", {}, Exception("connection refused"))

    monkeypatch.setattr(scene.database, "read", away)
    lines = api.get("/metrics").text.splitlines()
    assert "sealwatch_database_answers 0.0" in lines
    assert "sealwatch_messages_received_total 480.0" in lines
    assert not any(line.startswith("sealwatch_open_incidents{") for line in lines)


def test_the_service_says_that_it_is_well(api: TestClient) -> None:
    assert api.get("/healthz").json() == {"status": "ok"}


def test_every_alarm_is_found_whatever_became_of_it(scene: Scene, api: TestClient) -> None:
    with scene.database.write() as session:
        rows = session.scalars(select(AlarmRecord).where(AlarmRecord.incident_id == RED)).all()
        rows[0].incident_id, rows[0].set_aside, rows[0].set_aside_ref = None, "permit", "p-7"
        site_id, alarm_id = rows[0].site_id, rows[0].alarm_id
    everything = api.get("/api/v1/alarms").json()
    assert everything["next"] is None
    assert alarm_id in {one["alarm_id"] for one in everything["items"]}
    for query in ("set_aside=permit", "set_aside=any", "ref=p-7", f"site_id={site_id}&set_aside=permit"):
        (found,) = api.get(f"/api/v1/alarms?{query}").json()["items"]
        assert (found["alarm_id"], found["incident_id"], found["set_aside_ref"]) == (alarm_id, None, "p-7")
    assert api.get("/api/v1/alarms?set_aside=silence").json()["items"] == []


def test_alarms_page_by_page_lose_none(scene: Scene, api: TestClient) -> None:
    seen, query = [], "limit=1"
    while True:
        body = api.get(f"/api/v1/alarms?{query}").json()
        seen += [one["alarm_id"] for one in body["items"]]
        if body["next"] is None:
            break
        query = f"limit=1&before_ms={body['next']}"
    whole = [one["alarm_id"] for one in api.get("/api/v1/alarms").json()["items"]]
    assert sorted(seen) == sorted(whole)
