"""The life of an incident on its page: what is offered in each state, and what a press becomes."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import pytest
from fastapi.testclient import TestClient

from sealwatch.cloud.db.tables import Evidence, Incident, IncidentEvent
from sealwatch.cloud.incidents.states import State
from sealwatch.cloud.web import life, views
from tests.cloud.web.conftest import form_token
from tests.cloud.web.scene import NOW_MS, RED, YELLOW, Scene, drawn_picture
from tests.cloud.web.test_pages import text_of

WANG = "person:wang"
KEY = "3f0c2f7e-7d7b-4a51-9f0b-2b6f4f3f0001"


def put(scene: Scene, state: State, **values: Any) -> None:
    with scene.database.write() as session:
        row = session.get_one(Incident, RED)
        row.state = str(state)
        for name, value in values.items():
            setattr(row, name, value)


def events(scene: Scene, kind: str) -> list[IncidentEvent]:
    with scene.database.read() as session:
        return list(session.query(IncidentEvent).filter_by(incident_id=RED, kind=kind))


def offered(scene: Scene, actor: str, *, by_link: bool = False) -> life.Choices:
    with scene.database.read() as session:
        found = views.incident(session, RED)
    assert found is not None
    return life.choices(found, actor=actor, by_link=by_link)


@pytest.mark.parametrize("state", list(State))
def test_every_state_has_one_primary_action_that_the_table_allows(scene: Scene, state: State) -> None:
    scene.add_red()
    put(scene, state, acknowledged_by=WANG)
    primary = offered(scene, "person:li").primary
    wanted = {
        "detected": "acknowledge", "notified": "acknowledge", "reopened": "acknowledge", "shelved": "acknowledge",
        "acknowledged": "arrive", "dispatched": "arrive", "on_site": "verify", "verified": "close",
        "handled": "confirm", "closed": "reopen",
    }  # fmt: skip
    assert primary == wanted[state]


def test_a_desk_that_answered_is_asked_whom_it_sends(scene: Scene) -> None:
    scene.add_red()
    put(scene, State.ACKNOWLEDGED, acknowledged_by="desk")
    assert offered(scene, "desk").primary == "dispatch"
    assert offered(scene, WANG).primary == "arrive"


def test_a_link_offers_nothing_that_is_the_desks(scene: Scene) -> None:
    scene.add_red()
    found = offered(scene, WANG, by_link=True)
    assert {found.primary, *found.others} == {"acknowledge", "next", "arrive", "close"}


def test_the_first_person_cannot_be_the_second(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    token = scene.token("wang")
    assert client.post(f"/a/{token}/answer", data={"answer": "going"}).status_code == 303
    assert client.post(f"/a/{token}/close", data={"closure": "1", "note": "有人开绞车"}).status_code == 303
    own = text_of(client.get(f"/a/{token}").text)
    assert "您认定：疑似非法生产。等待另一人复核。" in own
    assert client.post(f"/a/{token}/close", data={"closure": "1"}).headers["location"].endswith("?said=same_person")
    other = scene.token("li")
    html = client.get(f"/a/{other}").text
    assert "王建国认定：疑似非法生产。您同意销号吗？" in html
    assert client.post(f"/a/{other}/close", data={"closure": "1"}).status_code == 303
    assert "已结案：疑似非法生产" in client.get(f"/a/{other}").text


def test_who_does_not_agree_says_why_and_the_work_goes_on(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    put(scene, State.HANDLED, handled_by=WANG, handled_as=0, acknowledged_by=WANG, acknowledged_at_ms=NOW_MS)
    other = scene.token("li")
    assert client.post(f"/a/{other}/refuse", data={"note": " "}).headers["location"].endswith("said=no_reason")
    assert client.post(f"/a/{other}/refuse", data={"note": "照片里有新脚印"}).status_code == 303
    html = client.get(f"/incidents/{RED}").text
    assert "李秀英不同意销号 · 照片里有新脚印" in html


def test_the_walk_from_sending_to_closing_shows_who_did_what_when(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    token = form_token(client.get(f"/incidents/{RED}").text)

    def press(step: str, **values: str) -> None:
        scene.clock.advance(60)
        done = client.post(f"/incidents/{RED}/{step}", data={"form_token": token, **values})
        assert (done.status_code, done.headers["location"]) == (303, f"/incidents/{RED}"), step

    press("dispatch", person_id="li")
    press("arrive")
    press("verify", note="井口钢门被撬开")
    press("close", closure="1")
    html = client.get(f"/incidents/{RED}").text
    stages = text_of(html.split('id="stages"')[1].split("</ol>")[0])
    for words in ("发现 02:14:07", "派单 02:22:07 李秀英", "到场 02:23:07", "核查 02:24:07", "销号 02:25:07", "略过"):
        assert words in stages, words
    for words in ("值班台派单：李秀英前往", "值班台到场 · 没有定位", "值班台现场核查 · 井口钢门被撬开"):
        assert words in html, words


def test_a_step_that_is_not_possible_changes_nothing_and_says_so(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    put(scene, State.VERIFIED, acknowledged_by=WANG, acknowledged_at_ms=NOW_MS)
    token = form_token(client.get(f"/incidents/{RED}").text)
    done = client.post(f"/incidents/{RED}/dispatch", data={"form_token": token, "person_id": "li"})
    assert done.headers["location"] == f"/incidents/{RED}?said=not_now"
    assert "没有改动：事件已经走到下一步" in client.get(done.headers["location"]).text
    assert "said" not in client.get(f"/incidents/{RED}?said=<script>").text.split("<main")[1]


def test_shelving_has_an_end_and_a_reason(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    token = form_token(client.get(f"/incidents/{RED}").text)
    shelve = f"/incidents/{RED}/shelve"
    assert client.post(shelve, data={"form_token": token, "hours": "200", "note": "x"}).status_code == 422
    no_reason = client.post(shelve, data={"form_token": token, "hours": "4", "note": " "})
    assert no_reason.headers["location"].endswith("said=no_reason")
    assert client.post(shelve, data={"form_token": token, "hours": "4", "note": "暴雨封路"}).status_code == 303
    html = client.get(f"/incidents/{RED}").text
    assert "已搁置，06:21:07 到期后重新叫应" in html
    assert "值班台搁置 · 至 06:21:07 · 暴雨封路" in html


def test_a_check_in_keeps_distance_picture_and_the_phones_time(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    url, photo = f"/a/{scene.token('wang')}", drawn_picture(8)
    sha256 = hashlib.sha256(photo).hexdigest()
    values = {"latitude_deg": "42.0634", "longitude_deg": "124.9472", "accuracy_m": "12", "key": KEY,
              "taken_at_ms": str(NOW_MS - 600_000)}  # fmt: skip
    files = {"photo": ("p.jpg", photo, "image/jpeg")}
    for _ in range(3):  # a telephone that never heard the answer sends it again
        sent = client.post(f"{url}/arrive", data=values, files=files, headers={"Accept": "application/json"})
        assert sent.json() == {"name": "done", "state": "on_site", "remark": ""}
    (arrived,) = events(scene, "arrived")
    assert (arrived.actor, arrived.detail["attachments"]) == (WANG, [sha256])
    html = client.get(url).text
    assert "王建国到场 · 距站点 33 m · 照片 1 张 · 手机记录 02:11:07，后来补发" in client.get(f"/incidents/{RED}").text
    assert re.search(r'id="sent".*?/pictures/' + sha256, html, re.DOTALL)
    with scene.database.read() as session:
        assert session.get_one(Evidence, sha256).site_id == "jingjiagou"


def test_a_check_in_that_comes_after_the_closing_is_kept_and_moves_nothing(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    put(scene, State.CLOSED, closed_at_ms=NOW_MS, closure=0)
    for _ in range(2):
        assert client.post(f"/a/{scene.token('wang')}/arrive", data={"key": KEY}).status_code == 303
    assert len(events(scene, "checked_in")) == 1
    assert "王建国到场签到 · 没有定位" in client.get(f"/incidents/{RED}").text
    with scene.database.read() as session:
        assert session.get_one(Incident, RED).state == "closed"


def test_what_is_no_picture_is_not_kept_and_the_check_in_counts(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    url = f"/a/{scene.token('wang')}"
    sent = client.post(f"{url}/arrive", data={"key": KEY}, files={"photo": ("x.jpg", b"<script>", "image/jpeg")})
    assert sent.headers["location"] == f"{url}?said=unreadable_picture"
    (arrived,) = events(scene, "arrived")
    assert arrived.detail["attachments"] == []


def test_a_picture_has_room_where_one_may_be_sent_and_nowhere_else(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    url, large = f"/a/{scene.token('wang')}", {"photo": ("p.jpg", b"\xff\xd8" + bytes(17 * 2**20), "image/jpeg")}
    refused = client.post(f"{url}/arrive", files=large)
    assert (refused.status_code, "照片太大" in refused.text) == (413, True)
    assert client.post(f"{url}/close", data={"closure": "0", "note": "x" * 20_000}).status_code == 413
    assert events(scene, "arrived") == []


@pytest.mark.parametrize("values", [{"latitude_deg": "91"}, {"longitude_deg": "nan"}, {"key": "<>"}, {"key": "x" * 65}])
def test_a_check_in_out_of_bounds_is_refused(scene: Scene, client: TestClient, values: dict[str, str]) -> None:
    scene.add_red()
    assert client.post(f"/a/{scene.token('wang')}/arrive", data=values).status_code == 422
    assert events(scene, "arrived") == []


@pytest.mark.parametrize("step", ["dispatch", "arrive", "verify", "refuse", "shelve", "close"])
def test_the_desks_steps_want_the_form_of_this_browser(scene: Scene, client: TestClient, step: str) -> None:
    scene.add_red()
    values = {"person_id": "li", "note": "x", "hours": "1", "closure": "0"}
    assert client.post(f"/incidents/{RED}/{step}", data=values).status_code == 403
    assert client.post(f"/a/{'A' * 40}/{step}", data=values).status_code in {403, 404}


def test_yellow_is_closed_on_one_word(scene: Scene) -> None:
    scene.add_others()
    with scene.database.read() as session:
        found = views.incident(session, YELLOW)
    assert found is not None
    assert "handled" not in [stage.state for stage in life.stages(found)]
