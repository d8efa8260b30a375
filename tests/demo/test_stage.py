"""The stage refuses what it can't do, and keeps passwords out of its files."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from sealwatch.base.errors import CommandFailed
from sealwatch.demo import stage
from sealwatch.demo.stage import DemoSettings, Stage


def test_a_taken_port_is_said_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        settings = DemoSettings(folder=tmp_path / "demo", source="clip.avi", web_port=other.getsockname()[1])
        with pytest.raises(CommandFailed, match=r"is taken by another program.*--port"), Stage(settings):
            pass
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("rtsp://viewer:p%40ss@10.0.0.9:554/s1?x=1", ("rtsp://10.0.0.9:554/s1?x=1", "viewer", "p@ss")),
        ("rtsp://10.0.0.9/s1", ("rtsp://10.0.0.9/s1", "", "")),
        ("/dev/video0", ("/dev/video0", "", "")),
        ("/clips/a.mp4", ("/clips/a.mp4", "", "")),
    ],
)
def test_user_and_password_leave_the_cameras_address(source: str, wanted: tuple[str, str, str]) -> None:
    assert stage._without_credentials(source) == wanted
