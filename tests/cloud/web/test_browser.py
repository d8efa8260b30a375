"""The incident page in a real Chromium: seen, answered, and the answer seen by somebody else at once."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sealwatch.cloud.db.tables import IncidentEvent
from tests.cloud.web.scene import ORANGE, RED, Scene
from tests.cloud.web.test_server import serving

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]
PATIENCE_S = 30
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--accept-lang=zh-CN",
)  # fmt: skip

Browser = Any
OpenBrowser = Callable[..., Browser]


@pytest.fixture
def open_browser(tmp_path: Path) -> Iterator[OpenBrowser]:
    """Starts browsers, each a person of their own; skips where there is no Chromium."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("Chromium and its driver are not installed (apt-get install chromium chromium-driver)")
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed (pip install selenium)")
    started: list[Browser] = []

    def start(*, width: int = 360, height: int = 740, script: bool = True) -> Browser:
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        for flag in (*FLAGS, f"--user-data-dir={tmp_path / f'profile-{len(started)}'}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        if not script:
            options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
        browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
        started.append(browser)
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        return browser

    yield start
    for browser in started:
        browser.quit()


def until(browser: Browser, condition: Callable[[Browser], object]) -> None:
    from selenium.common.exceptions import StaleElementReferenceException
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, PATIENCE_S, 0.1, [StaleElementReferenceException]).until(condition)


def words(browser: Browser, region: str) -> str:
    return str(browser.find_element("id", region).text)


def curve_width(browser: Browser) -> float:
    """How many pixels of the screen the pieces of the power curve cover from left to right."""
    return sum(float(line.size["width"]) for line in browser.find_elements("css selector", "#power .line"))


def complaints(browser: Browser) -> list[str]:
    """What the browser's console holds against the page: blocked styles, scripts, missing files."""
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] in {"SEVERE", "WARNING"}]


def test_an_answer_in_one_window_shows_in_another_without_reloading(scene: Scene, open_browser: OpenBrowser) -> None:
    scene.add_red()
    with serving(scene) as (_, url):
        inspector, desk = open_browser(), open_browser(width=1440, height=900)
        for browser in (inspector, desk):
            browser.get(f"{url}/incidents/{RED}")
            until(browser, lambda b: "实时" in words(b, "live"))
            until(browser, lambda b: b.execute_script("return document.images[0].naturalWidth") > 0)
            assert curve_width(browser) > 200
        desk.execute_script("window.untouched = true")
        inspector.find_element("id", "acknowledge").click()
        until(inspector, lambda b: "值班台已应答" in words(b, "actions"))
        until(desk, lambda b: "值班台已应答" in words(b, "actions"))
        assert desk.execute_script("return window.untouched") is True
        assert "值班台应答：去现场" in words(desk, "history")
        assert not desk.find_elements("id", "acknowledge")
        assert complaints(inspector) == complaints(desk) == []


def test_an_answer_from_a_link_shows_on_the_list(scene: Scene, open_browser: OpenBrowser) -> None:
    scene.add_red()
    with serving(scene) as (_, url):
        desk, person = open_browser(width=1440, height=900), open_browser()
        desk.get(f"{url}/")
        until(desk, lambda b: "实时" in words(b, "live"))
        assert "无人应答" in words(desk, "open")
        person.get(f"{url}/a/{scene.token('wang')}")
        person.find_element("id", "acknowledge").click()
        until(person, lambda b: "王建国，您已应答" in words(b, "actions"))
        until(desk, lambda b: "王建国已应答" in words(b, "open"))
        assert complaints(desk) == complaints(person) == []


def test_on_a_phone_the_answer_is_on_the_first_screen_large_enough_and_nothing_runs_over(
    scene: Scene, open_browser: OpenBrowser
) -> None:
    scene.add_red()
    scene.add_others()
    with serving(scene) as (_, url):
        phone = open_browser()
        for path in (
            f"/incidents/{RED}",
            f"/incidents/{RED}?lang=en",
            f"/a/{scene.token('wang')}?lang=zh",
            "/?lang=en",
        ):
            phone.get(url + path)
            assert phone.execute_script("return document.documentElement.scrollWidth") <= 360, path
            for button in phone.find_elements("css selector", ".buttons button"):
                box = button.rect
                assert box["height"] >= 48, path
                assert box["y"] + box["height"] <= 740, path
        for path in ("/desk", "/sites/jingjiagou", "/nodes/jingjiagou-1", "/permits", "/load", "/people"):
            phone.get(url + path)
            phone.execute_script("document.querySelectorAll('details').forEach(e => { e.open = true })")
            assert phone.execute_script("return document.documentElement.scrollWidth") <= 360, path


def test_without_script_the_page_is_read_and_answered(scene: Scene, open_browser: OpenBrowser) -> None:
    scene.add_red()
    with serving(scene) as (_, url):
        phone = open_browser(script=False)
        phone.get(f"{url}/a/{scene.token('li')}")
        assert "提升样用电 4 次" in words(phone, "what")
        assert curve_width(phone) > 200
        assert not phone.find_element("id", "live").is_displayed()
        phone.find_element("id", "acknowledge").click()
        until(phone, lambda b: "李秀英，您已应答" in words(b, "actions"))


CONTRAST = Path(__file__).with_name("contrast.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_word_stands_out_from_its_ground(scene: Scene, open_browser: OpenBrowser, scheme: str) -> None:
    scene.add_red()
    scene.add_others()
    with serving(scene) as (_, url):
        browser = open_browser(width=1440, height=900)
        feature = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", feature)
        for path in (
            "/",
            "/desk",
            "/sites",
            "/sites/jingjiagou",
            "/load",
            "/channels",
            f"/incidents/{RED}",
            f"/a/{scene.token('wang')}",
            "/nowhere",
        ):
            browser.get(url + path)
            assert browser.execute_script(CONTRAST) == [], path


def check_ins(scene: Scene) -> list[IncidentEvent]:
    with scene.database.read() as session:
        return list(session.query(IncidentEvent).filter(IncidentEvent.kind.in_(("arrived", "checked_in"))))


def network(browser: Browser, *, there: bool) -> None:
    browser.execute_cdp_cmd("Network.enable", {})
    figures = {"offline": not there, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", figures)


def test_a_check_in_without_network_waits_on_the_phone_and_arrives_once(
    scene: Scene, open_browser: OpenBrowser, tmp_path: Path
) -> None:
    scene.add_red()
    picture = tmp_path / "p.jpg"
    picture.write_bytes(scene.picture)
    with serving(scene) as (_, url):
        phone = open_browser()
        phone.execute_cdp_cmd("Browser.grantPermissions", {"permissions": ["geolocation"], "origin": url})
        here = {"latitude": 42.0634, "longitude": 124.9472, "accuracy": 9}
        phone.execute_cdp_cmd("Emulation.setGeolocationOverride", here)
        phone.get(f"{url}/a/{scene.token('wang')}")
        phone.find_element("id", "acknowledge").click()
        until(phone, lambda b: "王建国，您已应答" in words(b, "actions"))
        until(phone, lambda b: b.execute_script("return navigator.serviceWorker.controller !== null"))
        network(phone, there=False)
        phone.find_element("css selector", "#step-arrive summary").click()
        phone.find_element("css selector", "#step-arrive input[type=file]").send_keys(str(picture))
        phone.find_element("css selector", "#step-arrive button").click()
        until(phone, lambda b: "已存在手机里，有信号时自动发送（1 条）" in words(b, "outbox"))
        assert check_ins(scene) == []
        network(phone, there=True)
        until(phone, lambda _: check_ins(scene))
        until(phone, lambda b: "签到已送达" in words(b, "outbox"))
        (arrived,) = check_ins(scene)
        assert arrived.actor == "person:wang"
        assert abs(arrived.detail["latitude_deg"] - 42.0634) < 1e-6
        (sha256,) = arrived.detail["attachments"]
        kept = scene.evidence.get(sha256)
        assert kept is not None
        assert kept.startswith(b"\xff\xd8")


def test_an_answer_link_that_was_opened_is_read_without_network(scene: Scene, open_browser: OpenBrowser) -> None:
    scene.add_red()
    with serving(scene) as (_, url):
        phone = open_browser()
        link = f"{url}/a/{scene.token('wang')}"
        phone.get(link)
        until(phone, lambda b: b.execute_script("return caches.match(location.href).then(r => !!r)"))
    # The service is gone, as a phone in a valley sees it.
    phone.get(link)
    assert "没有网络：这是" in words(phone, "offline")
    assert "提升样用电 4 次" in words(phone, "what")
    phone.get(f"{url}/incidents/{RED}")
    assert "已签到的内容不会丢" in words(phone, "main")


def test_at_the_desk_keys_move_and_answer_and_the_sound_is_stopped_for_one_incident(
    scene: Scene, open_browser: OpenBrowser
) -> None:
    scene.add_red()
    scene.add_others()
    with serving(scene) as (_, url):
        desk = open_browser(width=1440, height=900)
        desk.get(f"{url}/desk")
        until(desk, lambda b: "实时" in words(b, "live"))
        desk.execute_script("window.untouched = true")
        assert "声音还没打开" in words(desk, "sound")
        body = desk.find_element("css selector", "body")
        body.send_keys("j")
        until(desk, lambda b: "北沟风井" in words(b, "chosen"))
        assert desk.current_url.endswith(f"?incident={ORANGE}")
        until(desk, lambda b: "红色事件无人应答时响" in words(b, "sound"))
        desk.find_element("css selector", "[data-red]").click()
        until(desk, lambda b: "本事件已静音" in words(b, "open"))
        body.send_keys("k")
        until(desk, lambda b: "井家沟主井" in words(b, "chosen"))
        assert desk.execute_script("return window.untouched") is True
        body.send_keys("a")
        until(desk, lambda b: "值班台已应答" in words(b, "chosen"))
        assert desk.current_url.endswith(f"/desk?incident={RED}")
        desk.find_element("css selector", "body").send_keys("/")
        assert desk.switch_to.active_element.get_attribute("id") == "search"
        assert complaints(desk) == []
