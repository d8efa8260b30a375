"""What every response carries, what no request may be, and how faults are told."""

from __future__ import annotations

import re

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.exc import OperationalError

from sealwatch.cloud.db.engine import Database
from tests.cloud.web.conftest import ClientFactory
from tests.cloud.web.scene import RED, Scene

PATHS = ("/", f"/incidents/{RED}", "/incidents/none", "/healthz", "/metrics", "/api/v1/incidents", "/static/app.css",
         "/openapi.json", "/a/none", "/nowhere", "/favicon.ico")  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_every_response_carries_the_security_headers(scene: Scene, client: TestClient, path: str) -> None:
    scene.add_red()
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"]
    assert "server" not in headers


@pytest.mark.parametrize("path", ["/", f"/incidents/{RED}", "/nowhere"])
def test_pages_need_nothing_inline_and_nothing_from_elsewhere(scene: Scene, client: TestClient, path: str) -> None:
    scene.add_red()
    html = client.get(path).text
    assert not re.search(r"<script(?![^>]*\bsrc=)", html)
    assert not re.search(r"\son\w+=", html)
    assert " style=" not in html
    assert "<style" not in html
    links_out = re.compile(r'<a href="https://[^"]+" rel="noreferrer noopener" target="_blank">')  # to map services
    assert not re.search(r'(?:src|href|action)="(?:https?:)?//', links_out.sub("", html))


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[::2]:8000", "localhost.evil"])
def test_a_foreign_host_name_is_refused(client: TestClient, host: str) -> None:
    response = client.get("/", headers={"Host": host})
    assert (response.status_code, "不认识的主机名" in response.text) == (400, True)


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000", "LOCALHOST"])
def test_this_machine_may_be_called_by_its_usual_names(client: TestClient, host: str) -> None:
    assert client.get("/", headers={"Host": host}).status_code == 200


def test_a_large_body_is_refused_by_its_length_and_by_its_bytes(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    large = b"note=" + b"x" * 20_000
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    by_length = client.post(f"/incidents/{RED}/close", content=large, headers=headers)
    by_bytes = client.post(f"/incidents/{RED}/close", content=iter([large[:9000], large[9000:]]), headers=headers)
    assert (by_length.status_code, by_bytes.status_code) == (413, 413)
    assert client.post("/", content=b"", headers={"Content-Length": "-5"}).status_code == 413


def test_static_files_are_named_by_content_and_kept_for_ever(client: TestClient) -> None:
    url = re.search(r'href="(/static/app\.css\?v=[0-9a-f]{12})"', client.get("/").text)
    assert url is not None
    response = client.get(url[1])
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert response.headers["content-type"].startswith("text/css")
    for name in ("nothing.css", "..%2Fapp.py", "base.html"):
        assert client.get(f"/static/{name}").status_code == 404


def test_a_fault_inside_is_told_without_a_traceback(
    scene: Scene, open_client: ClientFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_self: Database) -> None:
        raise RuntimeError("/secret/path is broken")

    monkeypatch.setattr(Database, "read", broken)
    page, program = open_client().get("/"), open_client(accept="*/*").get("/api/v1/incidents")
    for response in (page, program):
        assert response.status_code == 500
        assert "secret" not in response.text
        assert "Traceback" not in response.text
        assert response.headers["content-security-policy"].startswith("default-src 'none'")
    assert "服务内部出错" in page.text
    assert program.json()["type"] == "urn:sealwatch:problem:internal"


def test_a_busy_database_asks_for_patience(
    scene: Scene, open_client: ClientFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(_self: Database) -> None:
        raise OperationalError("SELECT secret", {}, Exception("database is locked"))

    monkeypatch.setattr(Database, "read", busy)
    for path in ("/", "/healthz", "/api/v1/incidents"):
        response = open_client(accept="*/*").get(path)
        assert (response.status_code, response.headers["retry-after"]) == (503, "5")
        assert "SELECT" not in response.text


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize(("path", "status"), [("/nowhere", 404), ("/incidents/none", 404), ("/a/none", 404)])
def test_faults_are_problem_details_for_programs_in_the_readers_language(
    open_client: ClientFactory, path: str, status: int, language: str
) -> None:
    response = open_client(accept="*/*").get(path, headers={"Accept-Language": language})
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["content-language"] == language
    problem = response.json()
    assert problem["status"] == response.status_code == status
    assert {"type", "title", "detail"} <= set(problem)
    assert bool(re.search(r"[\u4e00-\u9fff]", problem["title"])) == (language == "zh")


def test_the_language_is_remembered_once_chosen(client: TestClient) -> None:
    assert '<html lang="zh-CN">' in client.get("/").text
    page = client.get("/?lang=en")
    assert '<html lang="en">' in page.text
    assert page.headers["content-language"] == "en"
    assert '<html lang="en">' in client.get("/").text
    assert '<html lang="zh-CN">' in client.get("/?lang=zh").text
