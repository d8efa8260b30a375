"""The page over HTTP: nobody without a login, nothing from elsewhere, and a change that reaches all it must."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from sealwatch.edge.config import load_node
from sealwatch.edge.page.access import IDLE_S
from tests.edge.page.desk_twin import CONFIG, PASSWORD, Served, served

ZONE = {"name": "井口", "polygon": [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9]], "dwell_s": 3}


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as found:
        yield found


def logged_in(page: Served) -> tuple[httpx.Client, str]:
    client = page.client()
    answer = client.post("/login", data={"name": "zhang", "password": PASSWORD})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    csrf = re.search(r'<meta name="csrf" content="([^"]+)"', client.get("/").text)
    assert csrf is not None
    return client, csrf[1]


def save(client: httpx.Client, csrf: str, *zones: Any, revision: str | None = None, **headers: str) -> httpx.Response:
    was = client.get("/api/cameras/gate-cam/drawn").json()["revision"]
    body = {"revision": revision or was, "drawn": {"zones": list(zones)}}
    return client.put("/api/cameras/gate-cam/drawn", json=body, headers={"X-CSRF": csrf, **headers})


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/changes",
        "/cameras/gate-cam",
        "/api/checklist",
        "/api/cameras/gate-cam/picture",
        "/api/cameras/gate-cam/drawn",
        "/api/cameras/gate-cam/night",
    ],
)
def test_without_a_login_nothing_is_shown(page: Served, path: str) -> None:
    for cookie in ({}, {"seal_session": "guessed"}):
        answer = httpx.get(page.url + path, cookies=cookie)
        assert answer.status_code in (303, 403)
        assert "gate-cam" not in answer.text


def test_every_answer_has_the_strict_headers_and_the_cookie_is_out_of_reach_of_scripts(page: Served) -> None:
    client, _ = logged_in(page)
    for path in ("/", "/login", "/static/page.js", "/nowhere", "/api/checklist", "/cameras/gate-cam"):
        headers = client.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'"), path
        assert (headers["x-frame-options"], headers["x-content-type-options"]) == ("DENY", "nosniff"), path
    answer = httpx.post(page.url + "/login", data={"name": "zhang", "password": PASSWORD})
    assert {"HttpOnly", "SameSite=Strict"} <= set(re.split("; ", answer.headers["set-cookie"]))


def test_other_names_and_other_sites_are_refused(page: Served) -> None:
    client, csrf = logged_in(page)
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 400
    assert save(client, csrf, ZONE, Origin="https://evil.example").status_code == 400
    assert save(client, csrf, ZONE, **{"Sec-Fetch-Site": "cross-site"}).status_code == 400
    assert save(client, "", ZONE).status_code == 403
    assert save(client, csrf + "x", ZONE).status_code == 403
    login = {"name": "zhang", "password": PASSWORD}
    assert httpx.post(page.url + "/login", data=login, headers={"Origin": "http://evil.example"}).status_code == 400
    assert load_node(page.path).cameras[0].zones == []
    assert page.sink.alarms == []


def test_a_saved_zone_is_in_the_file_at_the_camera_in_the_record_and_an_alarm(page: Served) -> None:
    client, csrf = logged_in(page)
    answer = save(client, csrf, ZONE)
    assert answer.status_code == 200, answer.text
    assert answer.json()["applied"] is True
    (zone,) = load_node(page.path).cameras[0].zones
    assert (zone.name, zone.polygon[2], zone.dwell_s) == ("井口", (0.9, 0.9), 3)
    assert "# above the gate" in page.path.read_text()
    (told,) = page.eyes.told
    assert told.zones == [zone]
    assert [(a.source_id, a.reason, a.phase.value) for a in page.sink.alarms] == [
        ("gate-cam", "zones_changed", "start"),
        ("gate-cam", "zones_changed", "end"),
    ]
    shown = client.get("/changes").text
    assert "zhang 从 127.0.0.1 修改了摄像机 gate-cam 的区域。原来：（空）；现在：井口 32%" in shown
    lines = {line["item"]: line for line in client.get("/api/checklist").json()["lines"]}
    assert (lines["zones"]["state"], lines["picture"]["state"]) == ("good", "good")


def test_who_saves_over_somebody_elses_change_is_stopped(page: Served) -> None:
    client, csrf = logged_in(page)
    old = client.get("/api/cameras/gate-cam/drawn").json()["revision"]
    page.path.write_text(CONFIG + "# edited by hand\n")
    answer = save(client, csrf, ZONE, revision=old)
    assert (answer.status_code, "重新载入" in answer.json()["error"]) == (409, True)
    assert page.path.read_text() == CONFIG + "# edited by hand\n"
    assert page.sink.alarms == []


@pytest.mark.parametrize(
    "zone",
    [
        {"name": "", "polygon": ZONE["polygon"]},
        {"name": "a", "polygon": [[0, 0], [1, 1]]},
        {"name": "a", "polygon": [[0, 0], [1, 1], [2, 0]]},
        {"name": "a", "polygon": ZONE["polygon"], "password": "x"},
        {"name": "a", "polygon": ZONE["polygon"], "dwell_s": -1},
    ],
)
def test_what_is_not_valid_changes_nothing(page: Served, zone: dict[str, Any]) -> None:
    client, csrf = logged_in(page)
    answer = save(client, csrf, zone)
    assert (answer.status_code, "内容不合规则" in answer.json()["error"]) == (400, True)
    assert page.path.read_text() == CONFIG


def test_a_camera_that_the_agent_does_not_watch_is_saved_and_said_to_need_a_restart(tmp_path: Path) -> None:
    with served(tmp_path, watched=False) as page:
        client, csrf = logged_in(page)
        assert save(client, csrf, ZONE).json()["applied"] is False
        assert load_node(page.path).cameras[0].zones != []
        assert client.get("/api/cameras/gate-cam/picture").status_code == 409


def test_the_picture_brings_what_is_seen_and_its_absence_is_said(page: Served) -> None:
    client, _ = logged_in(page)
    answer = client.get("/api/cameras/gate-cam/picture")
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.content.startswith(b"\xff\xd8")
    assert '"boxes": [[0.4, 0.3, 0.6, 0.9, "person", 0.81]]' in answer.headers["x-seen"]
    assert client.get("/api/cameras/other/picture").status_code == 404
    page.eyes.view = None
    assert client.get("/api/cameras/gate-cam/picture").status_code == 503


def test_a_night_picture_is_taken_by_itself_when_it_is_night_and_nothing_is_wrong(page: Served) -> None:
    client, _ = logged_in(page)
    page.clock.jump_wall((13 * 3600 * 1000 - page.clock.wall_ms() % 86_400_000) / 1000)  # 21:00 at the mine
    page.health[0] = page.health[0].__class__(part_id="gate-cam", kind="camera", ok=False, reason="signal_lost")
    page.desk.look_around()
    assert client.get("/api/cameras/gate-cam/night").status_code == 404
    page.health[0] = page.health[0].__class__(part_id="gate-cam", kind="camera", ok=True, reason="pictures_change")
    page.desk.look_around()
    assert client.get("/api/cameras/gate-cam/night").content.startswith(b"\xff\xd8")
    assert "2023-11-1" in client.get("/").text


def test_wrong_passwords_lock_and_the_service_hears_of_it(page: Served) -> None:
    for _ in range(5):
        answer = httpx.post(page.url + "/login", data={"name": "zhang", "password": "wrong wrong 1"})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")
    assert "已锁定" in answer.text
    assert [a.reason for a in page.sink.alarms] == ["login_locked"] * 2
    assert "wrong wrong" not in str(page.sink.alarms)


def test_a_session_ends_with_logout_and_by_itself(page: Served) -> None:
    client, csrf = logged_in(page)
    client.post("/logout", data={"csrf": "guessed"})
    kept = page.client()
    kept.post("/login", data={"name": "zhang", "password": PASSWORD})
    assert kept.get("/").status_code == 200
    page.clock.advance(IDLE_S + 1)
    assert kept.get("/").status_code == 303
    client, csrf = logged_in(page)
    token = client.cookies["seal_session"]
    client.post("/logout", data={"csrf": csrf})
    assert httpx.get(page.url + "/", cookies={"seal_session": token}).status_code == 303


def test_both_languages_and_no_value_becomes_markup(tmp_path: Path) -> None:
    with served(tmp_path) as page:
        client, csrf = logged_in(page)
        save(client, csrf, {**ZONE, "name": "<img src=x onerror=alert(1)>"})
        assert "<img src=x" not in client.get("/changes").text
        english = client.get("/?lang=en").text
        assert 'lang="en"' in english
        assert "Installation checklist" in english
        assert "安装检查" not in client.get("/").text  # remembered


@pytest.mark.parametrize("head", ["Content-Length: 999999999\r\n", "Transfer-Encoding: chunked\r\n", ""])
def test_a_body_of_unknown_or_absurd_length_is_not_read(page: Served, head: str) -> None:
    address = urlsplit(page.url)
    with socket.create_connection((address.hostname, address.port), 5) as raw:
        raw.sendall(f"POST /login HTTP/1.1\r\nHost: {address.netloc}\r\n{head}\r\n".encode())
        assert raw.recv(100).startswith(b"HTTP/1.1 413")


def test_many_silent_connections_leave_the_page_alive(page: Served) -> None:
    address = urlsplit(page.url)
    held = [socket.create_connection((address.hostname, address.port), 5) for _ in range(20)]
    for connection in held:
        connection.close()
    for _ in range(50):
        try:
            assert httpx.get(page.url + "/login").status_code == 200
        except httpx.TransportError:
            continue
        break
    else:
        pytest.fail("the page answers nobody any more")
