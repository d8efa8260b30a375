"""The routes for evidence inside the whole application: past the login, past the guard's bound, into the list."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from sealwatch.base.clock import ManualClock
from sealwatch.cloud.db.tables import Evidence, Node
from sealwatch.cloud.evidence.intake import open_receiver
from sealwatch.cloud.evidence.store import FileEvidence
from sealwatch.cloud.web.app import create_app
from sealwatch.contract import signing, wire
from sealwatch.contract.upload import (
    FILES_PATH,
    ITEMS_PATH,
    MAX_PIECE_BYTES,
    NODE_HEADER,
    OFFSET_HEADER,
    SIGNATURE_HEADER,
    SIGNED_AS,
    Announcement,
    request_text,
)
from sealwatch.evidence.envelope import seal
from tests.cloud.web.scene import Scene
from tests.evidence import support
from tests.evidence.support import KEY, NODE

FILM = bytes(range(256)) * 800  # larger than the pages' own bound


@pytest.fixture
def client(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """The application with a login, and a node whose key is the one of these tests."""
    monkeypatch.setenv("DESK_TOKEN", "a-token-that-is-long-enough")
    scene.access_token = "env:DESK_TOKEN"
    with scene.database.write() as session:
        site = session.query(Node).first()
        assert site is not None
        session.add(Node(node_id=NODE, site_id=site.site_id, public_key=signing.public_key_text(KEY.public_key())))
        monkeypatch.setattr(support, "SITE", site.site_id)
    store = FileEvidence(tmp_path / "evidence")
    receiver = open_receiver(tmp_path / "uploads", store, scene.database, ManualClock())
    app = create_app(dataclasses.replace(scene.services(), receiver=receiver))
    return TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False)


def signed(method: str, path: str, body: bytes, offset_bytes: int = 0) -> dict[str, str]:
    said = request_text(method, path, offset_bytes, hashlib.sha256(body).hexdigest())
    return {
        NODE_HEADER: NODE,
        SIGNATURE_HEADER: signing.sign(KEY, SIGNED_AS, said),
        OFFSET_HEADER: str(offset_bytes),
    }


def announcement() -> bytes:
    sealed = seal(KEY, support.manifest("clip-1", {"clip.mp4": FILM}))
    links = support.Chain()
    links.add(hashlib.sha256(sealed).hexdigest())
    return wire.encode(Announcement(manifest=sealed.decode(), link=links.lines[0].decode()))


def test_a_node_needs_no_login_and_its_clip_is_listed(client: TestClient, scene: Scene) -> None:
    body = announcement()
    answer = client.post(ITEMS_PATH, content=body, headers=signed("POST", ITEMS_PATH, body))
    assert answer.status_code == 200, answer.text
    [file] = answer.json()["files"]
    path = FILES_PATH + file["sha256"]
    answer = client.patch(path, content=FILM, headers=signed("PATCH", path, FILM))
    assert answer.json()["complete"] is True
    with scene.database.read() as session:
        row = session.get(Evidence, file["sha256"])
        assert row is not None
        assert (row.alarm_id, row.size_bytes, row.node_id) == ("a1", len(FILM), NODE)
    again = client.post(ITEMS_PATH, content=body, headers=signed("POST", ITEMS_PATH, body))
    assert again.json()["files"][0]["complete"] is True


def test_a_request_that_is_not_signed_for_what_it_says_is_refused(client: TestClient) -> None:
    body = announcement()
    answer = client.post(ITEMS_PATH, content=body, headers=signed("POST", ITEMS_PATH, b"something else"))
    assert (answer.status_code, answer.json()["reason"]) == (401, "bad_signature")
    assert client.post(ITEMS_PATH, content=body).status_code == 422


def test_a_piece_past_the_bound_is_stopped(client: TestClient) -> None:
    body = b"x" * (MAX_PIECE_BYTES + 1)
    path = FILES_PATH + "0" * 64
    assert client.patch(path, content=body, headers=signed("PATCH", path, body)).status_code == 413
