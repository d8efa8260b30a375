"""The page behind an answer link: no login, one person, and nothing happens by merely opening it."""

from __future__ import annotations

import re

import pytest
from fastapi.testclient import TestClient

from sealwatch.cloud.auth.links import LinkSigner
from sealwatch.cloud.db.tables import Incident, IncidentEvent, Page
from sealwatch.contract.signing import from_base64url, to_base64url
from tests.cloud.web.conftest import ClientFactory
from tests.cloud.web.scene import NOW_MS, RED, Scene


@pytest.fixture(autouse=True)
def story(scene: Scene) -> None:
    scene.add_red()


def actions(html: str) -> str:
    """The words in the part with the buttons."""
    part = html.split('id="actions"')[1].split("</section>", maxsplit=1)[0]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", part))


def answers(scene: Scene) -> list[tuple[str, str]]:
    with scene.database.read() as session:
        rows = session.query(IncidentEvent).filter(IncidentEvent.kind.in_(["acknowledged", "passed_on"]))
        return [(row.kind, row.actor) for row in rows]


def test_the_link_shows_the_incident_and_asks_the_named_person(scene: Scene, client: TestClient) -> None:
    html = client.get(f"/a/{scene.token('wang')}").text
    assert "疑似非法生产" in html
    assert "提升样用电 4 次" in html
    assert 'class="line"' in html
    assert "王建国，请应答" in actions(html)
    assert "03:21:07 前有效" in html
    assert 'href="/"' not in html  # no way from here into the duty desk


def test_opening_the_link_changes_nothing_however_often_scanners_fetch_it(scene: Scene, client: TestClient) -> None:
    token = scene.token("wang")
    for method in ("GET", "HEAD", "GET"):
        client.request(method, f"/a/{token}")
    assert client.get(f"/a/{token}/answer").status_code == 405
    assert answers(scene) == []
    assert scene.changes.version == 0


def test_going_is_attributed_to_the_person_in_the_link_and_stops_the_paging(scene: Scene, client: TestClient) -> None:
    token = scene.token("wang")
    response = client.post(f"/a/{token}/answer", data={"answer": "going"})
    assert (response.status_code, response.headers["location"]) == (303, f"/a/{token}")
    with scene.database.read() as session:
        row, due = session.get(Incident, RED), session.get(Page, f"{3:032x}")
        assert row is not None
        assert due is not None
        assert (row.acknowledged_by, row.acknowledged_at_ms, due.state) == ("person:wang", NOW_MS, "cancelled")
    html = client.get(f"/a/{token}").text
    assert "王建国，您已应答" in actions(html)
    assert 'id="acknowledge"' not in html
    assert 'id="next"' not in html


def test_the_second_person_learns_who_was_first(scene: Scene, client: TestClient) -> None:
    client.post(f"/a/{scene.token('wang')}/answer", data={"answer": "going"})
    scene.clock.advance(30)
    response = client.post(f"/a/{scene.token('li')}/answer", data={"answer": "going"}, follow_redirects=True)
    assert "王建国已先应答，不用您再答" in actions(response.text)
    assert "02:21:07" in actions(response.text)
    assert answers(scene) == [("acknowledged", "person:wang")]


def test_pressing_twice_or_passing_on_after_going_is_one_answer(scene: Scene, client: TestClient) -> None:
    token = scene.token("wang")
    for answer in ("going", "going", "next"):
        assert client.post(f"/a/{token}/answer", data={"answer": answer}).status_code == 303
    assert answers(scene) == [("acknowledged", "person:wang")]


def test_passing_on_pages_the_next_at_once_and_leaves_the_way_back_open(scene: Scene, client: TestClient) -> None:
    token = scene.token("wang")
    html = client.post(f"/a/{token}/answer", data={"answer": "next"}, follow_redirects=True).text
    assert "已转下一人：张伟" in actions(html)
    assert "我去现场" in actions(html)
    assert "转下一人</button>" not in html
    with scene.database.read() as session:
        due = session.get(Page, f"{3:032x}")
        assert due is not None
        assert due.due_at_ms == NOW_MS
    paging = html.split('id="paging"')[1].split("</section>")[0]
    assert "去不了，已转下一人" in paging
    client.post(f"/a/{token}/answer", data={"answer": "going"})
    assert answers(scene) == [("passed_on", "person:wang"), ("acknowledged", "person:wang")]


def test_a_closed_incident_offers_no_answer(scene: Scene, client: TestClient) -> None:
    with scene.database.write() as session:
        row = session.get(Incident, RED)
        assert row is not None
        row.state, row.closed_at_ms, row.closure = "closed", NOW_MS, 0
    html = client.post(f"/a/{scene.token()}/answer", data={"answer": "going"}, follow_redirects=True).text
    assert "已结案：系统误报" in actions(html)
    assert answers(scene) == []


@pytest.mark.parametrize("answer", ["", "yes", "GOING"])
def test_an_unknown_answer_is_refused(scene: Scene, client: TestClient, answer: str) -> None:
    assert client.post(f"/a/{scene.token()}/answer", data={"answer": answer}).status_code == 422
    assert answers(scene) == []


def test_an_expired_link_says_so_and_does_nothing(scene: Scene, client: TestClient) -> None:
    token = scene.token(valid_s=60)
    scene.clock.advance(61)
    page = client.get(f"/a/{token}")
    assert (page.status_code, "链接已过期" in page.text) == (410, True)
    assert "井家沟" not in page.text
    assert client.post(f"/a/{token}/answer", data={"answer": "going"}).status_code == 410
    assert answers(scene) == []


def test_each_kind_of_bad_link_has_its_own_words_and_does_nothing(scene: Scene, client: TestClient) -> None:
    good = scene.token()
    altered = bytearray(from_base64url(good))
    altered[10] ^= 1
    foreign = LinkSigner(b"the secret of another service...", scene.public_url).token(
        incident_id=RED, person_id="wang", page_id="p", expires_at_ms=NOW_MS + 60_000
    )
    for token, status, words in (
        (to_base64url(bytes(altered)), 403, "链接被改动过"),
        (foreign, 403, "不是本服务发出的链接"),
        ("abc", 404, "链接不完整"),
    ):
        for path in ("", f"/pictures/{scene.picture_sha256}", f"/pictures/{scene.picture_sha256}/preview", "/events"):
            response = client.get(f"/a/{token}{path}")
            assert (response.status_code, words in response.text) == (status, True), path
        assert client.post(f"/a/{token}/answer", data={"answer": "going"}).status_code == status
    assert answers(scene) == []


def test_a_genuine_link_to_an_incident_that_is_gone_is_a_plain_page(scene: Scene, client: TestClient) -> None:
    token = scene.token(incident_id="ffff")
    assert client.get(f"/a/{token}").status_code == 404
    assert client.post(f"/a/{token}/answer", data={"answer": "going"}).status_code == 404


def test_the_link_gives_the_picture_of_its_incident_and_no_other(scene: Scene, client: TestClient) -> None:
    token = scene.token()
    assert client.get(f"/a/{token}/pictures/{scene.picture_sha256}").content == scene.picture
    assert len(client.get(f"/a/{token}/pictures/{scene.picture_sha256}/preview").content) <= 40_000
    assert client.get(f"/a/{token}/pictures/{'1' * 64}").status_code == 404


def test_the_link_works_without_login_and_without_cookies_where_the_desk_wants_a_token(
    scene: Scene, open_client: ClientFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESK_TOKEN", "a token of many characters")
    scene.access_token = "env:DESK_TOKEN"
    client, token = open_client(), scene.token()
    assert client.get(f"/a/{token}").status_code == 200
    client.cookies.clear()
    assert client.post(f"/a/{token}/answer", data={"answer": "going"}).status_code == 303
    assert answers(scene) == [("acknowledged", "person:wang")]
    assert client.get("/").status_code == 303
