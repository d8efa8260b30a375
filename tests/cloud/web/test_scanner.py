"""The API as a scanner sees it: `schemathesis` asks the running service whatever the OpenAPI document allows, and not.

For each operation it tries boundary values, fields left out, values of wrong types and methods that are not there, then
random ones; every answer has to be one that the document names. With everything that a program can be given it runs on
PostgreSQL, which refuses more than SQLite (a NUL in a text, a number too large), and shorter on SQLite; and once as
somebody without a token, who is to get nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sealwatch.cloud.accounts import sessions
from sealwatch.cloud.accounts import store as accounts
from sealwatch.cloud.db.account_tables import Account
from sealwatch.cloud.db.engine import Database, open_database
from sealwatch.cloud.duty import store as duty
from sealwatch.cloud.silences import store as silences
from sealwatch.cloud.silences.store import Wanted
from sealwatch.cloud.web.app import create_app
from sealwatch.cloud.web.document import describe
from sealwatch.cloud.web.rules import GRANTABLE, Role
from tests.cloud.web.conftest import ClientFactory
from tests.cloud.web.logins import ACCOUNTS, add_account, form_token
from tests.cloud.web.scene import NOW_MS, ORANGE, RED, YELLOW, Scene
from tests.cloud.web.test_server import serving

pytestmark = pytest.mark.usefixtures("cheap_argon2")

SEED = "20261122"
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
    "negative_data_rejection,unsupported_method"
)
HOUR_MS = 3_600_000


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Both databases: what one of them takes, the other may refuse."""
    opened = open_database(database_url)
    yield opened
    opened.close()


def token_of_an_administrator(scene: Scene) -> str:
    """A bearer token with everything that a program can be given."""
    add_account(scene, "scanner", Role.COUNTY_ADMIN)
    with scene.database.write() as session:
        who = sessions.logged_in(session.query(Account).filter_by(login="scanner").one())
        scopes = frozenset(map(str, GRANTABLE))
        return accounts.make_token(session, who, name="scan", scopes=scopes, days=1, now_ms=NOW_MS)[1]


def something_of_everything(scene: Scene) -> dict[str, list[Any]]:
    """Incidents, a permit, a silence, a roster, a swap and an absence; their names, by parameter of a path."""
    scene.add_red()
    scene.add_permit()
    whole: dict[str, Any] = {"author": "desk", "now_ms": NOW_MS}
    span: dict[str, Any] = {"from_ms": NOW_MS, "to_ms": NOW_MS + HOUR_MS, "reason": "ill"}
    with scene.database.write() as session:
        wanted = Wanted(site_id="beigou", kinds=("person",), source_id="", from_ms=NOW_MS, until_ms=NOW_MS + HOUR_MS,
                        reason="camera is moved")  # fmt: skip
        silence = silences.make(session, wanted, **whole)
        duty.put_roster(
            session, "duty", name="Duty", people=("wang",), holiday_people=(), begins_ms=0, turn_ms=HOUR_MS, **whole
        )
        swap = duty.add_swap(session, "duty", person_id="wang", **span, **whole)
        absence = duty.add_absence(session, person_id="li", substitute_id="", **span, **whole)
        return {
            "incident_id": [RED, ORANGE, YELLOW],
            "silence_id": [silence.silence_id],
            "roster_id": ["duty"],
            "swap_id": [swap.id],
            "absence_id": [absence.id],
            "person_id": ["wang"],
        }


def known(document: dict[str, Any], names: dict[str, list[Any]]) -> dict[str, Any]:
    """The document, in whose paths the scanner finds names of things that are there beside any others."""
    for methods in document["paths"].values():
        for operation in methods.values():
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "path" and parameter["name"] in names:
                    parameter["schema"] = {"anyOf": [{"enum": names[parameter["name"]]}, parameter["schema"]]}
    return document


def scan(base: str, document: dict[str, Any], folder: Path, *options: str) -> None:
    """Run the scanner over a document; fails with its report where it found something."""
    path = folder / "openapi.json"
    path.write_text(json.dumps(document))
    command = [sys.executable, "-m", "schemathesis.cli", "run", str(path), "--url", base, "--checks", CHECKS, *options]
    command += ["--seed", SEED, "--generation-database", "none", "--suppress-health-check", "all", "--no-color"]
    done = subprocess.run([*command, "--warnings", "off"], capture_output=True, text=True, timeout=110, cwd=folder)
    if done.returncode != 0:
        pytest.fail(done.stdout + done.stderr, pytrace=False)


def test_whatever_a_program_with_every_right_asks_is_answered_as_the_document_says(
    scene: Scene, tmp_path: Path, database_url: str
) -> None:
    names, token = something_of_everything(scene), token_of_an_administrator(scene)
    phases = "coverage" if database_url.startswith("postgresql") else "fuzzing"
    with serving(scene, **ACCOUNTS) as (_, base):
        bearer = {"Authorization": f"Bearer {token}"}
        document = httpx.get(f"{base}/openapi.json", headers=bearer).raise_for_status().json()
        scan(
            base, known(document, names), tmp_path, "--header", f"Authorization: Bearer {token}",
            "--phases", phases, "--max-examples", "3", "--continue-on-failure",
        )  # fmt: skip


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_without_a_token_every_operation_refuses_whatever_it_is_given(scene: Scene, tmp_path: Path) -> None:
    document = known(describe(create_app(scene.services(**ACCOUNTS))), something_of_everything(scene))
    for methods in document["paths"].values():
        for operation in methods.values():
            if "security" in operation:
                operation["responses"] = {status: operation["responses"][status] for status in ("401", "429")}
    with serving(scene, **ACCOUNTS) as (_, base):
        scan(base, document, tmp_path, "--mode", "positive", "--phases", "fuzzing", "--max-examples", "2")


UNSTORABLE = [
    ("POST", f"/api/v1/incidents/{RED}/verify", b'{"note": "a\\u0000b"}', 422),
    ("POST", f"/api/v1/incidents/{RED}/acknowledge", b'{"person_id": "\\udc00"}', 422),
    ("PUT", "/api/v1/people/wang", b'{"name": "wang", "level": 1, "addresses": {"\\ud800": "x"}}', 422),
    ("PUT", "/api/v1/holidays/2026-02-31", b'{"name": "no such day"}', 422),
    ("GET", "/api/v1/alarms?site_id=%00", b"", 400),
    ("GET", "/incidents/%00", b"", 400),
]


def test_what_no_database_keeps_is_refused_by_both(scene: Scene, open_client: ClientFactory) -> None:
    scene.add_red()
    client = open_client()
    for method, url, body, status in UNSTORABLE:
        answer = client.request(method, url, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == status, (method, url, answer.text)
    form = {"form_token": form_token(client.get(f"/incidents/{RED}").text), "closure": "1", "note": "a\0b"}
    assert client.post(f"/incidents/{RED}/close", data=form).status_code < 500
