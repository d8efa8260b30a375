"""Pages as notifications: who may subscribe a browser, in whose name, and what the service worker shows."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from fastapi.testclient import TestClient

from sealwatch.cloud.db.account_tables import PushSubscription
from sealwatch.cloud.paging.channels import web_push
from sealwatch.cloud.paging.channels.settings import WebPushSettings
from sealwatch.cloud.web.rules import Role
from tests.cloud.paging.channels.browser import SubscribedBrowser, name
from tests.cloud.paging.channels.vendor import a_request
from tests.cloud.web.logins import ACCOUNTS, PASSWORD, Enter, add_account, audit, code, post
from tests.cloud.web.scene import PUSH_KEY, RED, Scene
from tests.cloud.web.test_browser import OpenBrowser, complaints, open_browser, until
from tests.cloud.web.test_server import serving

__all__ = ["open_browser"]
pytestmark = pytest.mark.usefixtures("cheap_argon2")
URL = "/api/v1/push-subscriptions"
ENDPOINT = "https://fcm.googleapis.com/fcm/send/abc"


@pytest.fixture(autouse=True)
def web_push_is_configured(scene: Scene) -> None:
    scene.channels = [WebPushSettings(name="push")]


def subscription(endpoint: str = ENDPOINT) -> dict[str, Any]:
    offered = SubscribedBrowser().offered(endpoint)
    keys = {"p256dh": offered.p256dh, "auth": offered.auth}
    return {"endpoint": endpoint, "expirationTime": None, "keys": keys}


def send(client: TestClient, body: Any, **headers: str) -> tuple[int, str]:
    answer = client.post(URL, json=body, headers={"Accept": "application/json", **headers})
    return answer.status_code, answer.json().get("type", "")


def test_a_browser_is_subscribed_shown_and_taken_back(scene: Scene, enter: Enter) -> None:
    client = enter(Role.INSPECTOR, login="wang", person_id="wang")
    assert send(client, subscription()) == (201, "")
    assert send(client, subscription()) == (201, "")  # the same again
    page = client.get("/account").text
    assert f'id="push-{name(ENDPOINT)}"' in page
    assert PUSH_KEY in page
    with scene.database.read() as session:
        assert [row.person_id for row in session.query(PushSubscription)] == ["wang"]
    (end,) = re.findall(r'action="(/account/push/\w+/end)"', page)
    assert post(enter(Role.COUNTY_ADMIN), end, "/account").status_code == 404
    assert post(client, end, "/account").status_code == 303
    assert "/account/push/" not in client.get("/account").text
    done = [action for _, action, _ in audit(scene.database) if action.startswith("push.")]
    assert done == ["push.subscribed", "push.removed"]


def test_a_shared_telephone_takes_the_pages_of_whoever_subscribed_last(scene: Scene, enter: Enter) -> None:
    for login in ("wang", "li"):
        assert send(enter(Role.INSPECTOR, login=login, person_id=login), subscription())[0] == 201
    with scene.database.read() as session:
        assert [row.person_id for row in session.query(PushSubscription)] == ["li"]


def test_who_is_nobody_or_comes_from_elsewhere_is_refused(scene: Scene, enter: Enter) -> None:
    client = enter(Role.INSPECTOR, login="wang", person_id="wang")
    assert send(client, subscription(), **{"Sec-Fetch-Site": "cross-site"}) == (
        403, "urn:sealwatch:problem:form_refused",
    )  # fmt: skip
    assert send(client, subscription("https://10.0.0.1/x"))[0] == 422
    assert send(client, {"endpoint": ENDPOINT})[0] == 422
    assert send(client, [1])[0] == 422
    nobody = enter(Role.DUTY_OFFICER)
    assert send(nobody, subscription()) == (422, "urn:sealwatch:problem:no_person")
    assert "没有对应的人员编号" in nobody.get("/account").text


def test_without_the_channel_there_is_nothing_to_subscribe(scene: Scene, enter: Enter) -> None:
    scene.channels = []
    client = enter(Role.INSPECTOR, login="wang", person_id="wang")
    assert send(client, subscription()) == (422, "urn:sealwatch:problem:no_web_push")
    assert 'id="push"' not in client.get("/account").text


def test_a_button_leads_to_its_answer_and_does_nothing_by_itself(scene: Scene, client: TestClient) -> None:
    scene.add_red()
    url = f"/a/{scene.token()}"

    def look(do: str) -> str:
        return client.get(f"{url}?do={do}").text

    assert re.search(r'class="primary" id="acknowledge"', look("going"))
    assert re.search(r'class="primary" id="next"', look("next"))
    assert re.search(r'id="step-close" open', look("false_alarm"))
    assert re.search(r'value="0" required checked', look("false_alarm"))
    assert re.search(r'class="primary" id="acknowledge"', look("%3Cscript%3E"))
    assert "无人应答" in client.get("/").text
    assert 'href="/account#push"' in look("going")


def shown(browser: Any) -> list[Any]:
    """The notifications that the service worker shows now."""
    found: list[Any] = browser.execute_async_script(
        """const done = arguments[0];
        navigator.serviceWorker.ready.then(r => r.getNotifications()).then(all => done(all.map(
          n => ({ title: n.title, body: n.body, data: n.data, actions: n.actions }))));"""
    )
    return found


@pytest.mark.browser
def test_in_a_browser_a_page_is_subscribed_and_shown(scene: Scene, open_browser: OpenBrowser) -> None:
    """The push service of the browser's maker is out of reach: its answer is put in, and the message is delivered."""
    secret = add_account(scene, "wang", Role.INSPECTOR, person_id="wang")
    scene.add_red()
    with serving(scene, **ACCOUNTS) as (_, url):
        phone = open_browser()
        phone.execute_cdp_cmd("Browser.grantPermissions", {"origin": url, "permissions": ["notifications"]})
        phone.get(f"{url}/account")
        for field, value in {"login": "wang", "password": PASSWORD, "code": code(scene, secret)}.items():
            phone.find_element("css selector", f"main input[name={field}]").send_keys(value)
        phone.find_element("css selector", "main button.primary").click()
        until(phone, lambda b: b.find_element("id", "push-on").is_displayed())
        made = json.dumps(subscription())
        phone.execute_script(
            f"""const made = {made};
            const fake = {{ endpoint: made.endpoint, options: {{}}, toJSON: () => made }};
            PushManager.prototype.subscribe = async (options) => {{
              sessionStorage.keyBytes = options.applicationServerKey.length; return fake; }};"""
        )
        phone.find_element("id", "push-on").click()
        until(phone, lambda b: b.find_elements("id", f"push-{name(ENDPOINT)}"))
        assert phone.execute_script("return sessionStorage.keyBytes") == "65"
        link = f"{url}/a/{scene.token()}"
        request = a_request(answer_url=link, body=f"请核查\n应答:{link}", incident_id=RED)
        phone.execute_cdp_cmd("ServiceWorker.enable", {})
        for number in range(6):  # the worker's number in this browser is not told
            first = {"origin": url, "registrationId": str(number), "data": web_push.message(request).decode()}
            phone.execute_cdp_cmd("ServiceWorker.deliverPushMessage", first)
        until(phone, shown)
        notification = shown(phone)[0]
        assert notification["title"] == request.title
        assert notification["body"] == "请核查"
        assert notification["data"]["urls"][1] == f"{request.answer_url}?do=next"
        assert [one["title"] for one in notification["actions"]] == ["我去现场", "去不了，转下一人"]
        assert complaints(phone) == []
