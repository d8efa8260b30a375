"""What a camera tells of itself over a real wire, and each way in which it does not."""

from __future__ import annotations

import logging
import socket
from dataclasses import replace

import pytest

from sealwatch.base.clock import SystemClock
from sealwatch.edge.cameras import reading
from sealwatch.edge.cameras.cli import read_all
from sealwatch.edge.cameras.reading import Login
from sealwatch.edge.cameras.sheet import CameraError, Sheet
from sealwatch.simulator.onvif_camera import MAIN, SUB, OnvifCamera, Stream
from tests.edge.cameras.network import LOGIN, sheet

CLOCK = SystemClock()


@pytest.mark.parametrize("settings", [{}, {"http_digest": True}, {"clock_off_s": 90_000.0}, {"clock_off_s": -4000.0}])
def test_identity_clock_and_streams_are_read_by_either_digest_and_with_a_clock_that_is_off(
    settings: dict[str, float | bool],
) -> None:
    with OnvifCamera(**settings) as camera:  # type: ignore[arg-type]  # settings by name
        found = reading.read(sheet(camera), LOGIN, CLOCK)
    assert (found.maker, found.model, found.serial, found.failure) == ("ACME", "Eye 4", "EY4-0042", "")
    assert found.clock_offset_s == pytest.approx(camera.clock_off_s, abs=2.0)
    assert found.service == "media2"
    main, sub = found.profiles
    assert (main.codec, main.width, main.height, main.fps, main.bit_rate_kbps) == ("H264", 2560, 1440, 25.0, 4096)
    assert (sub.key_interval_s, sub.uri) == (2.0, "rtsp://127.0.0.1:554/sub")


def test_without_a_login_only_the_clock_is_asked() -> None:
    with OnvifCamera() as camera:
        found = reading.read(sheet(camera), None, CLOCK)
        assert camera.asked == ["GetSystemDateAndTime"]
    assert found.clock_offset_s is not None
    assert (found.serial, found.profiles, found.failure) == ("", (), "")


def test_a_wrong_password_is_tried_once_and_named_and_stands_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    wrong = Login("admin", "hunter2@:/%密")
    with OnvifCamera() as camera, caplog.at_level(logging.DEBUG):
        found = reading.read(sheet(camera), wrong, CLOCK)
        assert camera.asked == ["GetSystemDateAndTime", "!GetDeviceInformation"]
    assert found.failure == "wrong_password"
    assert "hunter2" not in caplog.text + repr(found) + repr(wrong)
    with OnvifCamera(http_digest=True) as camera:
        assert reading.read(sheet(camera), wrong, CLOCK).failure == "wrong_password"


def test_a_password_of_any_characters_opens_the_camera() -> None:
    with OnvifCamera(username="安装员", password="p@ss:/w%rd 密<&>") as camera:
        found = reading.read(sheet(camera), Login("安装员", "p@ss:/w%rd 密<&>"), CLOCK)
    assert found.serial == "EY4-0042"


def test_a_camera_without_media2_is_read_by_media_and_its_h265_stream_is_not_seen() -> None:
    with OnvifCamera(media2=False, streams=(replace(MAIN, codec="H265"), SUB)) as camera:
        found = reading.read(sheet(camera), LOGIN, CLOCK)
    assert (found.service, [one.token for one in found.profiles]) == ("media", ["sub"])
    assert (found.profiles[0].gop_frames, found.profiles[0].uri) == (30, "rtsp://127.0.0.1:554/sub")


def test_addresses_in_the_answers_are_taken_to_the_machine_that_was_asked() -> None:
    with OnvifCamera(claims="192.168.1.64") as camera:
        found = reading.read(sheet(camera), LOGIN, CLOCK)
    assert {one.uri for one in found.profiles} == {"rtsp://127.0.0.1:554/main", "rtsp://127.0.0.1:554/sub"}


def test_a_path_with_user_and_password_in_it_comes_with_placeholders() -> None:
    stream = Stream(token="one", path="/user=admin_password=tlJwpbo6_channel=1_stream=1.sdp?real_stream")
    with OnvifCamera(streams=(stream,)) as camera:
        found = reading.read(sheet(camera), LOGIN, CLOCK)
    assert found.profiles[0].uri == (
        "rtsp://127.0.0.1:554/user={username}_password={password}_channel=1_stream=1.sdp?real_stream"
    )


def test_no_streams_slow_and_absent_cameras_are_named() -> None:
    with OnvifCamera(streams=()) as camera:
        assert reading.read(sheet(camera), LOGIN, CLOCK).failure == "no_media"
    with OnvifCamera(delay_s=5.0) as camera, pytest.raises(CameraError) as failed:
        reading.read(sheet(camera), LOGIN, CLOCK, timeout_s=1)
    assert failed.value.reason == "slow"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(CameraError) as failed:
        reading.read(Sheet(host="127.0.0.1", xaddr=f"http://127.0.0.1:{port}/"), LOGIN, CLOCK)
    assert failed.value.reason == "unreachable"


def test_a_page_that_is_no_onvif_and_a_redirect_elsewhere_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with OnvifCamera() as camera:
        monkeypatch.setattr(camera, "serve", lambda *_: (200, {"Content-Type": "text/html"}, "<html>hello</html>"))
        with pytest.raises(CameraError) as failed:
            reading.read(sheet(camera), LOGIN, CLOCK)
        assert failed.value.reason == "not_onvif"
        monkeypatch.setattr(camera, "serve", lambda *_: (307, {"Location": camera.xaddr}, ""))
        with pytest.raises(CameraError) as failed:
            reading.read(sheet(camera), LOGIN, CLOCK)
        assert failed.value.reason == "not_onvif"


def test_many_cameras_are_read_side_by_side_and_the_slow_one_costs_its_own_line_only() -> None:
    with OnvifCamera() as quick, OnvifCamera(delay_s=8.0) as slow:
        found = read_all([sheet(slow), sheet(quick)], LOGIN, deadline_s=4.0)
    assert [one.failure for one in found] == ["slow", ""]
    assert found[1].profiles
