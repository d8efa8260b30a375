"""The life of an incident through the JSON API, and what is refused on the way."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from sealwatch.cloud.db.tables import Incident, Person
from tests.cloud.web.conftest import ClientFactory
from tests.cloud.web.scene import NOW_MS, RED, Scene

HOUR_MS = 3_600_000


@pytest.fixture
def api(scene: Scene, open_client: ClientFactory) -> TestClient:
    scene.add_red()
    return open_client(accept="application/json")


def do(api: TestClient, step: str, body: dict[str, object] | None = None) -> tuple[int, str]:
    response = api.post(f"/api/v1/incidents/{RED}/{step}", json=body)
    answer = response.json()
    return response.status_code, str(answer.get("name") or answer["type"].rpartition(":")[2])


def state(scene: Scene) -> str:
    with scene.database.read() as session:
        return str(session.scalar(select(Incident.state).where(Incident.incident_id == RED)))


def test_the_whole_way(scene: Scene, api: TestClient) -> None:
    with scene.database.read() as session:
        person_id = session.scalars(select(Person.person_id)).first()
    assert do(api, "dispatch", {"to_person_id": person_id}) == (200, "done")
    position = {"latitude_deg": 42.1, "longitude_deg": 124.9, "attachments": ["ab" * 32]}
    assert do(api, "arrive", position) == (200, "done")
    assert do(api, "verify", {"note": "封堵完好"}) == (200, "done")
    assert do(api, "shelve", {"until_ms": NOW_MS + HOUR_MS, "reason": "等电力公司"}) == (200, "done")
    assert do(api, "close", {"closure": 0, "note": "误报"}) == (200, "closed")
    assert state(scene) == "closed"
    assert do(api, "close", {"closure": 0}) == (200, "already_closed")
    assert do(api, "reopen", {"note": "看错了"}) == (200, "reopened")
    assert state(scene) == "reopened"


def test_passing_on_names_who_is_asked(scene: Scene, api: TestClient) -> None:
    response = api.post(f"/api/v1/incidents/{RED}/pass-on")
    assert (response.status_code, response.json()["changed"]) == (200, True)
    assert response.json()["name"] in {"passed_on", "nobody_left"}


@pytest.mark.parametrize(
    ("step", "body", "status", "name"),
    [
        ("dispatch", {"to_person_id": "stranger"}, 422, "unknown_person"),
        ("dispatch", {}, 422, "invalid_request"),
        ("verify", {"note": "x"}, 409, "conflict"),  # nobody has answered yet
        ("shelve", {"until_ms": NOW_MS + 200 * HOUR_MS, "reason": "x"}, 422, "bad_window"),
        ("shelve", {"until_ms": NOW_MS - 1, "reason": "x"}, 422, "bad_window"),
        ("shelve", {"until_ms": NOW_MS + HOUR_MS, "reason": "  "}, 422, "no_reason"),
        ("close", {"closure": 9}, 422, "invalid_request"),
        ("refuse-closing", {}, 409, "conflict"),
        ("reopen", {}, 409, "conflict"),
        ("arrive", {"latitude_deg": 95}, 422, "invalid_request"),
        ("arrive", {"attachments": ["../etc/passwd"]}, 422, "invalid_request"),
    ],
)
def test_what_is_refused_changes_nothing(
    scene: Scene, api: TestClient, step: str, body: dict[str, object], status: int, name: str
) -> None:
    before = state(scene)
    assert do(api, step, body) == (status, name)
    assert state(scene) == before


def test_an_incident_that_is_not_there(api: TestClient) -> None:
    for step in ("pass-on", "arrive", "close"):
        body = {"closure": 0} if step == "close" else {}
        response = api.post(f"/api/v1/incidents/nothing/{step}", json=body)
        assert (response.status_code, response.json()["type"]) == (404, "urn:sealwatch:problem:unknown_incident")


def test_a_browser_of_another_site_changes_nothing(scene: Scene, api: TestClient) -> None:
    headers = {"Sec-Fetch-Site": "cross-site"}
    for step in ("pass-on", "close", "arrive"):
        body = {"closure": 0} if step == "close" else {}
        assert api.post(f"/api/v1/incidents/{RED}/{step}", json=body, headers=headers).status_code == 403
    assert state(scene) == "notified"
