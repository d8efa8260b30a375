"""Pages of sites, nodes, people, permits, maintenance, channels, load, and the search."""

from __future__ import annotations

import re
from typing import Any

import pytest
from fastapi.testclient import TestClient

from sealwatch.cloud.db.duty_tables import Silence, WorkPermit
from sealwatch.cloud.db.tables import CommandReply, Downlink, Node, Person, Site
from sealwatch.cloud.duty import store as duty_store
from tests.cloud.web.conftest import form_token
from tests.cloud.web.scene import MINUTE_MS, NOW_MS, RED, Scene, page
from tests.cloud.web.test_pages import text_of

PAGES = ("/sites", "/sites/jingjiagou", "/sites/donggou", "/nodes/jingjiagou-1", "/people", "/permits", "/maintenance",
         "/channels", "/load", "/load?days=30", "/search", "/search?q=井", "/desk")  # fmt: skip


def full(scene: Scene) -> None:
    scene.add_red()
    scene.add_others()
    scene.add_permit()
    parts: list[dict[str, Any]] = [
        {"part_id": "cam-1", "kind": "camera", "ok": True, "reason": "fresh", "evidence_at_ms": NOW_MS - 3000},
        {"part_id": "meter-1", "kind": "meter", "ok": False, "reason": "no_reply", "numbers": {"retries": 4.0}},
        {"part_id": "configuration", "kind": "configuration", "ok": True, "reason": "local_changes",
         "numbers": {"confirmed_version": 3.0}},
    ]  # fmt: skip
    with scene.database.write() as session:
        node = session.get_one(Node, "jingjiagou-1")
        node.status = {"agent_version": "0.9.1", "outbox_depth": 2, "parts": parts}
        duty_store.put_roster(
            session, "night", name="夜班", people=("wang", "li"), holiday_people=(), begins_ms=NOW_MS - MINUTE_MS,
            turn_ms=12 * 60 * MINUTE_MS, author="desk", now_ms=NOW_MS,
        )  # fmt: skip


@pytest.mark.parametrize("url", PAGES)
@pytest.mark.parametrize("filled", [False, True])
def test_every_page_stands_empty_and_full_and_in_english(
    scene: Scene, client: TestClient, url: str, filled: bool
) -> None:
    if filled:
        full(scene)
    for language in ("zh", "en"):
        answer = client.get(url, params={**dict(re.findall(r"[?&](\w+)=([^&]+)", url)), "lang": language})
        assert answer.status_code == 200, text_of(answer.text)[-300:]
    read = text_of(answer.text.split("<main")[1])
    names = {
        "王建国",
        "李秀英",
        "张伟",
        "村民组长",
        "村支书",
        "应急局矿山股",
        "井口",
        "更换井口钢门",
        "赵强",
        "井",
        "夜班",
    }
    assert set(re.findall(r"[\u4e00-\u9fff]+", read)) <= names


def test_a_site_shows_its_cameras_power_alarms_people_and_devices(scene: Scene, client: TestClient) -> None:
    full(scene)
    html = client.get("/sites/jingjiagou").text
    read = text_of(html)
    for words in (
        "井家沟主井", "申报断电", "cam-1", "7 分钟前", "一周用电", "提升样用电 4 次", "更换井口钢门", "王建国",
        "1 项异常", "高德地图",
    ):  # fmt: skip
        assert words in read, words
    assert 'class="line"' in html
    assert f"/sites/jingjiagou/pictures/{scene.picture_sha256}/preview" in html


def test_an_old_picture_is_marked_as_old(scene: Scene, client: TestClient) -> None:
    full(scene)
    assert "画面停在" not in client.get("/sites/jingjiagou").text
    scene.clock.advance(25 * 3600)
    assert "画面停在" in text_of(client.get("/sites/jingjiagou").text.split('id="cameras"')[1].split("</section>")[0])


def test_a_picture_of_a_site_is_given_out_for_that_site_alone(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    assert client.get(f"/sites/jingjiagou/pictures/{scene.picture_sha256}/preview").status_code == 200
    assert client.get(f"/sites/beigou/pictures/{scene.picture_sha256}").status_code == 404


def test_a_node_shows_its_parts_its_drift_and_what_it_was_asked(scene: Scene, client: TestClient) -> None:
    full(scene)
    page_ = client.get("/nodes/jingjiagou-1").text
    read = text_of(page_)
    for words in ("0.9.1", "现场改动过，与下发不一致 · 运行第 3 版", "电表 meter-1", "异常", "no_reply", "cam-1"):
        assert words in read, words
    token = form_token(page_)
    asked = client.post("/nodes/jingjiagou-1/snapshot", data={"form_token": token, "camera": "cam-1"})
    assert (asked.status_code, asked.headers["location"]) == (303, "/nodes/jingjiagou-1")
    assert "取画面 cam-1 值班台" in text_of(client.get("/nodes/jingjiagou-1").text)
    with scene.database.write() as session:
        (command,) = session.query(Downlink).filter_by(channel="command")
        session.add(
            CommandReply(
                node_id="jingjiagou-1", command_id=command.message_id, ok=True, reason="taken",
                detail=scene.picture_sha256, replied_at_ms=NOW_MS, received_at_ms=NOW_MS,
            )
        )  # fmt: skip
    read = text_of(client.get("/nodes/jingjiagou-1").text)
    assert "已完成" in read
    assert "刚刚" in read.split("摄像机")[1]


def test_what_is_asked_of_a_node_wants_a_form_and_a_sound_name(scene: Scene, client: TestClient) -> None:
    full(scene)
    token = form_token(client.get("/nodes/jingjiagou-1").text)
    assert client.post("/nodes/jingjiagou-1/snapshot", data={"camera": "cam-1"}).status_code == 403
    assert client.post("/nodes/none/snapshot", data={"form_token": token}).status_code == 404
    with scene.database.read() as session:
        assert session.query(Downlink).filter_by(channel="command").count() == 0


def test_unknown_sites_and_nodes_are_pages_with_a_way_home(client: TestClient) -> None:
    for url in ("/sites/none", "/nodes/none"):
        answer = client.get(url)
        assert (answer.status_code, 'href="/"' in answer.text) == (404, True)


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("家沟", "井家沟主井"), ("JINGJIA", "井家沟主井"), ("大苏河", "老虎洞二号平硐"), ("秀英", "李秀英"),
        ("beigou-1", "北沟风井"), (RED[:8], "疑似非法生产"), ("村支书", "李秀英"),
    ],
)  # fmt: skip
def test_the_search_finds_by_a_few_characters(scene: Scene, client: TestClient, q: str, found: str) -> None:
    full(scene)
    assert found in text_of(client.get("/search", params={"q": q}).text.split("<main")[1])


@pytest.mark.parametrize("q", ["%", "_", "没有这个", "<script>", "'"])
def test_signs_of_the_query_language_are_characters_like_others(scene: Scene, client: TestClient, q: str) -> None:
    full(scene)
    html = client.get("/search", params={"q": q}).text
    assert "没有找到" in html
    assert "<script>" not in html.split("<main")[1]


def test_a_permit_is_entered_told_to_nodes_and_ended(scene: Scene, client: TestClient) -> None:
    token = form_token(client.get("/permits").text)
    values = {
        "form_token": token, "site_id": "beigou", "from_at": "2026-11-22T08:00", "to_at": "2026-11-25T18:00",
        "from_hour": "8", "to_hour": "18", "max_people": "4", "max_power_kw": "7.5", "purpose": "排水泵检修",
        "responsible": "赵强", "telephone": "13900000002", "equipment": ["pump", "welder"],
    }  # fmt: skip
    assert client.post("/permits", data=values).headers["location"] == "/permits"
    with scene.database.read() as session:
        (row,) = session.query(WorkPermit)
        assert (row.from_ms, row.max_power_w, row.equipment) == (1_795_305_600_000, 7500.0, ["pump", "welder"])
        assert session.query(Downlink).filter_by(node_id="beigou-1", channel="declaration").count() == 1
    read = text_of(client.get("/permits").text)
    assert "北沟风井 · 排水泵检修" in read
    assert client.post(f"/permits/{row.permit_id}/end", data={"form_token": token, "reason": " "}).status_code == 422
    done = client.post(f"/permits/{row.permit_id}/end", data={"form_token": token, "reason": "提前完工"})
    assert done.status_code == 303
    assert "提前结束：提前完工" in text_of(client.get("/permits").text)
    assert client.post(f"/permits/{row.permit_id}/end", data={"form_token": token, "reason": "x"}).status_code == 409


@pytest.mark.parametrize(
    "wrong",
    [{"to_at": "2026-11-20T00:00"}, {"from_at": "gestern"}, {"site_id": "none"}, {"max_people": "0"},
     {"max_power_kw": "nan"}, {"purpose": ""}, {"equipment": "drill"}],
)  # fmt: skip
def test_a_permit_that_is_not_right_is_refused_in_words(
    scene: Scene, client: TestClient, wrong: dict[str, str]
) -> None:
    token = form_token(client.get("/permits").text)
    values = {
        "form_token": token, "site_id": "beigou", "from_at": "2026-11-22T08:00", "to_at": "2026-11-25T18:00",
        "max_people": "4", "max_power_kw": "7.5", "purpose": "检修", "responsible": "赵强",
    } | wrong  # fmt: skip
    answer = client.post("/permits", data=values)
    assert answer.status_code == 422
    assert "<h1>" in answer.text
    with scene.database.read() as session:
        assert session.query(WorkPermit).count() == 0


def test_maintenance_begins_with_kinds_and_a_reason_and_is_ended(scene: Scene, client: TestClient) -> None:
    token = form_token(client.get("/maintenance").text)
    values = {"form_token": token, "site_id": "beigou", "hours": "4", "kinds": ["camera_fault"], "reason": "换摄像机"}
    assert client.post("/maintenance", data=values | {"kinds": []}).status_code == 422
    assert client.post("/maintenance", data=values | {"hours": "169"}).status_code == 422
    assert client.post("/maintenance", data=values).headers["location"] == "/maintenance"
    with scene.database.read() as session:
        (row,) = session.query(Silence)
        assert (row.until_ms - row.from_ms, row.author) == (4 * 3_600_000, "desk")
    assert "北沟风井 · 换摄像机" in text_of(client.get("/maintenance").text)
    assert client.post(f"/maintenance/{row.silence_id}/end", data={"form_token": token}).status_code == 303
    assert client.post(f"/maintenance/{row.silence_id}/end", data={"form_token": token}).status_code == 409


def test_a_channel_whose_last_page_failed_says_what_it_was_told(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    scene.add(page(8, "zhang", "failed", NOW_MS, channel="sms", outcome="isv.AMOUNT_NOT_ENOUGH"))
    read = text_of(client.get("/channels").text)
    assert "sms 24 小时内送达 0，应答 0，失败 1" in read
    assert "对方答复：isv.AMOUNT_NOT_ENOUGH 最近一次失败" in read
    assert "消息推送 24 小时内送达 1" in read


def test_people_stand_by_level_with_who_is_on_duty(scene: Scene, client: TestClient) -> None:
    full(scene)
    read = text_of(client.get("/people").text)
    assert "夜班 王建国 → 李秀英 王建国 轮到" in read
    assert read.index("第 3 级责任人 张伟") < read.index("第 5 级责任人 王建国")


def test_a_name_is_never_taken_for_markup(scene: Scene, client: TestClient) -> None:
    with scene.database.write() as session:
        session.get_one(Site, "beigou").name_zh = "<img src=x onerror=alert(1)>"
        session.get_one(Person, "li").role = "<script>1</script>"
    for url in ("/sites", "/sites/beigou", "/people", "/desk", "/permits", "/search?q=beigou"):
        html = client.get(url).text
        assert "<img src=x" not in html, url
        assert "<script>1" not in html, url
