"""Which stream is taken and what has to be changed, each with its name and a sentence in both languages."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sealwatch.base.text import Language
from sealwatch.edge.cameras.advice import advise, choose
from sealwatch.edge.cameras.sheet import Profile, Sheet

FULL = Profile(
    token="a", name="main", codec="H264", width=2560, height=1440, fps=25, bit_rate_kbps=4096, gop_frames=50,
    uri="rtsp://c/a",
)  # fmt: skip
HD = replace(FULL, token="b", name="sub", width=1280, height=720, fps=15, gop_frames=30, bit_rate_kbps=1024)
SMALL = replace(HD, token="c", name="third", width=352, height=288)
VGA = replace(HD, token="d", name="vga", width=640, height=360)


def camera(*profiles: Profile, offset_s: float = 0.2, service: str = "media2", failure: str = "") -> Sheet:
    return Sheet(
        host="10.0.0.9",
        xaddr="http://10.0.0.9/",
        profiles=profiles,
        clock_offset_s=offset_s,
        service=service,  # type: ignore[arg-type]  # one of the two names
        failure=failure,
    )


@pytest.mark.parametrize(
    ("profiles", "token", "why"),
    [
        ([FULL, HD, SMALL], "b", "take_fits"),
        ([FULL, VGA, HD], "b", "take_fits"),
        ([FULL, SMALL], "a", "take_large"),
        ([SMALL], "c", "take_small"),
        ([FULL, replace(HD, codec="H265")], "b", "take_h265"),
        ([replace(HD, codec="H265"), VGA], "d", "take_fits"),
        ([replace(HD, codec="JPEG")], "b", "take_jpeg"),
        ([replace(FULL, width=None)], "a", "take_unknown"),
        ([replace(FULL, token="z", width=3840, height=2160), FULL], "a", "take_large"),
    ],
)
def test_the_stream_that_is_clear_enough_and_light_enough_is_taken(
    profiles: list[Profile], token: str, why: str
) -> None:
    choice = choose(profiles)
    assert choice is not None
    assert (choice.token, choice.why.reason) == (token, why)
    assert set(choice.others) == {one.token for one in profiles} - {token}
    for finding in (choice.why, *choice.others.values()):
        assert all(finding.sentence(language) for language in Language)


@pytest.mark.parametrize(
    ("sheet", "reasons"),
    [
        (camera(FULL, HD), []),
        (camera(FULL, HD, offset_s=-61), ["clock_off"]),
        (camera(FULL), ["substream_missing", "fps_high"]),
        (camera(replace(FULL, fps=10, codec="H265")), ["h265_only", "substream_missing", "key_frames_rare"]),
        (camera(replace(HD, gop_frames=250)), ["key_frames_rare"]),
        (camera(replace(HD, fps=2, gop_frames=4)), ["fps_low"]),
        (camera(SMALL), ["too_small"]),
        (camera(HD, service="media"), ["old_service"]),
        (camera(replace(HD, codec="MPEG4")), ["nothing_usable"]),
        (camera(replace(HD, uri="")), ["nothing_usable"]),
        *[
            (camera(failure=name, offset_s=9), ["clock_off", f"failed_{name}"])
            for name in ("slow", "unreachable", "wrong_password", "not_onvif", "refused_by_camera", "no_media")
        ],
    ],
)
def test_what_has_to_be_changed_is_said(sheet: Sheet, reasons: list[str]) -> None:
    advice = advise(sheet)
    assert [finding.reason for finding in advice] == reasons
    for finding in advice:
        assert all(finding.sentence(language) for language in Language)


def test_the_interval_that_is_asked_for_is_told_in_frames_of_that_stream() -> None:
    (finding,) = advise(camera(replace(HD, fps=12, gop_frames=120)))
    assert finding.values["frames"] == "24"
    assert finding.values["seconds"] == "10"
