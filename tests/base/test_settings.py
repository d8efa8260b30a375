"""Configuration errors say which file, which field and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from sealwatch.base import settings
from sealwatch.base.settings import SettingsError
from sealwatch.edge.config import NodeSettings, load_node

GOOD = """
site_id = "610000000001"
node_id = "node-1"
data_dir = "data"
mqtt.url = "mqtt://127.0.0.1:1883"
[[cameras]]
camera_id = "cam-1"
source = "clip.avi"
"""


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (('node_id = "node-1"', 'node_id = "node-1"\nnod = 1'), "node.toml: nod: this key is not known"),
        (("camera_id", "camera_idd"), "cameras[0].camera_idd: this key is not known; did you mean 'camera_id'?"),
        (('source = "clip.avi"', "source = 5"), "cameras[0].source: Expected `str`, got `int`"),
        (
            ('source = "clip.avi"', 'source = "c"\nanalysis_fps = 500.0'),
            "cameras[0].analysis_fps: Expected `float` <= 30",
        ),
        (('source = "clip.avi"', ""), "cameras[0]: Object missing required field `source`"),
        (("mqtt://127", "http://127"), "mqtt.url: Expected `str` matching regex"),
        (('site_id = "610000000001"', "site_id = "), "not valid TOML"),
    ],
)
def test_a_bad_file_is_refused_with_one_sentence(change: tuple[str, str], wanted: str) -> None:
    with pytest.raises(SettingsError) as refused:
        settings.parse(NodeSettings, GOOD.replace(*change), name="node.toml")
    assert wanted in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such file"):
        load_node(tmp_path / "none.toml")


def test_the_same_id_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text(GOOD + '[[cameras]]\ncamera_id = "cam-1"\nsource = "b.avi"\n')
    with pytest.raises(SettingsError, match="cam-1 is used twice"):
        load_node(file)


def test_two_zones_of_one_name_are_refused(tmp_path: Path) -> None:
    zone = '[[cameras.zones]]\nname = "door"\npolygon = [[0, 0], [1, 0], [1, 1]]\n'
    file = tmp_path / "node.toml"
    file.write_text(GOOD + '[[cameras]]\ncamera_id = "cam-2"\nsource = "b.avi"\n' + zone + zone)
    with pytest.raises(SettingsError, match="cam-2: zones: the name door is used twice"):
        load_node(file)


def test_a_secret_comes_by_reference_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "secret"
    file.write_text("hush\n")
    monkeypatch.setenv("SEALWATCH_SECRET", "quiet")
    assert settings.secret(f"file:{file}") == "hush"
    assert settings.secret("env:SEALWATCH_SECRET") == "quiet"
    for bad in ("hush", "", "file:", f"file:{tmp_path}/none", "env:SEALWATCH_NONE"):
        with pytest.raises(SettingsError):
            settings.secret(bad)
