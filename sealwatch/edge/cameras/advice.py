"""Which stream of a camera to take and what to change on it: pure, each finding with a name and its numbers.

The node opens one connection per camera, and what it watches is what it records. So one stream is chosen for both:
large enough to be evidence, small enough to be decoded all the time on a small board.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sealwatch.base import text
from sealwatch.base.text import Language
from sealwatch.edge.cameras.sheet import Profile, Sheet

CLOCK_OFF_S: Final = 2.0
KEY_INTERVAL_MOST_S: Final = 4.0
"""With rarer key frames an idle scene has to be decoded in full (`sealwatch.edge.video.decoding.LONGEST_REST_S`)."""
KEY_INTERVAL_WANTED_S: Final = 2.0
PIXELS_LEAST: Final = 640 * 352
PIXELS_MOST: Final = 1280 * 720
FPS_LEAST: Final = 5.0
FPS_MOST: Final = 15.0
_CODEC_ORDER: Final = ("H264", "H265", "JPEG")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing to tell. `reason` is its name; `values` fill its sentence."""

    reason: str
    values: Mapping[str, str] = field(default_factory=dict)

    def sentence(self, language: Language) -> str:
        return text.say(language, f"cameras.advice.{self.reason}", **self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The stream to take, by its token, why, and why each of the others is not taken."""

    token: str
    why: Finding
    others: Mapping[str, Finding] = field(default_factory=dict)


def choose(profiles: Sequence[Profile]) -> Choice | None:
    """The stream to watch and record, or None where there is none that can be used."""
    usable = [one for one in profiles if one.codec in _CODEC_ORDER and one.uri]
    if not usable:
        return None
    best = min(usable, key=_rank)
    why = Finding(reason=f"take_{_size(best)}", values=_values(best))
    if best.codec != "H264":
        why = Finding(reason=f"take_{best.codec.lower()}", values=_values(best))
    others = {one.token: _not_taken(one, best) for one in profiles if one.token != best.token}
    return Choice(token=best.token, why=why, others=others)


def advise(sheet: Sheet) -> list[Finding]:
    """What the installer has to change on this camera, the most urgent first."""
    found = []
    if sheet.clock_offset_s is not None and abs(sheet.clock_offset_s) > CLOCK_OFF_S:
        found.append(Finding(reason="clock_off", values={"seconds": f"{sheet.clock_offset_s:+.0f}"}))
    if sheet.failure:
        found.append(Finding(reason=f"failed_{sheet.failure}"))
    if not sheet.profiles:
        return found
    choice = choose(sheet.profiles)
    if choice is None:
        return [*found, Finding(reason="nothing_usable")]
    taken = next(one for one in sheet.profiles if one.token == choice.token)
    if all(one.codec == "H265" for one in sheet.profiles):
        found.append(Finding(reason="h265_only"))
    if taken.pixels > PIXELS_MOST:
        found.append(Finding(reason="substream_missing", values=_values(taken)))
    elif 0 < taken.pixels < PIXELS_LEAST:
        found.append(Finding(reason="too_small", values=_values(taken)))
    if taken.key_interval_s is not None and taken.key_interval_s > KEY_INTERVAL_MOST_S:
        wanted = round(KEY_INTERVAL_WANTED_S * (taken.fps or 25))
        values = {"seconds": f"{taken.key_interval_s:.0f}", "frames": str(wanted)}
        found.append(Finding(reason="key_frames_rare", values={**_values(taken), **values}))
    if taken.fps is not None and not FPS_LEAST <= taken.fps <= FPS_MOST:
        found.append(Finding(reason="fps_low" if taken.fps < FPS_LEAST else "fps_high", values=_values(taken)))
    if sheet.service == "media":
        found.append(Finding(reason="old_service"))
    return found


def _size(profile: Profile) -> str:
    if not profile.pixels:
        return "unknown"
    return "small" if profile.pixels < PIXELS_LEAST else "fits" if profile.pixels <= PIXELS_MOST else "large"


def _rank(profile: Profile) -> tuple[int, int, int]:
    """Smaller is better: the size that fits, then the codec, then detail; of what is too large, less of it."""
    size = ("fits", "unknown", "large", "small").index(_size(profile))
    detail = profile.pixels if _size(profile) == "large" else -profile.pixels
    return size, _CODEC_ORDER.index(profile.codec), detail


def _not_taken(profile: Profile, best: Profile) -> Finding:
    if not profile.uri:
        return Finding(reason="not_no_address")
    if profile.codec not in _CODEC_ORDER:
        return Finding(reason="not_codec", values=_values(profile))
    if _size(profile) != _size(best):
        return Finding(reason=f"not_{_size(profile)}", values=_values(profile))
    return Finding(reason="not_codec" if profile.codec != best.codec else "not_best", values=_values(profile))


def _values(profile: Profile) -> dict[str, str]:
    gb = profile.gb_per_day
    return {
        "name": profile.name or profile.token,
        "codec": profile.codec.replace("H26", "H.26"),
        "size": f"{profile.width}×{profile.height}" if profile.pixels else "?",
        "fps": f"{profile.fps:g}" if profile.fps else "?",
        "gb": f"{gb:.0f}" if gb and gb >= 10 else f"{gb:.1f}" if gb else "?",
    }
