"""Rosters, swaps, absences, holidays and people through the JSON API."""

from __future__ import annotations

from fastapi.testclient import TestClient

from sealwatch.cloud.db.duty_tables import SelfTest
from tests.cloud.web.conftest import ClientFactory
from tests.cloud.web.scene import NOW_MS, Scene

DAY_MS = 24 * 3_600_000


def person(api: TestClient, person_id: str, **changes: object) -> None:
    body = {"name": person_id, "level": 3, "telephone": "13800000000"} | changes
    assert api.put(f"/api/v1/people/{person_id}", json=body).status_code == 200


def test_a_roster_from_the_first_person_to_the_one_on_duty(open_client: ClientFactory) -> None:
    api = open_client(accept="application/json")
    for name in ("ann", "bob", "cat"):
        person(api, name)
    body = {"name": "值班", "people": ["ann", "bob"], "begins_ms": NOW_MS - DAY_MS // 2, "turn_ms": DAY_MS}
    assert api.put("/api/v1/rosters/day", json=body).status_code == 200

    def on_duty(at_ms: int = NOW_MS) -> tuple[str, str]:
        (duty,) = api.get(f"/api/v1/rosters?at_ms={at_ms}").json()["on_duty"]
        return duty["person_id"], duty["reason"]

    assert (on_duty(), on_duty(NOW_MS + DAY_MS)) == (("ann", "rotation"), ("bob", "rotation"))
    window = {"from_ms": NOW_MS - 1, "to_ms": NOW_MS + 1000, "reason": "换班"}
    swap = api.post("/api/v1/rosters/day/swaps", json={"person_id": "bob"} | window)
    assert (swap.status_code, on_duty()) == (201, ("bob", "swap"))
    away = api.post("/api/v1/absences", json={"person_id": "bob", "substitute_id": "cat"} | window)
    assert (away.status_code, on_duty()) == (201, ("cat", "substitute"))
    calendar = api.get("/api/v1/duty-calendar").json()
    assert (len(calendar["swaps"]), len(calendar["absences"])) == (1, 1)
    assert api.post(f"/api/v1/absences/{away.json()['id']}/cancel").status_code == 200
    assert api.post(f"/api/v1/swaps/{swap.json()['id']}/cancel").status_code == 200
    assert api.post(f"/api/v1/swaps/{swap.json()['id']}/cancel").status_code == 404
    assert on_duty() == ("ann", "rotation")


def test_holidays(open_client: ClientFactory) -> None:
    api = open_client(accept="application/json")
    assert api.put("/api/v1/holidays/2026-10-01", json={"name": "国庆节"}).status_code == 200
    assert api.get("/api/v1/duty-calendar").json()["holidays"] == [{"day": "2026-10-01", "name": "国庆节"}]
    assert api.put("/api/v1/holidays/2026-10-01", json={"name": ""}).status_code == 200
    assert api.get("/api/v1/duty-calendar").json()["holidays"] == []
    assert api.put("/api/v1/holidays/tomorrow", json={"name": "x"}).status_code == 422


def test_who_is_edited_here_is_the_services(open_client: ClientFactory) -> None:
    api = open_client(accept="application/json")
    person(api, "dan", level=5)
    (dan,) = [one for one in api.get("/api/v1/people").json()["items"] if one["person_id"] == "dan"]
    assert (dan["level"], dan["managed_by"]) == (5, "service")
    assert api.post("/api/v1/people/dan/give-back").status_code == 404  # not in the file


def test_what_is_refused(open_client: ClientFactory) -> None:
    api = open_client(accept="application/json")
    roster = {"name": "值班", "people": ["nobody-we-know"], "begins_ms": NOW_MS, "turn_ms": DAY_MS}
    assert api.put("/api/v1/rosters/day", json=roster).json()["type"].endswith("unknown_person")
    window = {"person_id": "x", "from_ms": NOW_MS, "to_ms": NOW_MS + 1, "reason": "换班"}
    assert api.post("/api/v1/rosters/none/swaps", json=window).status_code == 404
    for wrong in ({"level": 9}, {"email": "nowhere"}, {"telephone": "call me"}, {"managed_by": "file"}):
        body = {"name": "x", "level": 3} | wrong
        assert api.put("/api/v1/people/x", json=body).status_code == 422
    stranger = {"name": "x", "level": 3, "addresses": {"pigeon": "loft 7"}}
    assert api.put("/api/v1/people/x", json=stranger).json()["type"].endswith("unknown_channel")


def test_before_the_first_night_nothing_is_known(open_client: ClientFactory) -> None:
    api = open_client(accept="application/json")
    assert api.get("/api/v1/reachability").json() == {"at_ms": None, "channels": {}, "people": []}


def test_the_newest_night(scene: Scene, open_client: ClientFactory) -> None:
    people = [{"person_id": "li", "name": "李", "standing": "unreachable", "ways": {"sms": "last_failed"}}]
    with scene.database.write() as session:
        session.add(SelfTest(at_ms=NOW_MS, channels={"sms": "not_registered"}, people={"items": people}))
    body = open_client(accept="application/json").get("/api/v1/reachability").json()
    assert body == {"at_ms": NOW_MS, "channels": {"sms": "not_registered"}, "people": people}
