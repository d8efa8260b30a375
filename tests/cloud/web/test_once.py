"""Requests that are sent again under their Idempotency-Key, on both databases."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from sealwatch.cloud.db.account_tables import KeptResponse
from sealwatch.cloud.db.engine import Database, open_database
from sealwatch.cloud.silences import store as silence_store
from sealwatch.cloud.web import once
from sealwatch.cloud.web.once import Asked, Kept
from tests.cloud.web.conftest import ClientFactory
from tests.cloud.web.scene import NOW_MS, Scene

KEY = "8e03978e-40d5-43dd-bc93-6894a57f9324"
BODY = {
    "site_id": "jingjiagou",
    "kinds": ["camera_fault"],
    "from_ms": NOW_MS,
    "until_ms": NOW_MS + 3_600_000,
    "reason": "更换摄像机",
}


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = open_database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def api(open_client: ClientFactory) -> TestClient:
    return open_client(accept="application/json")


def post(api: TestClient, key: str = KEY, path: str = "/api/v1/silences", **changes: Any) -> Any:
    return api.post(path, json=BODY | changes, headers={"Idempotency-Key": key})


def silences(api: TestClient) -> int:
    return len(api.get("/api/v1/silences?state=all").json()["items"])


def name_of(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["type"].rpartition(":")[2]


def test_the_same_request_again_gets_the_same_answer_and_does_nothing(api: TestClient) -> None:
    first, again = post(api), post(api)
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert ("Idempotency-Replayed" in first.headers, again.headers["Idempotency-Replayed"]) == (False, "true")
    assert silences(api) == 1
    assert post(api, key="another").json() != first.json()
    assert silences(api) == 2


def test_without_a_key_every_request_is_one_of_its_own(api: TestClient) -> None:
    assert {api.post("/api/v1/silences", json=BODY).status_code for _ in range(2)} == {201}
    assert silences(api) == 2


def test_a_key_under_another_request_is_refused(api: TestClient) -> None:
    post(api)
    assert name_of(post(api, reason="别的")) == (422, "idempotency_key_reused")
    assert name_of(post(api, path="/api/v1/permits")) == (422, "idempotency_key_reused")
    assert silences(api) == 1


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 201, "é"])
def test_an_unfit_key_is_refused_and_nothing_done(api: TestClient, key: str) -> None:
    response = api.post("/api/v1/silences", json=BODY, headers=[(b"Idempotency-Key", key.encode("latin-1"))])
    assert name_of(response) == (400, "idempotency_key_unfit")
    assert silences(api) == 0


def test_a_refusal_is_an_answer_too(api: TestClient) -> None:
    first, again = post(api, site_id="none"), post(api, site_id="none")
    assert first.status_code == again.status_code
    assert first.status_code in {404, 422}
    assert again.headers["Idempotency-Replayed"] == "true"


def test_after_a_day_a_key_is_free_again(scene: Scene, api: TestClient) -> None:
    post(api)
    scene.clock.advance(once.KEPT_S + 1)
    assert name_of(post(api)) != (422, "idempotency_key_reused")
    with scene.database.read() as session:
        assert session.scalar(select(func.count()).select_from(KeptResponse)) == 1, "the old one is swept away"


def test_what_failed_for_the_moment_is_tried_again(
    scene: Scene, api: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(silence_store, "make", _broken)
        assert post(api).status_code == 500
    assert post(api).status_code == 201
    assert silences(api) == 1


def _broken(*_: object, **__: object) -> None:
    raise RuntimeError("as if the disk were full")


ASKED = Asked("k" * 64, "r" * 64)


def test_while_the_first_is_under_way_the_second_waits_and_a_dead_ones_claim_passes(database: Database) -> None:
    assert once.claim(database, ASKED, now_ms=NOW_MS) == "yours"
    assert once.claim(database, ASKED, now_ms=NOW_MS + 59_000) == "under_way"
    assert once.claim(database, ASKED, now_ms=NOW_MS + 61_000) == "yours"
    assert once.claim(database, ASKED, now_ms=NOW_MS + 62_000) == "under_way"
    once.keep(database, ASKED, Kept(201, "application/json", b"{}"))
    once.drop(database, ASKED)  # what is kept stays
    assert once.claim(database, ASKED, now_ms=NOW_MS + 63_000) == Kept(201, "application/json", b"{}")


def test_of_many_services_asked_at_once_one_carries_it_out(database_url: str) -> None:
    services = [open_database(database_url) for _ in range(8)]
    found: list[Kept | str] = []
    start = threading.Barrier(len(services))

    def ask(database: Database) -> None:
        start.wait()
        found.append(once.claim(database, ASKED, now_ms=NOW_MS))

    threads = [threading.Thread(target=ask, args=(database,)) for database in services]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for database in services:
        database.close()
    assert sorted(map(str, found)) == ["under_way"] * 7 + ["yours"]
