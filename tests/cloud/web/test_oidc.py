"""Logging in by an identity provider: to whose account it leads, and everything that must not be believed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastapi.testclient import TestClient
from joserfc.jwk import RSAKey
from sqlalchemy import update

from sealwatch.base.broker import free_port
from sealwatch.base.settings import SettingsError
from sealwatch.base.text import Language
from sealwatch.cloud import check
from sealwatch.cloud.accounts import store
from sealwatch.cloud.config import OidcSettings
from sealwatch.cloud.db.account_tables import Account
from sealwatch.cloud.db.tables import Person
from sealwatch.cloud.web.rules import Role
from tests.cloud.accounts.provider import CLIENT, SECRET, Provider, serving
from tests.cloud.web.conftest import ClientFactory
from tests.cloud.web.logins import ACCOUNTS, SEALER, Enter, audit, post
from tests.cloud.web.scene import Scene
from tests.cloud.web.test_browser import OpenBrowser, complaints, open_browser, until
from tests.cloud.web.test_server import serving as serving_pages

__all__ = ["open_browser"]
pytestmark = pytest.mark.usefixtures("cheap_argon2")


@pytest.fixture
def provider(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    monkeypatch.setenv("OIDC_SECRET", SECRET)
    with serving(scene.clock) as one:
        scene.oidc = OidcSettings(issuer=one.url, client_id=CLIENT, client_secret="env:OIDC_SECRET")
        yield one


@pytest.fixture
def browser(provider: Provider, open_client: ClientFactory) -> TestClient:
    return open_client(web=ACCOUNTS)


def invite(scene: Scene, login: str = "wang", role: Role = Role.INSPECTOR, **more: Any) -> str:
    """An account without a password; its id."""
    with scene.database.write() as session:
        return store.invite(
            session, login=login, name=login.title(), role=str(role), region="", author="t",
            now_ms=scene.clock.wall_ms(), **more,
        ).account_id  # fmt: skip


def way_back(browser: TestClient, target: str = "/account") -> str:
    """Away to the provider; the address it sends the browser back to."""
    away = browser.get("/login/oidc", params={"next": target})
    assert away.status_code == 303, away.text
    back = httpx.get(away.headers["location"]).headers["location"]
    return str(back).replace("http://127.0.0.1:8000", "")


def log_in(browser: TestClient, target: str = "/account") -> Any:
    return browser.get(way_back(browser, target))


def said(answer: Any) -> str:
    """The name of a refusal."""
    return str(answer.json()["type"]).rpartition(":")[2]


def test_an_invited_person_logs_in_with_their_organisations_account(scene: Scene, browser: TestClient) -> None:
    invite(scene)
    assert 'href="/login/oidc?next=/desk"' in browser.get("/login?next=/desk").text
    answer = log_in(browser)
    assert (answer.status_code, answer.headers["location"]) == (303, "/account")
    page = browser.get("/account").text
    assert "检查员" in page
    assert "密码和验证码在那里管理" in page
    assert audit(scene.database)[-1] == ("account:wang", "login", "done")
    assert browser.get("/accounts").status_code == 403  # an inspector, whatever the provider says
    assert post(browser, "/logout", "/account").status_code == 303
    assert browser.get("/account").status_code == 303


def test_no_identity_becomes_an_account_or_an_administrator_by_itself(
    scene: Scene, provider: Provider, browser: TestClient
) -> None:
    invite(scene)
    provider.person = {"sub": "u-9", "preferred_username": "boss", "role": "county_admin", "groups": ["admin"]}
    assert "没有与您对应的账号" in log_in(browser).text
    provider.person |= {"preferred_username": "wang"}
    assert log_in(browser).status_code == 303
    with scene.database.read() as session:
        assert [(one.login, one.role) for one in session.query(Account)] == [("wang", "inspector")]
    assert ("nobody", "login", "oidc_unknown") in audit(scene.database)


def test_a_name_that_was_given_to_somebody_else_opens_nothing(
    scene: Scene, provider: Provider, browser: TestClient
) -> None:
    account_id = invite(scene)
    assert log_in(browser).status_code == 303
    provider.person = {"sub": "u-2", "preferred_username": "wang"}
    assert log_in(browser).status_code == 403
    provider.person = {"sub": "u-1", "preferred_username": "wang.jianguo"}  # the same human under a new name
    assert log_in(browser).status_code == 303
    with scene.database.write() as session:
        account = session.get_one(Account, account_id)
        store.disable(session, account, disabled=True, author="t", now_ms=scene.clock.wall_ms())
    assert log_in(browser).status_code == 403
    with scene.database.write() as session:
        account = session.get_one(Account, account_id)
        store.disable(session, account, disabled=False, author="t", now_ms=scene.clock.wall_ms())
        store.reset(session, account, sealer=SEALER, author="t", now_ms=scene.clock.wall_ms())
    provider.person = {"sub": "u-2", "preferred_username": "Wang"}  # a reset binds anew
    assert log_in(browser).status_code == 303


def test_an_email_counts_where_it_is_verified_and_one_persons(
    scene: Scene, provider: Provider, open_client: ClientFactory
) -> None:
    scene.oidc = OidcSettings(
        issuer=provider.url, client_id=CLIENT, client_secret="env:OIDC_SECRET", claim="email"
    )  # fmt: skip
    browser = open_client(web=ACCOUNTS)
    invite(scene, person_id="wang")
    with scene.database.write() as session:
        session.execute(update(Person).where(Person.person_id == "wang").values(email="Wang@seal.example"))
    for verified in (None, False, "true"):
        provider.person = {"sub": "u-1", "email": "wang@seal.example", "email_verified": verified}
        assert log_in(browser).status_code == 403
    provider.person["email_verified"] = True
    assert log_in(browser).status_code == 303
    invite(scene, "li", person_id="li")
    with scene.database.write() as session:
        session.execute(update(Person).where(Person.person_id == "li").values(email="wang@seal.example"))
    provider.person["sub"] = "u-2"
    assert log_in(browser).status_code == 403


@pytest.mark.parametrize(
    "change",
    [
        {"aud": "another-client"},
        {"iss": "https://elsewhere.example"},
        {"nonce": "of another login"},
        {"nonce": None},
        {"sub": None},
        {"exp": 1_700_000_000},
        {"exp": None},
        {"iat": 4_000_000_000},
        {"aud": [CLIENT, "another"], "azp": "another"},
    ],
)
def test_a_token_that_is_not_for_this_login_is_not_believed(
    scene: Scene, provider: Provider, open_client: ClientFactory, change: dict[str, Any]
) -> None:
    invite(scene)
    provider.change = change
    answer = log_in(open_client(web=ACCOUNTS, accept="application/json"))
    assert (answer.status_code, said(answer)) == (403, "oidc_token_refused")
    assert "set-cookie" not in answer.headers or "sealwatch_account" not in answer.headers["set-cookie"]


def test_a_token_of_another_key_is_not_believed_and_a_new_key_is(
    scene: Scene, provider: Provider, open_client: ClientFactory
) -> None:
    invite(scene)
    browser = open_client(web=ACCOUNTS, accept="application/json")
    assert log_in(browser).status_code == 303
    other = RSAKey.generate_key(2048, {"kid": "k1"})
    provider.sign_with = other
    scene.clock.advance(60)
    assert said(log_in(browser)) == "oidc_token_refused"
    new = RSAKey.generate_key(2048, {"kid": "k2"})
    provider.key, provider.sign_with = new, None
    scene.clock.advance(60)
    assert log_in(browser).status_code == 303
    asked = provider.asked.count("/keys")
    provider.sign_with = other
    for _ in range(3):
        log_in(browser)
    assert provider.asked.count("/keys") == asked  # bad tokens do not make the service hammer its provider


def test_the_way_back_is_one_browsers_once_and_for_ten_minutes(
    scene: Scene, provider: Provider, open_client: ClientFactory
) -> None:
    invite(scene)
    mine, other = (open_client(web=ACCOUNTS, accept="application/json") for _ in range(2))
    back = way_back(mine)
    assert said(other.get(back)) == "oidc_answer_foreign"  # somebody else's answer, slipped to another browser
    state = parse_qs(urlsplit(back).query)["state"][0]
    assert said(mine.get(back.replace(state, "x" * len(state)))) == "oidc_answer_foreign"
    assert said(mine.get(back.replace("iss=", "iss=x"))) == "oidc_answer_foreign"
    assert mine.get(back).status_code == 303
    assert said(mine.get(back)) == "oidc_answer_foreign"
    back = way_back(mine)
    scene.clock.advance(601)
    assert said(mine.get(back)) == "oidc_answer_foreign"
    provider.refuses = "access_denied"
    assert said(log_in(mine)) == "oidc_login_refused"


def test_a_code_that_was_taken_before_and_a_wrong_secret_let_nobody_in(
    scene: Scene, provider: Provider, open_client: ClientFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    invite(scene)
    browser = open_client(web=ACCOUNTS, accept="application/json")
    back = way_back(browser)
    provider.codes.clear()
    assert said(browser.get(back)) == "oidc_token_refused"
    monkeypatch.setenv("OIDC_SECRET", "another")
    assert said(log_in(open_client(web=ACCOUNTS, accept="application/json"))) == "oidc_token_refused"


def test_a_provider_that_is_away_or_another_one_is_named_and_passwords_still_work(
    scene: Scene, provider: Provider, open_client: ClientFactory, enter: Enter
) -> None:
    provider.says_issuer = "https://elsewhere.example"
    browser = open_client(web=ACCOUNTS, accept="application/json")
    answer = browser.get("/login/oidc")
    assert (answer.status_code, said(answer)) == (503, "oidc_provider_broken")
    asked = len(provider.asked)
    provider.says_issuer = ""
    assert said(browser.get("/login/oidc")) == "oidc_provider_broken"  # remembered: nobody waits for it again
    assert len(provider.asked) == asked
    scene.clock.advance(11)
    assert browser.get("/login/oidc").status_code == 303
    scene.oidc = OidcSettings(issuer="http://127.0.0.1:9", client_id=CLIENT)
    answer = open_client(web=ACCOUNTS, accept="application/json").get("/login/oidc")
    assert (answer.status_code, said(answer)) == (503, "oidc_provider_away")
    assert enter(Role.INSPECTOR).get("/account").status_code == 200


def test_a_provider_that_goes_away_between_the_two_halves_of_a_login_is_said(
    scene: Scene, provider: Provider, browser: TestClient
) -> None:
    invite(scene)
    back = way_back(browser)
    provider.hangs_up = True
    answer = browser.get(back, headers={"Accept": "application/json"})
    assert (answer.status_code, said(answer)) == (503, "oidc_provider_away")


def test_check_says_what_to_register_and_whether_the_provider_answers(scene: Scene, provider: Provider) -> None:
    assert scene.oidc is not None
    good, sentence = check._oidc(scene.oidc, "https://seal.example", Language.EN)
    assert good
    assert "register https://seal.example/login/oidc/back there" in sentence
    away = OidcSettings(issuer="http://127.0.0.1:9", client_id=CLIENT)
    good, sentence = check._oidc(away, "https://seal.example", Language.EN)
    assert not good
    assert "provider_away" in sentence
    for wrong in ({"ca_file": "/nowhere.pem"}, {"client_secret": "env:NOT_THERE"}):
        with pytest.raises(SettingsError):
            check._oidc(OidcSettings(issuer="https://id.example", client_id="x", **wrong), "https://x", Language.EN)


def test_nobody_is_led_to_another_site_after_the_login(scene: Scene, browser: TestClient) -> None:
    invite(scene)
    assert log_in(browser, "//evil.example/x").headers["location"] == "/"


def test_wrong_answers_are_slowed_down(scene: Scene, provider: Provider, open_client: ClientFactory) -> None:
    browser = open_client(web=ACCOUNTS, accept="application/json")
    answers = [browser.get("/login/oidc/back?code=x&state=x").status_code for _ in range(12)]
    assert answers == [403] * 10 + [429] * 2


@pytest.mark.browser
def test_in_a_browser_the_policy_of_the_pages_lets_the_login_through(
    scene: Scene, provider: Provider, open_browser: OpenBrowser
) -> None:
    invite(scene)
    port = free_port()
    scene.public_url = f"http://127.0.0.1:{port}"
    with serving_pages(scene, port=port, **ACCOUNTS) as (_, url):
        phone = open_browser()
        phone.get(f"{url}/desk")
        phone.find_element("id", "oidc").click()
        until(phone, lambda b: b.current_url == f"{url}/desk" and "Wang" in b.find_element("tag name", "header").text)
        assert complaints(phone) == []
