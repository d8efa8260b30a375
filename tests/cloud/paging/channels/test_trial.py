"""`sealwatch cloud channel test NAME --to PERSON` against a local vendor."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sealwatch.cli import main
from tests.cloud.paging.channels.vendor import Vendor

CONFIG = """
data_dir = "data"
mqtt.url = "mqtt://127.0.0.1:1883"
[[people]]
person_id = "wang"
name = "王×"
level = 2
telephone = "13800000000"
[[people]]
person_id = "li"
name = "李×"
level = 3
[[channels]]
kind = "wecom_robot"
name = "group"
key = "env:SEAL_TEST_KEY"
base_url = "{url}"
[[channels]]
kind = "gsm_modem"
name = "sms"
device = "/dev/there-is-no-modem"
"""


@pytest.fixture
def config(vendor: Vendor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEAL_TEST_KEY", "robot-key")
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    file = tmp_path / "cloud.toml"
    file.write_text(CONFIG.format(url=vendor.url), encoding="utf-8")
    return file


def test_a_test_that_is_taken_says_so_and_asks_for_the_persons_word(
    vendor: Vendor, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vendor.answer = lambda _: (200, '{"errcode":0,"errmsg":"ok"}')
    assert main(["cloud", "channel", "test", "group", "--to", "wang", "--config", str(config)]) == 0
    said = capsys.readouterr().out
    sent = json.loads(vendor.calls[0].body)["text"]["content"]
    assert sent.startswith("【测试】封哨叫应通道 group\n王×")
    assert sent[-8:] in said
    assert "group took the test for 王×: taken: 0 ok" in said


def test_a_test_that_is_refused_says_what_the_service_would_do(
    vendor: Vendor, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vendor.answer = lambda _: (200, '{"errcode":45009,"errmsg":"api freq out of limit"}')
    assert main(["cloud", "channel", "test", "group", "--to", "wang", "--config", str(config)]) == 1
    said = capsys.readouterr().out
    assert "did not take the test for 王×: robot_muted: 45009" in said
    assert "leaves the channel alone for 600 s" in said
    assert "robot-key" not in said


@pytest.mark.parametrize(
    ("name", "person", "sentence"),
    [("pigeon", "wang", "no channel pigeon"), ("group", "zhao", "not among the people"), ("sms", "li", "no address")],
)
def test_a_mistake_is_named(
    config: Path, capsys: pytest.CaptureFixture[str], name: str, person: str, sentence: str
) -> None:
    assert main(["cloud", "channel", "test", name, "--to", person, "--config", str(config)]) == 2
    assert sentence in capsys.readouterr().err
