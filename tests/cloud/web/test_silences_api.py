"""Maintenance silences through the JSON API."""

from __future__ import annotations

from tests.cloud.web.conftest import ClientFactory
from tests.cloud.web.scene import NOW_MS


def test_through_the_api(open_client: ClientFactory) -> None:
    api = open_client(accept="application/json")
    body = {
        "site_id": "jingjiagou",
        "kinds": ["camera_fault", "liveness"],
        "from_ms": NOW_MS,
        "until_ms": NOW_MS + 3_600_000,
        "reason": "更换摄像机",
    }
    made = api.post("/api/v1/silences", json=body)
    assert made.status_code == 201, made.text
    silence = made.json()
    assert (silence["author"], silence["ended_at_ms"]) == ("desk", None)
    assert [one["silence_id"] for one in api.get("/api/v1/silences").json()["items"]] == [silence["silence_id"]]
    ended = api.post(f"/api/v1/silences/{silence['silence_id']}/end")
    assert (ended.status_code, ended.json()["ended_why"]) == (200, "early")
    again = api.post(f"/api/v1/silences/{silence['silence_id']}/end")
    assert (again.status_code, again.json()["type"]) == (409, "urn:sealwatch:problem:silence_over")
    assert api.post("/api/v1/silences/s-none/end").status_code == 404
    assert api.get("/api/v1/silences").json()["items"] == []
    assert len(api.get("/api/v1/silences?state=all&site_id=jingjiagou").json()["items"]) == 1
    wrongs: list[dict[str, object]] = [  # one a time
        {"kinds": []},
        {"kinds": ["everything"]},
        {"reason": ""},
        {"until_ms": NOW_MS - 1},
    ]
    for wrong in wrongs:
        assert api.post("/api/v1/silences", json=body | wrong).status_code == 422
