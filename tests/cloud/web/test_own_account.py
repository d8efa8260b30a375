"""One's own account: a new password, a new authenticator, devices seen and logged out; as forms and in a browser."""

from __future__ import annotations

import re

import pyotp
import pytest
from fastapi.testclient import TestClient

from sealwatch.cloud.accounts import proofs
from sealwatch.cloud.db.account_tables import Account
from sealwatch.cloud.web.device_names import device_name
from sealwatch.cloud.web.rules import Role
from tests.cloud.web.conftest import ClientFactory
from tests.cloud.web.logins import ACCOUNTS, PASSWORD, Enter, add_account, audit, code, post
from tests.cloud.web.scene import Scene
from tests.cloud.web.test_browser import OpenBrowser, complaints, open_browser, until
from tests.cloud.web.test_server import serving

__all__ = ["open_browser"]
pytestmark = [pytest.mark.usefixtures("cheap_argon2")]
NEW = "another handful of words"


def secret_of(page: str) -> str:
    found = re.search(r"secret=([A-Z2-7]+)", page)
    assert found is not None
    return found[1]


def sealed_of(page: str) -> str:
    found = re.search(r'name="sealed" value="([^"]+)"', page)
    assert found is not None
    return found[1]


def log_in(scene: Scene, client: TestClient, secret: str, password: str = PASSWORD, given: str = "") -> int:
    fields = {"login": "wang", "password": password, "code": given or code(scene, secret)}
    return int(post(client, "/login", **fields).status_code)


def change(client: TestClient, old: str = PASSWORD, new: str = NEW, again: str = NEW) -> tuple[int, str]:
    answer = post(client, "/account/password", "/account", old=old, password=new, again=again)
    return answer.status_code, answer.text


def test_a_new_password_ends_the_other_sessions_and_the_old_one(scene: Scene, open_client: ClientFactory) -> None:
    secret, here, there = (
        add_account(scene, "wang", Role.INSPECTOR),
        open_client(web=ACCOUNTS),
        open_client(web=ACCOUNTS),
    )
    for client in (here, there):
        assert log_in(scene, client, secret) == 303
        scene.clock.advance(60)
    before = here.cookies["sealwatch_account"]
    assert change(here)[0] == 303
    assert "密码已修改" in here.get("/account?changed=password").text
    assert here.cookies["sealwatch_account"] != before
    assert there.get("/account").status_code == 303
    assert log_in(scene, there, secret) == 401
    assert log_in(scene, there, secret, NEW) == 303
    assert ("account:wang", "account.password_changed", "done") in audit(scene.database)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"old": "not this one"}, "现在的密码不对"),
        ({"new": "short", "again": "short"}, "至少要 10 个字"),
        ({"new": PASSWORD, "again": PASSWORD}, "与现在的密码相同"),
        ({"again": "another handful of worms"}, "两次输入的密码不一样"),
    ],
)
def test_a_password_is_not_changed_by_a_wrong_form(
    scene: Scene, enter: Enter, fields: dict[str, str], sentence: str
) -> None:
    client = enter(Role.INSPECTOR, login="wang")
    status, page = change(client, **fields)
    assert status == 422
    assert sentence in page
    assert client.get("/account").status_code == 200
    with scene.database.read() as session:
        kept = session.query(Account).filter_by(login="wang").one().password_hash
    assert proofs.password_is_right(kept, PASSWORD)


def test_guessing_the_old_password_in_a_browser_left_open_waits_as_a_login_does(scene: Scene, enter: Enter) -> None:
    client = enter(Role.INSPECTOR, login="wang")
    assert [change(client, old="a guess at it")[0] for _ in range(6)] == [422] * 5 + [429]
    assert change(client)[0] == 429
    scene.clock.advance(31)
    assert change(client)[0] == 303


def test_a_new_authenticator_takes_the_place_of_the_old_one(scene: Scene, open_client: ClientFactory) -> None:
    secret, here, there = (
        add_account(scene, "wang", Role.INSPECTOR),
        open_client(web=ACCOUNTS),
        open_client(web=ACCOUNTS),
    )
    for client in (here, there):
        log_in(scene, client, secret)
        scene.clock.advance(60)
    page = here.get("/account/authenticator").text
    new, fields = secret_of(page), {"sealed": sealed_of(page), "password": PASSWORD}

    def take(**more: str) -> tuple[int, str]:
        answer = post(here, "/account/authenticator", "/account", **(fields | more))
        return answer.status_code, answer.text

    for wrong, sentence in (
        ({"code": "000000", "old_code": code(scene, secret)}, "App 现在显示的六位数字"),
        ({"code": code(scene, new), "old_code": "000000"}, "旧身份验证器的验证码或恢复码不对"),
        ({"code": code(scene, new), "old_code": code(scene, secret), "password": "not this one"}, "现在的密码不对"),
    ):
        status, said = take(**wrong)
        assert status == 422
        assert sentence in said
        assert sealed_of(said) == fields["sealed"]  # what was scanned stays good
    status, said = take(code=code(scene, new), old_code=code(scene, secret))
    assert status == 200
    codes = re.findall(r"<code>([a-z2-9]{5}-[a-z2-9]{5})</code>", said)
    assert len(codes) == proofs.RECOVERY_CODES
    assert there.get("/account").status_code == 303
    scene.clock.advance(60)
    assert log_in(scene, there, secret) == 401
    assert log_in(scene, there, new) == 303
    assert ("account:wang", "account.authenticator_changed", "done") in audit(scene.database)
    # With the phone lost, a recovery code stands for the old one's.
    page = here.get("/account/authenticator").text
    fields["sealed"] = sealed_of(page)
    assert take(code=code(scene, secret_of(page)), old_code=codes[0])[0] == 200


def test_the_offer_of_an_authenticator_is_one_persons_and_ends(scene: Scene, enter: Enter) -> None:
    wang, li = enter(Role.INSPECTOR, login="wang"), enter(Role.INSPECTOR, login="li")
    page = wang.get("/account/authenticator").text
    fields = {"sealed": sealed_of(page), "password": PASSWORD, "old_code": "x", "code": "000000"}
    assert "此页已过期" in post(li, "/account/authenticator", "/account", **fields).text
    assert "此页已过期" in post(wang, "/account/authenticator", "/account", **(fields | {"sealed": "x"})).text
    scene.clock.advance(3_601)
    assert "此页已过期" in post(wang, "/account/authenticator", "/account", **fields).text


def test_devices_are_named_and_logged_out_one_by_one(scene: Scene, open_client: ClientFactory, enter: Enter) -> None:
    secret, here, phone = (
        add_account(scene, "wang", Role.INSPECTOR),
        open_client(web=ACCOUNTS),
        open_client(web=ACCOUNTS),
    )
    phone.headers["User-Agent"] = "Mozilla/5.0 (Linux; Android 14; K) Chrome/131.0 Mobile Safari/537.36"
    for client in (here, phone):
        log_in(scene, client, secret)
        scene.clock.advance(60)
    page = here.get("/account").text
    assert "Android · Chrome" in page
    ends = re.findall(r'action="(/account/sessions/\w+/end)"', page)
    assert len(ends) == 1  # one's own is ended by logging out
    assert post(enter(Role.COUNTY_ADMIN), ends[0], "/account").status_code == 404
    assert phone.get("/account").status_code == 200
    assert post(here, ends[0], "/account").status_code == 303
    assert phone.get("/account").status_code == 303
    assert here.get("/account").status_code == 200
    assert ("account:wang", "account.sessions_ended", "done") in audit(scene.database)


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) Version/18.1 Safari/604.1", "iPhone · Safari"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/131.0 Safari/537.36 Edg/131.0", "Windows · Edge"),
        ("Mozilla/5.0 (Linux; Android 13) Chrome/116.0 Safari/537.36 MicroMessenger/8.0.49", "Android · WeChat"),
        ("curl/8.5.0", ""),
        ("<script>", ""),
    ],
)
def test_a_device_is_called_what_people_call_it(agent: str, name: str) -> None:
    assert device_name(agent) == name


@pytest.mark.browser
def test_in_a_browser_a_password_and_an_authenticator_are_changed(scene: Scene, open_browser: OpenBrowser) -> None:
    secret = add_account(scene, "wang", Role.INSPECTOR)
    with serving(scene, **ACCOUNTS) as (_, url):
        phone = open_browser()

        def fill(**fields: str) -> None:
            for name, value in fields.items():
                phone.find_element("css selector", f"main input[name={name}]").send_keys(value)

        phone.get(f"{url}/account")
        fill(login="wang", password=PASSWORD, code=code(scene, secret))
        phone.find_element("css selector", "main button.primary").click()
        until(phone, lambda b: b.find_elements("id", "devices"))
        for path in ("/account?lang=en", "/account/authenticator?lang=zh", "/account?lang=zh"):
            phone.get(url + path)
            assert phone.execute_script("return document.documentElement.scrollWidth") <= 360, path
        fill(old=PASSWORD, password=NEW, again=NEW)
        phone.find_element("css selector", "#password button.primary").click()
        until(phone, lambda b: "密码已修改" in b.find_element("css selector", "[role=status].done").text)
        phone.find_element("css selector", "#second-factor a").click()
        until(phone, lambda b: b.find_elements("css selector", ".qr svg"))
        scene.clock.advance(60)
        new = secret_of(phone.page_source)
        fill(code=pyotp.TOTP(new).at(scene.clock.wall_ms() // 1000), old_code=code(scene, secret), password=NEW)
        phone.find_element("css selector", "main button.primary").click()
        until(phone, lambda b: len(b.find_elements("css selector", ".codes li")) == proofs.RECOVERY_CODES)
        assert complaints(phone) == []
