"""Accounts as people and programs meet them: the first link, login, roles, other counties, tokens, the audit log."""

from __future__ import annotations

import re

import pytest
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from sealwatch.cloud.accounts import proofs, sessions, store
from sealwatch.cloud.accounts.sessions import Device
from sealwatch.cloud.config import OidcSettings
from sealwatch.cloud.db.account_tables import Account, AuditEntry
from sealwatch.cloud.db.tables import Incident, Site
from sealwatch.cloud.incidents.service import close
from sealwatch.cloud.web import account_login
from sealwatch.cloud.web.app import create_app
from sealwatch.cloud.web.rules import MAY, RULES, Permission, Role
from sealwatch.contract.codes import Closure
from tests.cloud.web.conftest import ClientFactory
from tests.cloud.web.logins import ACCOUNTS, PASSWORD, SEALER, Enter, add_account, audit, code, post
from tests.cloud.web.scene import RED, Scene
from tests.cloud.web.test_rules import routes, whole_app


def first_link(scene: Scene) -> str:
    with scene.database.write() as session:
        return store.make_link(session, None, sealer=SEALER, author="system", now_ms=scene.clock.wall_ms())


pytestmark = pytest.mark.usefixtures("cheap_argon2")

# The first administrator


def test_the_first_link_makes_an_administrator_once_and_shows_the_recovery_codes(
    scene: Scene, open_client: ClientFactory
) -> None:
    url, client = f"/welcome/{first_link(scene)}", open_client(web=ACCOUNTS)
    page = client.get(url).text
    assert "<svg" in page
    secret = re.search(r"secret=([A-Z2-7]+)", page)
    assert secret is not None
    fields = {"login": "Zhao", "name": "赵主任", "password": PASSWORD, "again": PASSWORD}
    assert post(client, url, url, **fields, code="000000").status_code == 422
    done = post(client, url, url, **fields, code=code(scene, secret[1]))
    assert done.status_code == 200
    codes = re.findall(r"<code>([a-z2-9]{5}-[a-z2-9]{5})</code>", done.text)
    assert len(codes) == proofs.RECOVERY_CODES
    assert "赵主任" in client.get("/accounts").text
    assert open_client(web=ACCOUNTS).get(url).status_code == 410
    # The code that set it up is not good a second time; a recovery code is, once.
    other = open_client(web=ACCOUNTS)
    again = {"login": "zhao", "password": PASSWORD}
    assert post(other, "/login", **again, code=code(scene, secret[1])).status_code == 401
    assert post(other, "/login", **again, code=codes[0]).status_code == 303
    assert post(open_client(web=ACCOUNTS), "/login", **again, code=codes[0]).status_code == 401


def test_a_first_link_ends_after_an_hour_and_when_somebody_can_log_in(scene: Scene, open_client: ClientFactory) -> None:
    client, token = open_client(web=ACCOUNTS), first_link(scene)
    add_account(scene, "wang", Role.INSPECTOR)
    assert client.get(f"/welcome/{token}").status_code == 410
    with scene.database.write() as session:
        account = store.invite(
            session, login="li", name="", role="auditor", region="", author="test", now_ms=scene.clock.wall_ms()
        )
        token = store.make_link(session, account, sealer=SEALER, author="test", now_ms=scene.clock.wall_ms())
    assert client.get(f"/welcome/{token}").status_code == 200
    scene.clock.advance(store.LINK_MS / 1000)
    assert client.get(f"/welcome/{token}").status_code == 410


@pytest.mark.parametrize(
    ("password", "fault"),
    [
        ("short", "password_short"),
        ("zhao-zhao-zhao", "password_guessable"),
        ("aaaaaaaaaaab", "password_guessable"),
    ],
)
def test_a_password_that_is_easily_guessed_is_not_taken(password: str, fault: str) -> None:
    assert proofs.password_fault(password, "zhao") == fault


# Logging in


def test_nobody_gets_in_by_a_wrong_password_code_or_form(scene: Scene, open_client: ClientFactory) -> None:
    secret, client = add_account(scene, "wang", Role.INSPECTOR), open_client(web=ACCOUNTS)
    right = {"login": "wang", "password": PASSWORD, "code": code(scene, secret)}
    for wrong in ({"password": "other words altogether"}, {"code": "123456"}, {"login": "nobody"}):
        assert post(client, "/login", **(right | wrong)).status_code == 401
    assert client.post("/login", data=right).status_code == 403  # another site's form
    assert client.get("/").status_code == 303
    assert client.get("/api/v1/incidents").status_code == 401
    assert audit(scene.database)[-1] == ("nobody", "login", "unknown")


def test_wrong_logins_of_one_account_wait_longer_and_longer() -> None:
    assert [proofs.wait_s(n, since_s=0) for n in (0, 4, 5, 6, 7, 10, 99)] == [0, 0, 30, 60, 120, 900, 900]
    assert proofs.wait_s(6, since_s=59) == pytest.approx(1)
    assert proofs.wait_s(6, since_s=61) == 0


def test_a_locked_account_refuses_the_right_password_until_its_wait_is_over(scene: Scene) -> None:
    secret = add_account(scene, "wang", Role.INSPECTOR)

    def attempt(password: str) -> str:
        return store.log_in(
            scene.database, login="wang", password=password, code=code(scene, secret), sealer=SEALER,
            device=Device("192.0.2.1"), now_ms=scene.clock.wall_ms(),
        ).name  # fmt: skip

    assert [attempt("wrong words here") for _ in range(6)] == ["wrong"] * 5 + ["wait"]
    assert attempt(PASSWORD) == "wait"
    scene.clock.advance(31)
    assert attempt(PASSWORD) == "in"


def test_a_login_draws_a_new_session_and_ends_the_one_before(scene: Scene, enter: Enter) -> None:
    client = enter(Role.INSPECTOR, login="wang")
    before = client.cookies[account_login.cookie_name(secure=False)]
    with scene.database.read() as session:
        sealed = session.query(Account).filter_by(login="wang").one().totp_sealed
    scene.clock.advance(60)
    assert (
        post(client, "/login", login="wang", password=PASSWORD, code=code(scene, SEALER.open(sealed))).status_code
        == 303
    )
    assert client.cookies[account_login.cookie_name(secure=False)] != before
    assert sessions.by_session(scene.database, before, now_ms=scene.clock.wall_ms()) is None


def test_a_session_ends_when_idle_when_old_and_when_the_account_is_disabled(scene: Scene, enter: Enter) -> None:
    client = enter(Role.INSPECTOR, login="wang")
    scene.clock.advance(sessions.IDLE_MS / 1000 - 1)
    assert client.get("/").status_code == 200
    scene.clock.advance(sessions.IDLE_MS / 1000)
    assert client.get("/").status_code == 303
    client = enter(Role.INSPECTOR, login="li")
    for _ in range(15):
        scene.clock.advance(sessions.IDLE_MS / 1000 - 1)
        client.get("/")
    assert client.get("/").status_code == 303  # a week is over
    client = enter(Role.INSPECTOR, login="chen")
    with scene.database.write() as session:
        account = session.query(Account).filter_by(login="chen").one()
        store.disable(session, account, disabled=True, author="test", now_ms=scene.clock.wall_ms())
    assert client.get("/").status_code == 303


def test_the_cookie_is_out_of_reach_of_scripts_and_bound_to_tls(scene: Scene, open_client: ClientFactory) -> None:
    scene.public_url = "https://seal.example.cn"
    secret, client = add_account(scene, "wang", Role.INSPECTOR), open_client(web=ACCOUNTS)
    client.base_url = client.base_url.copy_with(scheme="https", host="seal.example.cn", port=443)
    answer = post(client, "/login", login="wang", password=PASSWORD, code=code(scene, secret))
    cookie = next(c for c in answer.headers.get_list("set-cookie") if c.startswith("__Host-sealwatch="))
    assert {"HttpOnly", "SameSite=lax", "Secure", "Path=/"} <= set(cookie.split("; "))


# What roles may


FILLED = {"incident_id": RED, "name": RED, "site_id": "jingjiagou", "sha256": "0" * 64, "day": "2026-10-01"}
NUMBERED = {"absence_id", "swap_id", "permit_id", "silence_id"}


def filled(template: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda m: FILLED.get(m[1], "1" if m[1] in NUMBERED else "x"), template)


def call(client: TestClient, method: str, template: str) -> int:
    return client.request(method, filled(template), headers={"Accept": "application/json"}).status_code


def everything_is_in(scene: Scene, county: str) -> None:
    scene.add_red()
    with scene.database.write() as session:
        session.query(Site).update({"county_code": county})


ASKED = sorted(key for key, wanted in RULES.items() if wanted not in {Permission.OPEN, Permission.OWN_KEY})


@pytest.mark.parametrize("role", list(Role))
def test_the_role_matrix(scene: Scene, enter: Enter, role: Role) -> None:
    """Every route: refused by name where the role lacks the permission, and not refused where it has it.

    Forms go without their token, so a caller with the permission gets as far as "form_refused" and changes nothing.
    """
    everything_is_in(scene, "210423")
    client = enter(role, "210423")
    whole_region = Permission.OPERATE
    for method, template in ASKED:
        if template == "/events":  # never ends
            continue
        answer = client.request(method, filled(template), headers={"Accept": "application/json"})
        refused = answer.status_code == 403 and answer.json()["type"].endswith(":not_allowed")
        permitted = RULES[method, template] in MAY[role] - {whole_region}
        assert refused is not permitted, (method, template, answer.status_code, answer.text[:200])
        assert answer.status_code < 500, (method, template)
        if not permitted:
            assert answer.headers["content-type"] == "application/problem+json"


def test_nobody_gets_anything_without_a_login(scene: Scene, open_client: ClientFactory) -> None:
    everything_is_in(scene, "210423")
    client = open_client(web=ACCOUNTS)
    assert {(method, template): call(client, method, template) for method, template in ASKED} == dict.fromkeys(
        ASKED, 401
    )


def test_another_county_sees_nothing_of_it(scene: Scene, enter: Enter) -> None:
    everything_is_in(scene, "210423")
    ours, theirs, above = (
        enter(Role.COUNTY_ADMIN, "210423"),
        enter(Role.COUNTY_ADMIN, "210422"),
        enter(Role.AUDITOR, "21"),
    )
    json = {"Accept": "application/json"}
    for client, seen in ((ours, True), (theirs, False), (above, True)):
        assert (RED in client.get("/").text) is seen
        assert bool(client.get("/api/v1/incidents", headers=json).json()["items"]) is seen
        assert bool(client.get("/api/v1/alarms", headers=json).json()["items"]) is seen
    for method, template in ASKED:
        if "{incident_id}" in template and method == "GET":
            assert call(theirs, method, template) == 404, template
        if template.startswith("/incidents/{") and method == "POST":
            name = re.sub(r"\{\w+\}", RED, template)
            fields = {"closure": "0", "hours": "1", "note": "x", "person_id": "wang"}
            assert post(theirs, name, "/account", **fields).status_code == 404, template
    with scene.database.read() as session:
        assert session.get_one(Incident, RED).acknowledged_at_ms is None


def test_every_route_exists_with_accounts_or_without(scene: Scene) -> None:
    scene.oidc = OidcSettings(issuer="https://id.example", client_id="sealwatch")
    without = routes(whole_app(scene))
    with_ = routes(create_app(scene.services(**ACCOUNTS)))
    assert without | with_ == set(RULES)


def test_every_form_wants_its_token(scene: Scene, enter: Enter) -> None:
    scene.add_red()
    admin = enter(Role.COUNTY_ADMIN)
    for method, template in sorted(RULES):
        if method != "POST" or template.startswith(("/api/", "/a/", "/evidence/", "/enrolment/", "/inbound/")):
            continue
        fields = {"closure": "0", "hours": "1", "role": "auditor", "disabled": "true", "site_id": "x", "reason": "x"}
        fields |= {"from_at": "2026-11-26T08:00", "to_at": "2026-11-26T09:00", "max_power_kw": "1", "max_people": "1"}
        fields |= {"purpose": "x", "responsible": "x"}
        answer = admin.post(filled(template), data=fields, headers={"Accept": "application/json"})
        assert (answer.status_code, answer.json().get("type")) == (403, "urn:sealwatch:problem:form_refused"), template


# What is done carries names


def test_steps_carry_the_account_and_red_wants_a_second_one(scene: Scene, enter: Enter) -> None:
    scene.add_red()
    one, two = enter(Role.DUTY_OFFICER, login="sun"), enter(Role.DUTY_OFFICER, login="qian")
    page = f"/incidents/{RED}"
    assert post(one, f"{page}/acknowledge", page).status_code == 303
    assert "Sun" in one.get(page).text
    for client, state in ((one, "handled"), (one, "handled"), (two, "closed")):
        post(client, f"{page}/close", "/account", closure="1")
        with scene.database.read() as session:
            assert session.get_one(Incident, RED).state == state


def test_a_link_and_a_login_of_one_human_are_one_person(scene: Scene, enter: Enter) -> None:
    scene.add_red()
    with scene.database.write() as session:
        close(session, incident_id=RED, actor="person:wang", closure=Closure.FALSE_ALARM, now_ms=scene.clock.wall_ms())
    client = enter(Role.INSPECTOR, login="wang", person_id="wang")
    post(client, f"/incidents/{RED}/close", "/account", closure="0")
    with scene.database.read() as session:
        assert session.get_one(Incident, RED).state == "handled"


def test_answer_links_need_no_login(scene: Scene, open_client: ClientFactory) -> None:
    scene.add_red()
    client = open_client(web=ACCOUNTS)
    url = f"/a/{scene.token()}"
    assert client.get(url).status_code == 200
    assert client.post(f"{url}/answer", data={"answer": "going"}).status_code == 303
    assert audit(scene.database)[-1] == ("person:wang", "links.answer", "303")
    with scene.database.read() as session:
        assert not any(scene.token() in one.target for one in session.query(AuditEntry))


# Administrators


def test_an_administrator_invites_within_their_own_region_only(scene: Scene, enter: Enter) -> None:
    admin = enter(Role.COUNTY_ADMIN, "210423")
    fields = {"login": "wu", "name": "吴", "role": "inspector"}
    assert post(admin, "/accounts", "/account", **fields, region="2104").status_code == 422
    invited = post(admin, "/accounts", "/account", **fields, region="210423001")
    assert re.search(r"/welcome/[\w-]{43}", invited.text)
    assert post(admin, "/accounts", "/account", **fields, region="210423").status_code == 422  # taken
    with scene.database.read() as session:
        other = session.query(Account).filter_by(login="wu").one().account_id
    foreign = enter(Role.COUNTY_ADMIN, "210422")
    assert "吴" not in foreign.get("/accounts").text
    assert post(foreign, f"/accounts/{other}/reset", "/account").status_code == 404
    assert post(admin, f"/accounts/{other}/disable", "/account", disabled="true").status_code == 303


def test_an_account_is_given_another_role_and_person_at_once(scene: Scene, enter: Enter) -> None:
    admin, li = enter(Role.COUNTY_ADMIN, "210423"), enter(Role.INSPECTOR, "210423", login="li", person_id="li")
    with scene.database.read() as session:
        found = session.query(Account).filter_by(login="li").one().account_id
    url, same = f"/accounts/{found}/change", {"name": "Li", "region": "210423", "person_id": "li"}
    assert li.get("/permits").status_code == 200
    assert post(li, "/permits/999/end", "/account").status_code == 403
    assert post(admin, url, "/account", role="duty_officer", **same).status_code == 303
    assert post(li, "/permits/999/end", "/account").status_code != 403
    for wrong, name in (({"region": "21"}, "bad_region"), ({"person_id": "nobody"}, "unknown_person")):
        fields = {"role": "inspector"} | same | wrong
        answer = post(admin, url, "/account", **fields)
        assert answer.status_code == 422, name
    own = re.search(r"/accounts/(\w+)/change", admin.get("/accounts").text)
    assert own is not None
    assert own[1] == found  # nobody changes themselves
    with scene.database.read() as session:
        line = session.query(AuditEntry).filter_by(action="account.changed").one()
        assert line.detail == {"was": {"role": "inspector"}, "is": {"role": "duty_officer"}}


# Programs


def test_a_token_may_what_it_was_given_and_is_shown_once(
    scene: Scene, enter: Enter, open_client: ClientFactory
) -> None:
    scene.add_red()
    client = enter(Role.INSPECTOR)
    made = post(client, "/account/tokens", "/account", name="大屏", days="30", scope=["look", "staff"]).text
    token = re.search(r'<code class="long">([\w-]{43})</code>', made)
    assert token is not None
    assert token[1] not in client.get("/account").text
    program = open_client(web=ACCOUNTS, accept="application/json")
    program.headers["Authorization"] = f"Bearer {token[1]}"
    assert program.get("/api/v1/incidents").status_code == 200
    assert (
        program.post(f"/api/v1/incidents/{RED}/acknowledge", json={}).status_code == 403
    )  # answering was not asked for
    assert program.put("/api/v1/holidays/2026-10-01", json={"name": "x"}).status_code == 403  # an inspector may not
    scene.clock.advance(30 * 86_400)
    assert program.get("/api/v1/incidents").status_code == 401


def test_guessing_tokens_is_slowed_down(scene: Scene, open_client: ClientFactory) -> None:
    client = open_client(web=ACCOUNTS, accept="application/json")
    answers = [client.get("/api/v1/incidents", headers={"Authorization": f"Bearer {n}"}).status_code for n in range(12)]
    assert answers == [401] * 10 + [429] * 2


# The audit log


def test_every_look_at_a_picture_is_written_down(scene: Scene, enter: Enter) -> None:
    scene.add_red()
    scene.evidence.put(scene.picture_sha256, scene.picture)
    auditor = enter(Role.AUDITOR, login="zheng")
    url = f"/incidents/{RED}/pictures/{scene.picture_sha256}"
    assert auditor.get(url).status_code == 200
    assert audit(scene.database)[-1] == ("account:zheng", "incidents.pictures", "200")
    assert url in auditor.get("/audit.csv").text
    found = auditor.get("/api/v1/audit", params={"actor": "account:zheng"}).json()["items"]
    assert url in {one["target"] for one in found}
    assert "zheng" in auditor.get("/audit").text


def test_the_database_itself_keeps_the_log_as_it_is(database_url: str) -> None:
    from sealwatch.cloud.accounts import audit as log
    from sealwatch.cloud.db.engine import open_database

    opened = open_database(database_url)
    with opened.write() as session:
        log.note(session, at_ms=1, actor="=cmd|'x'", action="login")
    for verb in ("UPDATE audit_log SET actor = 'x'", "DELETE FROM audit_log"):
        with pytest.raises(DBAPIError, match="append-only"), opened.write() as session:
            session.execute(text(verb))
    with opened.read() as session:
        assert "'=cmd" in log.as_csv(log.entries(session))
    opened.close()


def test_no_route_is_added_without_the_gate(scene: Scene) -> None:
    for route in iter_route_contexts(create_app(scene.services(**ACCOUNTS)).routes):
        assert getattr(route, "dependencies", None), route.path
