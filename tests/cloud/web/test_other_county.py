"""Every route that names something of a county, asked by every role of another one; and who sees pictures at home."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import inspect, text

from sealwatch.cloud.db.account_tables import Account
from sealwatch.cloud.db.duty_tables import Silence, WorkPermit
from sealwatch.cloud.db.tables import Site
from sealwatch.cloud.incidents import steps
from sealwatch.cloud.web.rules import MAY, RULES, Permission, Role
from tests.cloud.web.logins import Enter, form_token
from tests.cloud.web.scene import NOW_MS, RED, Scene

pytestmark = pytest.mark.usefixtures("cheap_argon2")
HOME, FOREIGN = "210423", "370181"
SITE, NODE = "jingjiagou", "jingjiagou-1"
HOUR_MS = 3_600_000
SILENCE = {
    "site_id": SITE, "kinds": ["person"], "from_ms": NOW_MS, "until_ms": NOW_MS + HOUR_MS, "reason": "检修",
}  # fmt: skip
PERMIT = {
    "site_id": SITE, "from_ms": NOW_MS, "to_ms": NOW_MS + HOUR_MS, "max_power_w": 1000, "max_people": 2,
    "purpose": "检修", "responsible": "赵强",
}  # fmt: skip
JSON: dict[str, dict[str, Any]] = {
    "/api/v1/incidents/{incident_id}/arrive": {},
    "/api/v1/incidents/{incident_id}/close": {"closure": 0},
    "/api/v1/incidents/{incident_id}/dispatch": {"to_person_id": "li"},
    "/api/v1/incidents/{incident_id}/refuse-closing": {"note": "x"},
    "/api/v1/incidents/{incident_id}/shelve": {"until_ms": NOW_MS + HOUR_MS, "reason": "x"},
    "/api/v1/incidents/{incident_id}/verify": {"note": "x"},
    "/api/v1/permits": PERMIT,
    "/api/v1/silences": SILENCE,
    "/api/v1/silences/{silence_id}/end": {"reason": "x"},
    "/api/v1/permits/{permit_id}/end": {"reason": "x"},
}
FORM = {
    "closure": "0", "hours": "1", "note": "x", "person_id": "li", "disabled": "true", "site_id": SITE, "reason": "x",
    "from_at": "2026-11-22T08:00", "to_at": "2026-11-22T09:00", "until_at": "2026-11-22T09:00", "max_power_kw": "1",
    "max_people": "1", "purpose": "x", "responsible": "x", "kinds": "person", "camera": "cam-1",
    "role": "auditor", "region": HOME,
}  # fmt: skip
OF_A_COUNTY = {"incident_id", "name", "site_id", "node_id", "permit_id", "silence_id", "account_id"}
"""Parameters that name something that lies in a county. People, rosters, holidays and absences lie in none."""
BY_BODY = {"/api/v1/permits", "/api/v1/silences", "/permits", "/maintenance"}


def names_of(template: str) -> set[str]:
    return {part[1:-1] for part in template.split("/") if part.startswith("{")}


def is_of_a_county(method: str, template: str) -> bool:
    return bool(names_of(template) & OF_A_COUNTY) or (method == "POST" and template in BY_BODY)


ASKED = sorted(
    key for key, wanted in RULES.items() if wanted not in {Permission.OPEN, Permission.OWN_KEY} and is_of_a_county(*key)
)


@pytest.fixture
def filled(scene: Scene) -> dict[str, str]:
    """Everything that a county can have, at the home county's site; the names of it."""
    scene.add_red()
    scene.add_permit()
    clip = scene.add_clip(b"\x00\x00\x00\x18ftypmp42" + b"x" * 100)
    with scene.database.write() as session:
        for site in session.query(Site):
            site.county_code = HOME if site.site_id == SITE else FOREIGN
        session.add(
            Silence(silence_id="s1", source_id="", author="desk", created_at_ms=NOW_MS, ended_at_ms=None, **SILENCE)
        )
        permit = session.query(WorkPermit).one().permit_id
    return {
        "incident_id": RED, "name": RED, "site_id": SITE, "node_id": NODE, "permit_id": permit, "silence_id": "s1",
        "sha256": scene.picture_sha256, "clip": clip,
    }  # fmt: skip


def ask(client: TestClient, method: str, template: str, names: dict[str, str], token: str) -> Any:
    values = names | ({"sha256": names["clip"]} if "/clips/" in template else {})
    url = template.format(**values)
    if method == "GET":
        return client.get(url)
    if template.startswith("/api/"):
        return client.request(method, url, json=JSON.get(template, {}), headers={"Accept": "application/json"})
    return client.post(url, data=FORM | {"form_token": token})


def kept(scene: Scene) -> str:
    """Everything in the database that a request of somebody else's county must not change."""
    tables = [
        name
        for name in inspect(scene.database.engine).get_table_names()
        if name not in {"audit_log", "account_sessions", "accounts"}
    ]
    with scene.database.read() as session:
        return json.dumps(
            {n: [list(r) for r in session.execute(text(f"SELECT * FROM {n}"))] for n in tables}, default=str
        )


@pytest.mark.parametrize("role", list(Role))
def test_no_role_of_another_county_reaches_anything(
    scene: Scene, enter: Enter, filled: dict[str, str], role: Role
) -> None:
    enter(Role.AUDITOR, HOME, login="theirs")
    with scene.database.read() as session:
        filled["account_id"] = session.query(Account).filter_by(login="theirs").one().account_id
    client = enter(role, FOREIGN, person_id="wang")  # although the human was paged for it
    token = form_token(client.get("/account").text)
    before = kept(scene)
    for method, template in ASKED:
        answer = ask(client, method, template, filled, token)
        there = 422 if template in BY_BODY else 404  # a site named in a body is "unknown_site"
        wanted = {there} if RULES[method, template] in MAY[role] else {403}
        assert answer.status_code in wanted, (method, template, answer.status_code, answer.text[:300])
        assert "井家沟" not in answer.text, template
    assert kept(scene) == before
    with scene.database.read() as session:
        theirs = session.query(Account).filter_by(login="theirs").one()
        assert theirs.disabled_at_ms is None
        assert theirs.password_hash


def test_the_same_requests_reach_their_target_at_home(scene: Scene, enter: Enter, filled: dict[str, str]) -> None:
    """Else the refusals above would say nothing."""
    enter(Role.AUDITOR, HOME, login="theirs")
    with scene.database.read() as session:
        filled["account_id"] = session.query(Account).filter_by(login="theirs").one().account_id
    client = enter(Role.COUNTY_ADMIN, HOME)
    token = form_token(client.get("/account").text)
    found = {(m, t): ask(client, m, t, filled, token).status_code for m, t in ASKED}
    assert {key: status for key, status in found.items() if status in {403, 404, 405, 422} or status >= 500} == {}


LISTS = sorted(
    template
    for (method, template), wanted in RULES.items()
    if method == "GET" and "{" not in template and template not in {"/events", "/openapi.json"}
    and wanted not in {Permission.OPEN, Permission.OWN_KEY, Permission.OPERATE}
)  # fmt: skip


@pytest.mark.parametrize("role", [Role.COUNTY_ADMIN, Role.AUDITOR])
def test_no_list_or_page_names_another_county(scene: Scene, enter: Enter, filled: dict[str, str], role: Role) -> None:
    home, client = enter(Role.DUTY_OFFICER, HOME), enter(role, FOREIGN)
    marks = ("井家沟", "Jingjiagou", SITE, RED, scene.picture_sha256)
    for template in LISTS:
        if RULES["GET", template] not in MAY[role]:
            continue
        answer = client.get(template, params={"q": "井"} if template == "/search" else {})
        assert answer.status_code == 200, template
        assert [mark for mark in marks if mark in answer.text] == [], template
    assert "井家沟" in home.get("/desk").text


# Who sees pictures at home


def looks(client: TestClient, names: dict[str, str]) -> tuple[bool, int, int]:
    page = client.get(f"/incidents/{RED}")
    assert page.status_code == 200
    picture = f"/incidents/{RED}/pictures/{names['sha256']}"
    return picture in page.text, client.get(picture).status_code, client.get(f"{picture}/preview").status_code


def test_a_grid_person_sees_pictures_of_what_they_were_paged_for_and_no_others(
    scene: Scene, enter: Enter, filled: dict[str, str]
) -> None:
    paged, waits, nobody = (
        enter(Role.GRID_PERSON, HOME, login="wang", person_id="wang"),
        enter(Role.GRID_PERSON, HOME, login="zhang", person_id="zhang"),
        enter(Role.GRID_PERSON, HOME, login="nobody"),
    )
    assert looks(paged, filled) == (True, 200, 200)
    for client in (waits, nobody):  # Zhang's page is only due
        assert looks(client, filled) == (False, 403, 403)
        assert "您的角色看不到图片" in client.get(f"/incidents/{RED}").text
    with scene.database.write() as session:
        steps.dispatch(session, incident_id=RED, actor="desk", to_person_id="zhang", now_ms=scene.clock.wall_ms())
    assert looks(waits, filled) == (True, 200, 200)
    assert (
        paged.get(f"/sites/{SITE}/pictures/{filled['sha256']}").status_code == 403
    )  # the site's pictures are not hers


@pytest.mark.parametrize("role", [Role.INSTALLER, Role.GRID_PERSON])
def test_a_page_holds_no_picture_that_its_reader_may_not_see(
    scene: Scene, enter: Enter, filled: dict[str, str], role: Role
) -> None:
    inspector, client = enter(Role.INSPECTOR, HOME), enter(role, HOME)
    for path in (f"/incidents/{RED}", f"/desk?incident={RED}", f"/sites/{SITE}", f"/nodes/{NODE}"):
        assert "<img" in inspector.get(path).text
        page = client.get(path)
        assert page.status_code == 200
        assert [mark for mark in ("<img", "/pictures/", "/clips/") if mark in page.text] == [], path
