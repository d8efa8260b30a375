"""What the log says of requests and incidents: ids that belong together, and no path that opens anything."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from sealwatch.cloud import logs
from sealwatch.cloud.db.engine import Database
from sealwatch.cloud.incidents import history
from tests.cloud.web.conftest import form_token
from tests.cloud.web.scene import RED, Scene


class Said:
    """The log as a journal gets it: one JSON document a line."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    @property
    def text(self) -> str:
        return "".join(line for line in self.stream.getvalue().splitlines(keepends=True) if "httpx" not in line)

    def lines(self) -> list[dict[str, Any]]:
        """Ours; the test's own client logs too."""
        found = [json.loads(line) for line in self.text.splitlines()]
        return [line for line in found if line["logger"].startswith("sealwatch.")]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Iterator[Said]:
    root, made = logging.getLogger(), Said()
    handlers, level = root.handlers, root.level
    monkeypatch.setattr("sys.stderr", made.stream)
    logs.configure()
    yield made
    root.handlers = handlers
    root.setLevel(level)


def test_a_change_leaves_a_line_with_the_proxys_id_and_the_incident(
    scene: Scene, client: TestClient, said: Said
) -> None:
    scene.add_red()
    token = form_token(client.get(f"/incidents/{RED}").text)
    answer = client.post(
        f"/incidents/{RED}/acknowledge",
        data={"form_token": token, "note": ""},
        headers={"X-Request-ID": "from-the-proxy-1"},
    )
    assert answer.headers["X-Request-ID"] == "from-the-proxy-1"
    lines = said.lines()
    assert {line["request_id"] for line in lines} == {"from-the-proxy-1"}
    [request] = [line for line in lines if line["event"] == "request"]
    assert (request["method"], request["incident_id"], request["status"]) == ("POST", RED, answer.status_code)
    [moved] = [line for line in lines if line["event"].startswith("incident ")]
    assert (moved["incident_id"], moved["kind"]) == (RED, "acknowledged")


def test_an_answer_link_is_in_no_line_and_a_strange_id_is_not_taken_over(client: TestClient, said: Said) -> None:
    answer = client.get("/a/a-secret-link", headers={"X-Request-ID": "x\nforged: line"})
    assert re.fullmatch("[0-9a-f]{16}", answer.headers["X-Request-ID"])
    [line] = said.lines()
    assert (line["status"], line["request_id"]) == (answer.status_code, answer.headers["X-Request-ID"])
    assert "a-secret-link" not in said.text


def test_who_only_looks_leaves_no_line(client: TestClient, said: Said) -> None:
    assert client.get("/").headers["X-Request-ID"]
    assert said.lines() == []


def test_what_was_rolled_back_is_not_told(scene: Scene, database: Database, said: Said) -> None:
    scene.add_red()
    before = len(said.lines())

    class Undone(Exception):  # noqa: N818 - what happens, not an error
        pass

    def write() -> None:
        with database.write() as session:
            history.record(session, RED, "closed", at_ms=1, reason="r", before="open", after="closed")
            raise Undone

    with pytest.raises(Undone):
        write()
    assert len(said.lines()) == before
