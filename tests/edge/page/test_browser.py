"""The page in a real Chromium: zones drawn with mouse and finger arrive in the file, in both languages and schemes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sealwatch.edge.config import ZoneSettings, load_node
from sealwatch.edge.rewrite import Drawn
from tests.cloud.web.test_browser import OpenBrowser, complaints, open_browser, until
from tests.edge.page.desk_twin import CONFIG, PASSWORD, Served, served

__all__ = ["open_browser"]  # a fixture

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]
WITH_LINE = (
    CONFIG + 'lines = [{ name = "door", points = [[0.2, 0.5], [0.4, 0.5]], inside = [0.3, 0.2] }] # counted since May\n'
)
Point = tuple[float, float]


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path, config=WITH_LINE) as found:
        yield found


def enter(browser: Any, page: Served, language: str = "zh") -> None:
    browser.get(f"{page.url}/login?lang={language}")
    browser.find_element("name", "name").send_keys("zhang")
    browser.find_element("name", "password").send_keys(PASSWORD)
    browser.find_element("css selector", "button.primary").click()
    until(browser, lambda b: b.find_elements("id", "checks"))


def open_editor(browser: Any, page: Served, language: str = "zh") -> None:
    enter(browser, page, language)
    browser.get(f"{page.url}/cameras/gate-cam")
    until(browser, lambda b: "person 0.81" in b.find_element("id", "overlay").get_attribute("innerHTML"))


def place(browser: Any, point: Point) -> Point:
    """Where a point of the picture is on the screen."""
    browser.execute_script("document.getElementById('pane').scrollIntoView({block: 'center'})")
    box = browser.execute_script("return document.getElementById('overlay').getBoundingClientRect().toJSON()")
    return box["x"] + point[0] * box["width"], box["y"] + point[1] * box["height"]


def mouse(browser: Any, *points: Point) -> None:
    """Press at the first point, move through the others, and let go."""
    for number, point in enumerate(points):
        x, y = place(browser, point)
        kinds = ["mousePressed"] * (number == 0) + ["mouseMoved"] * (number > 0)
        kinds += ["mouseReleased"] * (number == len(points) - 1)
        for kind in kinds:
            event = {"type": kind, "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1}
            browser.execute_cdp_cmd("Input.dispatchMouseEvent", event)


def finger(browser: Any, *points: Point) -> None:
    """Touch at the first point, glide through the others, and lift."""
    for number, point in enumerate(points):
        x, y = place(browser, point)
        kind = "touchMove" if number else "touchStart"
        browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
    browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def press(browser: Any, selector: str) -> None:
    button = browser.find_element("css selector", selector)
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
    button.click()


def save(browser: Any, sentence: str) -> None:
    press(browser, "#save")
    until(browser, lambda b: sentence in b.find_element("id", "message").text)


def close_to(found: Any, wanted: list[Point]) -> bool:
    return len(found) == len(wanted) and all(
        abs(a - b) < 0.02 for one, other in zip(found, wanted, strict=True) for a, b in zip(one, other, strict=True)
    )


CORNERS: list[Point] = [(0.2, 0.3), (0.8, 0.3), (0.8, 0.9), (0.2, 0.9)]


def test_a_zone_drawn_with_the_mouse_is_in_the_file_and_its_corner_can_be_dragged(
    page: Served, open_browser: OpenBrowser
) -> None:
    desk = open_browser(width=1280, height=860)
    open_editor(desk, page)
    press(desk, "[data-tool=zone]")
    for corner in CORNERS:
        mouse(desk, corner)
    mouse(desk, CORNERS[0])  # back to the first corner closes it
    name = desk.find_element("css selector", "#shapes li:last-child input")
    name.clear()
    name.send_keys("井口")
    mouse(desk, CORNERS[2], (0.75, 0.8), (0.6, 0.7))
    save(desk, "已保存")
    camera = load_node(page.path).cameras[0]
    (zone,) = camera.zones
    assert zone.name == "井口"
    assert close_to(zone.polygon, [(0.2, 0.3), (0.8, 0.3), (0.6, 0.7), (0.2, 0.9)]), zone.polygon
    assert [line.name for line in camera.lines] == ["door"]  # what was there stays
    assert "# counted since May" in page.path.read_text()
    assert page.eyes.told[0].zones == [zone]
    assert complaints(desk) == []


def test_a_zone_a_line_and_a_region_drawn_with_a_finger_are_in_the_file(
    page: Served, open_browser: OpenBrowser
) -> None:
    phone = open_browser(width=360, height=740)
    phone.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    open_editor(phone, page, "en")
    press(phone, "[data-tool=zone]")
    for corner in CORNERS:
        finger(phone, corner)
    press(phone, "#finish")
    press(phone, "[data-tool=line]")
    finger(phone, (0.3, 0.6), (0.35, 0.6), (0.4, 0.6))  # a corner follows the finger until it is lifted
    finger(phone, (0.7, 0.6))
    finger(phone, (0.5, 0.2))
    press(phone, "[data-tool=region]")
    for corner in ((0.1, 0.1), (0.3, 0.1), (0.3, 0.25)):
        finger(phone, corner)
    press(phone, "#finish")
    save(phone, "Saved")
    camera = load_node(page.path).cameras[0]
    assert close_to(camera.zones[0].polygon, CORNERS)
    line = camera.lines[1]
    assert close_to([*line.points, line.inside], [(0.4, 0.6), (0.7, 0.6), (0.5, 0.2)])
    assert close_to(camera.equipment[0].polygon, [(0.1, 0.1), (0.3, 0.1), (0.3, 0.25)])
    assert complaints(phone) == []


def test_what_is_removed_and_swapped_is_saved_and_a_clash_is_offered_to_load_again(
    page: Served, open_browser: OpenBrowser
) -> None:
    desk = open_browser(width=1280, height=860)
    open_editor(desk, page)
    press(desk, "#shapes li:first-child .buttons button:first-child")
    save(desk, "已保存")
    assert load_node(page.path).cameras[0].lines[0].inside == (0.3, 0.8)
    page.path.write_text(page.path.read_text() + "# by hand\n")
    press(desk, "#shapes li:first-child .buttons button:last-child")
    press(desk, "#save")
    until(desk, lambda b: "别人改过" in b.find_element("id", "message").text)
    press(desk, "#reload")
    until(desk, lambda b: not b.find_element("id", "reload").is_displayed())
    press(desk, "#shapes li:first-child .buttons button:last-child")
    save(desk, "已保存")
    assert load_node(page.path).cameras[0].lines == []
    assert "# by hand" in page.path.read_text()


@pytest.mark.parametrize(("width", "height"), [(360, 740), (1280, 860)])
def test_nothing_runs_over_and_every_target_is_large_enough(
    page: Served, open_browser: OpenBrowser, width: int, height: int
) -> None:
    browser = open_browser(width=width, height=height)
    for language in ("zh", "en"):
        open_editor(browser, page, language)
        for path in ("/", "/cameras/gate-cam", "/changes"):
            browser.get(page.url + path)
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width, path
            for target in browser.find_elements("css selector", "button, input, nav a, footer a, .camera"):
                if target.is_displayed():
                    assert target.rect["height"] >= 48, (path, target.text)
        assert complaints(browser) == []


def test_the_checklist_turns_green_without_reloading(page: Served, open_browser: OpenBrowser) -> None:
    browser = open_browser(width=360, height=740)
    enter(browser, page)
    assert browser.find_element("css selector", "#checks li:nth-child(2)").get_attribute("class") == "wrong"
    browser.execute_script("window.untouched = true")

    revision, _ = page.desk.drawn("gate-cam")
    zone = ZoneSettings(name="a", polygon=[(0.1, 0.1), (0.9, 0.1), (0.9, 0.9)])
    page.desk.redraw("gate-cam", Drawn(zones=[zone]), expected=revision, who="li", where="here")
    until(browser, lambda b: b.find_element("css selector", "#checks li:nth-child(2)").get_attribute("class") == "good")
    assert browser.execute_script("return window.untouched") is True
