"""`sealwatch edge cameras` as its user calls it."""

from __future__ import annotations

import io
import json
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from sealwatch import cli
from sealwatch.edge.cameras import discovery, library
from sealwatch.edge.config import CameraSettings
from sealwatch.edge.video.source import address_of
from sealwatch.simulator.onvif_camera import OnvifCamera, Stream
from tests.edge.cameras.network import loopback

WORD = "p@ss:/w%rd 密"


def run(*arguments: str, stdin: str = "") -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", io.StringIO(stdin))
        patch.setenv("COLUMNS", "160")
        return cli.main(["edge", "cameras", *arguments])


def address(camera: OnvifCamera) -> str:
    return f"127.0.0.1:{camera.port}"


def test_a_named_camera_is_read_and_its_table_can_be_put_into_node_toml(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "word"
    file.write_text(WORD + "\n")
    stream = Stream(token="one", path=f"/user=admin&password={WORD[:5]}&channel=1")
    with OnvifCamera(password=WORD, streams=(stream,)) as camera:
        code = run(address(camera), "--user", "admin", "--password", f"file:{file}", "--json")
    captured = capsys.readouterr()
    assert code == 0
    (one,) = json.loads(captured.out)["cameras"]
    (table,) = tomllib.loads(one["toml"])["cameras"]
    settings = msgspec.convert(table, CameraSettings)
    assert settings.password == "file:/etc/sealwatch/cam-1.password"
    assert WORD[:5] not in captured.out + captured.err
    settings = msgspec.structs.replace(settings, password=f"file:{file}")
    opened = address_of(settings)
    word = "p%40ss%3A%2Fw%25rd%20%E5%AF%86"
    assert opened.url == f"rtsp://admin:{word}@127.0.0.1:554/user=admin&password={word}&channel=1"
    assert opened.label == "rtsp://127.0.0.1:554/user=***&password=***&channel=1"


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_tables_name_camera_streams_choice_and_what_to_change(
    capsys: pytest.CaptureFixture[str], language: str
) -> None:
    with OnvifCamera(clock_off_s=500) as camera:
        assert run(address(camera), "--user", "admin", "--lang", language, stdin="one two\n") == 0
    out = capsys.readouterr().out
    for part in (
        "127.0.0.1",
        "ACME",
        "EY4-0042",
        "+500",
        "2560×1440",
        'camera_id = "cam-1"',
        "rtsp://127.0.0.1:554/sub",
    ):
        assert part in out, part
    assert "one two" not in out


def test_whoever_answers_on_the_network_is_listed_and_the_next_step_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = discovery.find
    with OnvifCamera() as camera:
        monkeypatch.setattr(discovery, "networks", loopback)
        monkeypatch.setattr(
            discovery, "find", lambda wait_s: found(loopback(), wait_s=wait_s, port=camera.discovery_port)
        )
        assert run("--wait", "0.4") == 0
        out = capsys.readouterr().out
        assert "ACME Eye" in out
        assert "--user" in out
    monkeypatch.setattr(discovery, "find", lambda wait_s: [])
    assert run("--lang", "en") == 1
    assert "no camera answers" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("10.0.0.9", "--password", "env:X"), 2, "--password needs --user"),
        (("10.0.0.9", "--user", "a", "--password", "hunter2"), 2, "given by reference"),
        (("rtsp://a:hunter2@10.0.0.9",), 2, "name a camera as"),
        (("http://a:hunter2@10.0.0.9",), 2, "name a camera as"),
        (("10.0.0.9:hunter2",), 2, "name a camera as"),
        (("--wait", "1000"), 2, "name 1 to 60 seconds"),
    ],
)
def test_a_wrong_call_is_one_sentence_that_repeats_no_password(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    assert run(*arguments) == code
    captured = capsys.readouterr()
    assert sentence in captured.err
    assert "hunter2" not in captured.out + captured.err


def test_a_camera_that_cannot_be_read_gives_exit_code_1_and_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    with OnvifCamera() as camera:
        assert run(address(camera), "--user", "admin", "--lang", "en", stdin="wrong\n") == 1
    assert "user name or password is wrong" in capsys.readouterr().out


def test_a_missing_extra_is_one_sentence_with_what_to_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(name=name.split(".", maxsplit=1)[0])

    monkeypatch.setattr(library, "importlib", SimpleNamespace(import_module=missing))
    assert run("10.0.0.9", "--user", "a", stdin="b\n") == 2
    assert "run: pip install 'sealwatch[onvif]'" in capsys.readouterr().err
