"""The duty desk on a wide screen."""

from __future__ import annotations

import re

from fastapi.testclient import TestClient

from sealwatch.cloud.db.tables import Person
from tests.cloud.web.conftest import ClientFactory, form_token
from tests.cloud.web.scene import NOW_MS, ORANGE, RED, Scene, page
from tests.cloud.web.test_pages import text_of


def region(html: str, name: str) -> str:
    return text_of(html.split(f'id="{name}"')[1].split("</section>", maxsplit=1)[0])


def test_the_most_urgent_incident_is_chosen_until_another_one_is(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    scene.add_others()
    html = client.get("/desk").text
    assert re.search(rf'href="/desk\?incident={RED}" aria-current="true"', html)
    assert f'action="/incidents/{RED}/acknowledge"' in html
    other = client.get(f"/desk?incident={ORANGE}").text
    assert re.search(rf'href="/desk\?incident={ORANGE}" aria-current="true"', other)
    assert f'action="/incidents/{RED}/' not in other


def test_a_calm_county_and_an_unknown_choice_are_pages(scene: Scene, client: TestClient) -> None:
    assert "现在没有未结事件" in client.get("/desk").text
    scene.add_red()
    assert "从左边选一个事件" in client.get("/desk?incident=nothing").text


def test_only_an_unanswered_red_one_has_a_sound_to_stop(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    scene.add_others()
    html = client.get("/desk").text
    assert re.findall(r'data-red="([^"]+)"', html) == [f"{RED}-{NOW_MS - 420_000}"]
    client.post(f"/incidents/{RED}/acknowledge", data={"form_token": form_token(html)})
    assert "data-red" not in client.get("/desk").text


def test_a_form_of_the_wide_screen_leads_back_to_it(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    token = form_token(client.get("/desk").text)
    here = {"Referer": "http://127.0.0.1:8000/desk?incident=x"}
    done = client.post(f"/incidents/{RED}/acknowledge", data={"form_token": token}, headers=here)
    assert done.headers["location"] == f"/desk?incident={RED}"
    refused = client.post(f"/incidents/{RED}/shelve", data={"form_token": token, "hours": "1"}, headers=here)
    assert refused.headers["location"] == f"/desk?incident={RED}&said=no_reason"
    assert "请写明情况或原因" in client.get(refused.headers["location"]).text


def test_the_map_marks_what_is_open_and_what_is_silent(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    scene.add_others()
    html = client.get("/desk").text
    drawn = html.split('class="basemap"')[1].split("</section>")[0]
    assert 'aria-label="井家沟主井: 红"' in drawn
    assert 'aria-label="北沟风井: 橙"' in drawn
    assert 'aria-label="老虎洞二号平硐: 沉默"' in drawn
    assert ">枸乃甸乡</text>" in drawn
    assert "1 个站点没有坐标" in drawn
    assert "<image" not in drawn


def test_a_map_server_is_asked_only_where_one_is_configured(scene: Scene, open_client: ClientFactory) -> None:
    answer = open_client(web={"map_tiles": "https://tiles.example/{z}/{x}/{y}.png"}).get("/desk")
    assert '<image href="https://tiles.example/' in answer.text
    assert "img-src 'self' https://tiles.example;" in answer.headers["content-security-policy"]


def test_people_whom_the_last_page_did_not_reach_are_named(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    scene.add(
        page(7, "wang", "failed", NOW_MS - 1000, outcome="busy"),
        Person(person_id="sun", name="孙丽", role="网格员", level=5, email="sun@example.cn"),
        page(8, "sun", "failed", NOW_MS - 5000, outcome="gone"),
        page(9, "sun", "submitted", NOW_MS - 2000),
    )
    read = region(client.get("/desk").text, "unreachable")
    assert "王建国 村民组长 最近一次没有送达：消息推送" in read
    assert "李秀英 村支书 没有登记任何联系方式" in read
    assert "孙丽" not in read


def test_the_desk_in_english_has_no_chinese_but_names(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    scene.add_others()
    read = text_of(client.get("/desk?lang=en").text.split("<main")[1])
    left = set(re.findall(r"[\u4e00-\u9fff]+", read))
    assert left <= {"王建国", "李秀英", "张伟", "村民组长", "村支书", "应急局矿山股", "井口"}, left
