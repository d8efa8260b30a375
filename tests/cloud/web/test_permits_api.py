"""Permits through the JSON API."""

from __future__ import annotations

from tests.cloud.web.conftest import ClientFactory
from tests.cloud.web.scene import NOW_MS

HOUR_MS = 3_600_000


def test_through_the_api(open_client: ClientFactory) -> None:
    api = open_client(accept="application/json")
    body = {
        "site_id": "jingjiagou",
        "from_ms": NOW_MS - 1000,
        "to_ms": NOW_MS + HOUR_MS,
        "max_power_w": 7500,
        "max_people": 4,
        "equipment": ["pump", "hoist"],
        "purpose": "排水泵检修",
        "responsible": "赵师傅",
        "documents": ["报备表.pdf"],
    }
    made = api.post("/api/v1/permits", json=body)
    assert made.status_code == 201, made.text
    assert (made.json()["author"], made.json()["holds"]) == ("desk", True)
    (listed,) = api.get(f"/api/v1/permits?site_id={body['site_id']}").json()["items"]
    assert listed["equipment"] == ["pump", "hoist"]
    ended = api.post(f"/api/v1/permits/{listed['permit_id']}/end", json={"reason": "完工"})
    assert (ended.status_code, ended.json()["ended_by"], ended.json()["holds"]) == (200, "desk", False)
    assert api.get("/api/v1/permits").json()["items"] == []
    assert len(api.get("/api/v1/permits?state=all").json()["items"]) == 1
    again = api.post(f"/api/v1/permits/{listed['permit_id']}/end", json={"reason": "完工"})
    assert (again.status_code, again.json()["type"]) == (409, "urn:sealwatch:problem:permit_over")
    assert api.post("/api/v1/permits", json=body | {"max_people": 0}).status_code == 422
    assert api.post("/api/v1/permits", json=body | {"equipment": ["dynamite"]}).status_code == 422
    assert api.post("/api/v1/permits", json=body | {"site_id": "nowhere"}).json()["type"].endswith("unknown_site")
    assert api.post("/api/v1/permits", data=body).status_code in {415, 422}
