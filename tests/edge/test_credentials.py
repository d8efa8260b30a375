"""A camera's user name and password open the camera and stand nowhere else: not in any log line, alarm, health, answer
of a check, error sentence, or the list of processes."""

from __future__ import annotations

import json
import logging
import os
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealwatch.base.clock import SystemClock
from sealwatch.base.settings import SettingsError
from sealwatch.base.text import Language
from sealwatch.edge import check
from sealwatch.edge.config import CameraSettings, parse_node
from sealwatch.edge.ports import MemorySink, SourceError
from sealwatch.edge.video.ports import ScriptedDetector
from sealwatch.edge.video.source import address_of
from sealwatch.edge.video.watcher import CameraWatcher
from sealwatch.simulator.camera import RtspCamera, gstreamer_missing
from tests.edge.video import clips

WORDS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=20).map(lambda text: f"Zq7{text}7qZ")
NODE = 'site_id = "1"\nnode_id = "n"\ndata_dir = "d"\n[mqtt]\nurl = "mqtt://127.0.0.1:1"\n'
USER, WORD = "安装 员@", "Zq7p@ss:/w%rd?#[密"


def hidden(text: str) -> bool:
    return "zq7" not in text.lower() and "7qz" not in text.lower()


@given(WORDS, WORDS)
def test_any_user_and_password_reach_the_camera_unchanged_and_are_not_in_what_is_shown(user: str, word: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sealwatch.base.settings.secret", lambda _: word)
        settings = CameraSettings(
            camera_id="c", source="rtsp://10.0.0.9:554/a={username}/b={password}", username=user, password="env:X"
        )
        address = address_of(settings)
    parts = urlsplit(address.url)
    assert (unquote(parts.username or ""), unquote(parts.password or "")) == (user, word)
    assert (parts.hostname, parts.port) == ("10.0.0.9", 554)
    assert unquote(parts.path) == f"/a={user}/b={word}"
    assert hidden(address.label + repr(address))


@given(WORDS, WORDS)
def test_a_source_with_user_and_password_in_it_is_refused_by_a_sentence_without_them(user: str, word: str) -> None:
    source = f"rtsp://{user}:{word}@10.0.0.9/live"
    written = f"{NODE}[[cameras]]\ncamera_id = 'gate'\nsource = {json.dumps(source, ensure_ascii=False)}\n"
    with pytest.raises(SettingsError) as refused:
        parse_node(written.replace("\x7f", ""), name="node.toml")
    assert hidden(str(refused.value))
    try:
        told = repr(address_of(CameraSettings(camera_id="c", source=source)))
    except SourceError as error:
        told = "".join(traceback.format_exception(error))
    assert hidden(told)


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RtspCamera]:
    if gstreamer_missing():
        pytest.skip("GStreamer's RTSP server is not installed")
    clip = tmp_path_factory.mktemp("login") / "clip.mp4"
    clips.write_clip(clip, clips.visit(seconds=4, fps=10, enters_s=1, leaves_s=3, sigma=1.0), fps=10)
    with RtspCamera(clip, username=USER, password=WORD) as served:
        yield served


def bare(camera: RtspCamera) -> str:
    parts = urlsplit(camera.url)
    return f"rtsp://127.0.0.1:{parts.port}{parts.path}"


def processes() -> str:
    """The command lines of every process of this machine, and the arguments of our own."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                found.append((folder / "cmdline").read_bytes().decode(errors="replace"))
            except OSError:
                continue
    return "\n".join(found)


@pytest.mark.parametrize("word", [WORD, "Zq7wrong"])
def test_a_camera_at_work_and_one_that_refuses_tell_nobody_how_to_log_in(
    camera: RtspCamera, word: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("CAMERA_WORD", word)
    settings = CameraSettings(camera_id="gate", source=bare(camera), username=USER, password="env:CAMERA_WORD")
    sink, stop = MemorySink(), threading.Event()
    watcher = CameraWatcher(settings, ScriptedDetector(lambda _: []), sink, SystemClock())
    wanted = "pictures_change" if word == WORD else "signal_lost"
    with caplog.at_level(logging.DEBUG):
        thread = threading.Thread(target=watcher.run, args=(stop,))
        thread.start()
        try:
            for _ in range(200):
                if watcher.health().reason == wanted:
                    break
                stop.wait(0.05)
            health, seen = watcher.health(), processes()
        finally:
            stop.set()
            thread.join(20)
    assert health.reason == wanted
    output = capfd.readouterr()
    told = caplog.text + repr(health) + repr(sink.__dict__) + output.out + output.err + seen
    assert ("access is refused" in caplog.text) == (word != WORD)
    for secret in (word, USER, "Zq7"):
        assert secret not in told


def test_the_check_of_a_node_shows_no_password_whether_the_camera_answers_or_not(
    camera: RtspCamera, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RIGHT", WORD)
    monkeypatch.setenv("WRONG", "Zq7wrong")
    tables = "".join(
        f"[[cameras]]\ncamera_id = '{name.lower()}'\nsource = '{bare(camera)}'\nusername = '{USER}'\n"
        f"password = 'env:{name}'\n"
        for name in ("RIGHT", "WRONG", f"ABSENT_{os.getpid()}")
    )
    path = tmp_path / "node.toml"
    path.write_text(NODE + tables)
    probes = [p for p in check.probes_of(parse_node(path.read_text(), name="n"), path) if p.subject == "camera"]
    findings = check.try_all(probes, deadline_s=15.0)
    assert [finding.reason for finding in findings] == ["picture", "access_refused", "secret_missing"]
    told = check.as_json(findings) + repr(findings)
    check.print_table(findings, Language.ZH)
    output = capfd.readouterr()
    assert "Zq7" not in told + output.out + output.err
