"""Colours of the style sheet: each text on each ground that it stands on, WCAG 2.2 success criterion 1.4.3."""

from __future__ import annotations

import re
from importlib import resources

import pytest

LEAST = 4.5
CSS = resources.files("sealwatch.cloud.web").joinpath("static/app.css").read_text(encoding="utf-8")
PAIRS = [("ink", "paper"), ("ink", "sheet"), ("soft", "paper"), ("soft", "sheet"), ("on-strong", "strong")]
LEVELS = ("red", "orange", "yellow", "blue", "closed")


def variables(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))


LIGHT = variables(CSS[CSS.index(":root {") : CSS.index("@media (prefers-color-scheme: dark)")])
DARK = LIGHT | variables(CSS.split("@media (prefers-color-scheme: dark)")[1].split("}")[0])


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, brighter = sorted((luminance(one), luminance(other)))
    return (brighter + 0.05) / (darker + 0.05)


def test_the_measure_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), PAIRS)
def test_text_stands_out_from_its_ground(colours: dict[str, str], text: str, ground: str) -> None:
    assert contrast(colours[text], colours[ground]) >= LEAST


@pytest.mark.parametrize("level", LEVELS)
def test_words_on_a_level_stand_out(level: str) -> None:
    rule = re.search(rf"\.level-{level} {{ --level: ([^;]+); --on-level: (#\w+); }}", CSS)
    assert rule is not None
    named = re.fullmatch(r"var\(--([\w-]+)\)", rule[1])
    for colours in (LIGHT, DARK):
        assert contrast(colours[named[1]] if named else rule[1], rule[2]) >= LEAST
