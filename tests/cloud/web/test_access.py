"""Who may see the pages, and what no other site can make a browser do."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from sealwatch.base.clock import ManualClock
from sealwatch.base.settings import SettingsError
from sealwatch.cloud.db.tables import Incident
from sealwatch.cloud.web.access import COOKIE, Attempts, safe_target
from sealwatch.cloud.web.app import create_app
from tests.cloud.web.conftest import ClientFactory, form_token
from tests.cloud.web.scene import RED, Scene

TOKEN = "correct horse battery staple"
LOCKED = ("/", f"/incidents/{RED}", "/events", "/metrics", "/openapi.json", "/api/v1/incidents", "/api/v1/counters")


@pytest.fixture
def locked(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """A scene whose desk wants a token."""
    monkeypatch.setenv("DESK_TOKEN", TOKEN)
    scene.access_token = "env:DESK_TOKEN"
    scene.add_red()
    return scene


def log_in(client: TestClient, token: str = TOKEN, target: str = "/") -> tuple[int, str]:
    form = form_token(client.get("/login").text)
    response = client.post("/login", data={"form_token": form, "token": token, "next": target})
    return response.status_code, response.headers.get("location", "")


# --- the token ---


@pytest.mark.parametrize("path", LOCKED)
def test_without_a_session_nothing_is_shown(locked: Scene, open_client: ClientFactory, path: str) -> None:
    page, program = open_client().get(path), open_client(accept="*/*").get(path)
    if not path.startswith("/api/"):
        assert (page.status_code, page.headers["location"]) == (303, f"/login?next={path}")
    assert program.status_code == 401
    assert program.headers["www-authenticate"] == "Bearer"
    assert program.json()["type"] == "urn:sealwatch:problem:login_needed"


@pytest.mark.parametrize("path", ["/healthz", "/login", "/static/app.css", "/static/app.js", "/favicon.ico"])
def test_what_a_login_page_and_a_watchdog_need_stays_open(locked: Scene, client: TestClient, path: str) -> None:
    assert client.get(path).status_code in {200, 301}


def test_the_right_token_opens_the_pages_and_leads_back_to_where_one_wanted_to_go(
    locked: Scene, client: TestClient
) -> None:
    assert log_in(client, target=f"/incidents/{RED}") == (303, f"/incidents/{RED}")
    assert client.get(f"/incidents/{RED}").status_code == 200
    cookie = client.post("/login", data={"form_token": form_token(client.get("/login").text), "token": TOKEN})
    assert "HttpOnly" in cookie.headers["set-cookie"]
    assert "SameSite=lax" in cookie.headers["set-cookie"]
    assert TOKEN not in str(client.cookies)


def test_logging_out_closes_the_pages_again(locked: Scene, client: TestClient) -> None:
    log_in(client)
    assert client.post("/logout", data={"form_token": form_token(client.get("/").text)}).status_code == 303
    assert client.get("/").headers["location"] == "/login?next=/"


def test_a_wrong_token_is_told_and_after_ten_the_address_has_to_wait(locked: Scene, client: TestClient) -> None:
    for _ in range(10):
        assert log_in(client, "wrong") == (401, "")
    assert log_in(client)[0] == 429
    locked.clock.advance(301)
    assert log_in(client)[0] == 303


def test_wrong_bearer_tokens_count_as_attempts_too(locked: Scene, open_client: ClientFactory) -> None:
    client = open_client(accept="*/*")
    for _ in range(10):
        assert client.get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 401
    refused = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert (refused.status_code, int(refused.headers["retry-after"]) > 200) == (429, True)


def test_a_program_sends_the_token_as_bearer(locked: Scene, open_client: ClientFactory) -> None:
    client = open_client(accept="*/*")
    for path in ("/metrics", "/api/v1/incidents", "/openapi.json"):
        assert client.get(path, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert client.get("/metrics", headers={"Authorization": f"Basic {TOKEN}"}).status_code == 401


def test_a_session_ends_after_half_a_day_and_with_a_changed_token(
    locked: Scene, open_client: ClientFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = open_client()
    log_in(client)
    cookie = client.cookies[COOKIE]
    monkeypatch.setenv("DESK_TOKEN", "another token altogether")
    changed = open_client()
    changed.cookies.set(COOKIE, cookie)
    assert changed.get("/").status_code == 303
    assert client.get("/").status_code == 200
    locked.clock.advance(12 * 3600)
    assert client.get("/").status_code == 303


@pytest.mark.parametrize("cookie", ["", "x", "9999999999.aa.bb", "9999999999999.00." + "0" * 64, "..", "é"])
def test_a_made_up_session_is_none(locked: Scene, client: TestClient, cookie: str) -> None:
    assert client.get("/", headers={b"Cookie": f"{COOKIE}={cookie}".encode()}).status_code == 303


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:x", "", "/\n"]
)
def test_the_login_never_leads_to_another_site(target: str) -> None:
    assert safe_target(target) == "/"


def test_a_service_that_others_can_reach_does_not_start_without_a_token(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match=r"web\.host is 0\.0\.0\.0.*web\.access_token"):
        create_app(scene.services(host="0.0.0.0"))
    scene.public_url = "https://seal.example.cn"  # on loopback, but a proxy brings others in
    with pytest.raises(SettingsError, match=r"web\.public_url is https://seal\.example\.cn.*web\.access_token"):
        create_app(scene.services())
    monkeypatch.setenv("DESK_TOKEN", "short")
    scene.access_token = "env:DESK_TOKEN"
    with pytest.raises(SettingsError, match="5 characters"):
        create_app(scene.services())


def test_attempts_are_counted_per_address_and_forgotten() -> None:
    clock = ManualClock()
    attempts = Attempts(clock, most=2, window_s=10, most_addresses=2)
    for address in ("a", "a", "b"):
        attempts.failed(address)
    assert (attempts.wait_s("a"), attempts.wait_s("b")) == (10.0, 0.0)
    clock.advance(4)
    assert attempts.wait_s("a") == 6.0
    attempts.failed("c")  # the oldest address makes room
    assert attempts.wait_s("a") == 0.0
    clock.advance(10)
    assert attempts.wait_s("c") == 0.0
    assert attempts._failed_s.keys() == {"b"}


# --- forms from elsewhere ---


def state(scene: Scene) -> str:
    with scene.database.read() as session:
        row = session.get(Incident, RED)
        assert row is not None
        return row.state


def test_a_form_without_our_token_changes_nothing(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    client.get(f"/incidents/{RED}")
    for token in ("", "x", "A" * 32, "封"):
        response = client.post(f"/incidents/{RED}/acknowledge", data={"form_token": token})
        assert (response.status_code, "表单已失效" in response.text) == (403, True)
    assert state(scene) == "notified"


def test_a_token_from_another_browser_is_worth_nothing(scene: Scene, open_client: ClientFactory) -> None:
    scene.add_red()
    token = form_token(open_client().get(f"/incidents/{RED}").text)
    other = open_client()
    assert other.post(f"/incidents/{RED}/acknowledge", data={"form_token": token}).status_code == 403
    other.get("/")
    assert other.post(f"/incidents/{RED}/acknowledge", data={"form_token": token}).status_code == 403
    assert state(scene) == "notified"


def test_a_form_that_the_browser_itself_calls_foreign_is_refused(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    token = form_token(client.get(f"/incidents/{RED}").text)
    for site in ("cross-site", "same-site"):
        response = client.post(
            f"/incidents/{RED}/acknowledge", data={"form_token": token}, headers={"Sec-Fetch-Site": site}
        )
        assert response.status_code == 403
    assert state(scene) == "notified"


def test_two_pages_never_carry_the_same_token(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    one, two = (form_token(client.get(f"/incidents/{RED}").text) for _ in range(2))
    assert one != two
    assert client.post(f"/incidents/{RED}/acknowledge", data={"form_token": one}).status_code == 303


def test_the_form_cookie_is_strict_and_secure_behind_https(
    scene: Scene, open_client: ClientFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESK_TOKEN", TOKEN)
    scene.public_url, scene.access_token = "https://seal.example.cn", "env:DESK_TOKEN"
    response = open_client().get("/login", headers={"Host": "seal.example.cn"})
    cookie = response.headers["set-cookie"]
    assert "Secure" in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert response.headers["strict-transport-security"].startswith("max-age=")
