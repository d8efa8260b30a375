"""The duty desk's pages in every state a person can meet."""

from __future__ import annotations

import re

import pytest
from fastapi.testclient import TestClient

from sealwatch.cloud.db.tables import AlarmRecord, Incident, IncidentEvent, Page
from sealwatch.cloud.ports import Series
from sealwatch.cloud.telemetry.memory import MemoryTelemetry
from sealwatch.cloud.telemetry.remote import TelemetryUnavailable
from sealwatch.cloud.web.app import create_app
from tests.cloud.web.conftest import ClientFactory, form_token
from tests.cloud.web.scene import NOW_MS, ORANGE, RED, Scene, event, incident, page

MOST_FIRST_VIEW_BYTES = 100_000
MOST_PREVIEW_BYTES = 40_000


def text_of(html: str) -> str:
    """What a person reads: tags gone, spaces folded."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


# --- the list ---


def test_a_calm_county_says_so_and_how_many_nodes_watch(scene: Scene, client: TestClient) -> None:
    read = text_of(client.get("/").text)
    assert "现在没有未结事件" in read
    assert "4 个节点在看守" in read
    assert "所有节点都有回音" in read
    assert "还没有结案的事件" in read


def test_a_service_without_nodes_does_not_look_calm(open_client: ClientFactory, scene: Scene) -> None:
    with scene.database.write() as session:
        for table in ("nodes", "sites"):
            session.connection().exec_driver_sql(f"DELETE FROM {table}")
    assert "还没有登记节点" in open_client().get("/").text


def test_open_incidents_stand_most_urgent_first_and_newest_first_within_a_level(
    scene: Scene, client: TestClient
) -> None:
    scene.add_red()
    scene.add_others()
    scene.add(incident("orange2", "laohudong", "orange", "notified", NOW_MS - 60_000))
    html = client.get("/").text
    order = re.findall(r'class="card level-(\w+)" href="/incidents/([^"]+)"', html)
    assert [level for level, _ in order] == ["red", "orange", "orange", "yellow"]
    assert [order[0][1], order[1][1], order[2][1]] == [RED, "orange2", ORANGE]


def test_each_card_has_colour_shape_and_word_age_and_answer(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    scene.add_others()
    html = client.get("/").text
    red, orange = html.split('class="card level-')[1:3]
    assert "M8 2h8l6 6v8l-6 6H8l-6-6V8z" in red  # the octagon
    for words in ("红", "井家沟主井", "枸乃甸乡", "02:14:07 起", "7 分钟前", "无人应答"):
        assert words in text_of(red), words
    assert "李秀英已应答" in text_of(orange)
    assert "2 小时前" in text_of(orange)


def test_silent_sites_are_listed_with_the_reason_and_the_last_word(scene: Scene, client: TestClient) -> None:
    scene.add_others()
    read = text_of(client.get("/").text.split('id="silent"')[1].split("</section>")[0])
    assert "沉默的站点 2" in read
    assert "东沟斜井 donggou-1 从未上线" in read
    assert "老虎洞二号平硐 laohudong-1 · 最后消息 11月21日 23:21:07 3 小时前 已离线" in read


def test_a_node_that_misses_three_reports_is_overdue(scene: Scene, client: TestClient) -> None:
    scene.clock.advance(14 * 60)
    assert "所有节点都有回音" in client.get("/").text
    scene.clock.advance(60)
    assert "没有按时报平安" in client.get("/").text


def test_closed_incidents_are_turned_page_by_page_without_losing_one(scene: Scene, client: TestClient) -> None:
    scene.add(*[
        incident(f"c{i:02d}", "beigou", "yellow", "closed", NOW_MS - i, closed_at_ms=NOW_MS - (i // 4), closure=0)
        for i in range(20)
    ])  # fmt: skip
    url, seen = "/", []
    while url:
        html = client.get(url).text
        seen += re.findall(r'href="/incidents/(c\d\d)"', html)
        older = re.search(r'href="(/\?before=[^"&]+)"', html)
        url = older[1] if older else ""
    assert sorted(seen) == sorted({f"c{i:02d}" for i in range(20)})
    assert len(seen) == 20


def test_a_made_up_page_address_shows_the_first_page(scene: Scene, client: TestClient) -> None:
    scene.add_others()
    assert "closed1" in client.get("/?before=nonsense").text


# --- one incident ---


def test_the_incident_page_answers_what_where_since_when_and_who(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    response = client.get(f"/incidents/{RED}")
    read = text_of(response.text)
    assert response.status_code == 200
    for words in (
        "井家沟主井", "枸乃甸乡", "02:14:07 起", "7 分钟前", "申报断电",
        "井口有 2 人进入,已 6 分钟", "提升样用电 4 次", "118.2 s", "91 %",
        "王建国", "已通知，未应答", "李秀英", "呼叫中", "张伟", "待呼叫",
        "我去现场", "转下一人", "级别由橙升为红",
    ):  # fmt: skip
        assert words in read, words


def test_the_first_view_stays_below_its_weight(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    html = client.get(f"/incidents/{RED}").text
    total = len(html.encode())
    for url in re.findall(r'(?:href|src)="(/(?:static|incidents)/[^"]+)"', html):
        if "/static/" in url or url.endswith("/preview"):
            total += len(client.get(url).content)
    assert total <= MOST_FIRST_VIEW_BYTES
    assert client.get(f"/incidents/{RED}").headers["content-encoding"] == "gzip"


def test_the_preview_is_small_and_the_original_is_what_was_signed(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    url = f"/incidents/{RED}/pictures/{scene.picture_sha256}"
    preview, original = client.get(f"{url}/preview"), client.get(url)
    assert f'src="{url}/preview" width="1280" height="720" loading="lazy"' in client.get(f"/incidents/{RED}").text
    assert (preview.headers["content-type"], original.headers["content-type"]) == ("image/jpeg", "image/jpeg")
    assert len(preview.content) <= MOST_PREVIEW_BYTES < len(original.content)
    assert original.content == scene.picture
    assert original.headers["cache-control"].startswith("private")


def test_a_picture_of_another_incident_is_not_given_out(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    scene.add_others()
    assert client.get(f"/incidents/{ORANGE}/pictures/{scene.picture_sha256}").status_code == 404
    assert client.get(f"/incidents/{RED}/pictures/{'0' * 64}/preview").status_code == 404
    assert client.get(f"/incidents/{RED}/pictures/..%2F..%2Fetc").status_code == 404


def test_a_picture_that_has_not_arrived_is_awaited(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    scene.evidence._files.clear()
    assert "画面还在路上" in client.get(f"/incidents/{RED}").text
    assert client.get(f"/incidents/{RED}/pictures/{scene.picture_sha256}").status_code == 404


def test_an_altered_picture_is_named_and_never_shown(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    scene.evidence._files[scene.picture_sha256] = b"\xff\xd8\xff another picture"
    html = client.get(f"/incidents/{RED}").text
    assert "画面文件已被改动" in html
    assert "<img" not in html
    assert client.get(f"/incidents/{RED}/pictures/{scene.picture_sha256}").status_code == 409


def test_a_file_that_is_no_picture_is_not_sent_to_a_browser(scene: Scene, client: TestClient) -> None:
    scene.picture = b"<script>alert(1)</script>"
    scene.add_red()
    assert "画面文件无法显示" in client.get(f"/incidents/{RED}").text
    assert client.get(f"/incidents/{RED}/pictures/{scene.picture_sha256}").status_code == 404


def test_an_alarm_without_a_picture_says_so(scene: Scene, client: TestClient) -> None:
    scene.add_others()
    assert "这次报警没有画面" in client.get(f"/incidents/{ORANGE}").text


def test_the_curve_is_drawn_without_a_script_with_units_and_the_alarm_shaded(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    power = client.get(f"/incidents/{RED}").text.split('id="power"')[1].split("</section>")[0]
    assert power.count('class="line"') == 2  # broken once, by the silence
    assert 'class="shade"' in power
    assert "3 kW" in power
    assert "01:30" in power
    assert "最大 3.38 kW · 02:16:27" in power
    assert "数据停在" not in power


def test_a_curve_that_has_stopped_says_when(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    scene.clock.advance(12 * 60)
    power = client.get(f"/incidents/{RED}").text.split('id="power"')[1].split("</section>")[0]
    assert "数据停在 02:21:07（12 分钟前）" in power
    assert 'class="silence"' in power


def test_a_meter_put_in_lately_is_not_pressed_against_the_edge(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    recent = scene.telemetry.read(
        site_id="jingjiagou", metric="active_power_w", from_ms=NOW_MS - 600_000, to_ms=NOW_MS, max_points=10_000
    )["meter-1"]
    scene.telemetry = MemoryTelemetry()
    scene.telemetry.write(
        site_id="jingjiagou",
        node_id="n",
        source_id="meter-2",
        at_ms=recent.at_ms,
        values={"active_power_w": recent.values},
    )
    with TestClient(create_app(scene.services()), base_url="http://127.0.0.1:8000") as later:
        power = later.get(f"/incidents/{RED}").text.split('id="power"')[1].split("</section>")[0]
    assert "02:06:07 至 02:21:07" in power
    path = re.search(r'class="line"[^>]* d="([^"]+)"', power)
    assert path is not None
    assert path[1].count("L") > 100


def test_a_site_without_power_readings_says_so(scene: Scene, client: TestClient) -> None:
    scene.add_others()
    assert "这段时间没有用电数据" in client.get(f"/incidents/{ORANGE}").text


def test_an_empty_ladder_is_said_plainly(scene: Scene, client: TestClient) -> None:
    scene.add_others()
    assert "没有可叫的人" in client.get(f"/incidents/{ORANGE}").text


def test_only_the_latest_round_of_paging_is_shown_and_counted(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    scene.add(page(9, "zhang", "failed", NOW_MS, cycle=2, outcome="410"))
    paging = client.get(f"/incidents/{RED}").text.split('id="paging"')[1].split("</section>")[0]
    assert "第 2 轮" in paging
    assert "没有送达" in paging
    assert "王建国" not in paging


def test_what_a_newer_version_wrote_is_shown_as_it_is(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    scene.add(event(RED, NOW_MS, "drone_launched", altitude_m=30))
    with scene.database.write() as session:
        row = session.get(AlarmRecord, ("jingjiagou-1", "a1"))
        assert row is not None
        row.kind = "earthquake"
    html = client.get(f"/incidents/{RED}").text
    assert "drone_launched" in html
    assert "earthquake" in html


def test_text_from_a_node_is_never_taken_for_markup(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    with scene.database.write() as session:
        row = session.get(AlarmRecord, ("jingjiagou-1", "a1"))
        assert row is not None
        row.sentence_zh = "<script>alert('x')</script>"
        row.zone = '"><img src=x onerror=alert(1)>'
    html = client.get(f"/incidents/{RED}").text
    assert "<script>alert" not in html
    assert "<img src=x" not in html
    assert "&lt;script&gt;" in html


def test_an_unknown_incident_is_a_page_with_a_way_home(client: TestClient) -> None:
    response = client.get("/incidents/nothing")
    assert response.status_code == 404
    assert "没有这个事件" in response.text
    assert 'href="/"' in response.text


def test_the_page_in_english_has_no_chinese_but_names(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    scene.add_others()
    for url in ("/", f"/incidents/{RED}"):
        read = text_of(client.get(f"{url}?lang=en").text.split("<main")[1])
        left = set(re.findall(r"[\u4e00-\u9fff]+", read))
        assert left <= {"王建国", "李秀英", "张伟", "村民组长", "村支书", "应急局矿山股", "井口"}, left


# --- changing something ---


def test_acknowledging_stops_the_paging_and_tells_open_pages(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    token, before = form_token(client.get(f"/incidents/{RED}").text), scene.changes.version
    response = client.post(f"/incidents/{RED}/acknowledge", data={"form_token": token})
    assert (response.status_code, response.headers["location"]) == (303, f"/incidents/{RED}")
    assert scene.changes.version == before + 1
    with scene.database.read() as session:
        row, due = session.get(Incident, RED), session.get(Page, f"{3:032x}")
        assert row is not None
        assert due is not None
        assert (row.state, row.acknowledged_by) == ("acknowledged", "desk")
        assert due.state == "cancelled"
    html = client.get(f"/incidents/{RED}").text
    assert "值班台已应答" in html
    assert "报警后 7 分钟" in html
    assert 'id="acknowledge"' not in html
    assert "值班台应答：去现场" in html


def test_paging_the_next_one_hastens_who_is_due(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    token = form_token(client.get(f"/incidents/{RED}").text)
    assert client.post(f"/incidents/{RED}/next", data={"form_token": token}).status_code == 303
    with scene.database.read() as session:
        due = session.get(Page, f"{3:032x}")
        assert due is not None
        assert due.due_at_ms == NOW_MS
    assert "值班台转下一人：张伟" in client.get(f"/incidents/{RED}").text


def test_closing_keeps_reason_and_note_and_can_be_undone(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    token = form_token(client.get(f"/incidents/{RED}").text)
    values = {"form_token": token, "closure": "2", "note": " 电工检修 <b> "}
    assert client.post(f"/incidents/{RED}/close", data=values).status_code == 303
    html = client.get(f"/incidents/{RED}").text
    assert "已结案：设备正常维修" in html
    assert "值班台结案：设备正常维修 · 电工检修 &lt;b&gt;" in html
    assert 'id="step-close"' not in html
    assert client.post(f"/incidents/{RED}/reopen", data={"form_token": token}).status_code == 303
    assert "值班台重新打开" in client.get(f"/incidents/{RED}").text


@pytest.mark.parametrize("values", [{}, {"closure": "5"}, {"closure": "x"}, {"closure": "0", "note": "长" * 501}])
def test_a_closing_that_is_out_of_bounds_changes_nothing(
    scene: Scene, client: TestClient, values: dict[str, str]
) -> None:
    scene.add_red()
    token = form_token(client.get(f"/incidents/{RED}").text)
    response = client.post(f"/incidents/{RED}/close", data={"form_token": token, **values})
    assert response.status_code == 422
    assert "请求有误" in response.text
    with scene.database.read() as session:
        row = session.get(Incident, RED)
        assert row is not None
        assert row.state == "notified"


def test_pressing_twice_is_one_answer(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    token = form_token(client.get(f"/incidents/{RED}").text)
    for _ in range(2):
        assert client.post(f"/incidents/{RED}/acknowledge", data={"form_token": token}).status_code == 303
    with scene.database.read() as session:
        answers = session.query(IncidentEvent).filter_by(incident_id=RED, kind="acknowledged").count()
    assert answers == 1


@pytest.mark.parametrize("action", ["acknowledge", "next", "close", "reopen"])
def test_no_change_is_made_for_an_unknown_incident(scene: Scene, client: TestClient, action: str) -> None:
    scene.add_red()
    token = form_token(client.get(f"/incidents/{RED}").text)
    response = client.post(f"/incidents/nothing/{action}", data={"form_token": token, "closure": "0"})
    assert response.status_code == 404


@pytest.mark.parametrize("action", ["acknowledge", "next", "close", "reopen"])
def test_no_get_changes_anything(scene: Scene, client: TestClient, action: str) -> None:
    scene.add_red()
    assert client.get(f"/incidents/{RED}/{action}").status_code == 405


class _Away(MemoryTelemetry):
    """A store of measurements whose server does not answer."""

    def read(self, **_query: object) -> dict[str, Series]:
        raise TelemetryUnavailable("unreachable", "http://store: connection refused")


def test_an_incident_is_shown_while_the_store_of_measurements_is_away(scene: Scene, open_client: ClientFactory) -> None:
    scene.add_red()
    scene.telemetry = _Away()
    answer = open_client().get(f"/incidents/{RED}")
    assert answer.status_code == 200
    assert "这段时间没有用电数据" in answer.text
