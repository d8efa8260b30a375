"""Where the detector looks: pure decisions about crops, so that its time goes to what moved and to whom it follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from sealwatch.edge.video.gate import GateResult
from sealwatch.edge.video.geometry import Box, intersection, union
from sealwatch.edge.video.tracks import Track

CROP_PX: Final = 240.0  # far people are blown up to the detector's input, but not further than helps


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionSettings:
    """Budgets, in seconds and crops."""

    sweep_s: float = 30.0  # the whole picture is searched this often even when nothing moves
    first_sweeps: int = 3  # searches of the whole picture right after the start
    track_s: float = 1.0  # someone who stands still is looked at again this often
    settled_s: float = 0.39  # what moves is looked at this often once an alarm stands
    crops: int = 2  # crops in one picture at most
    room: float = 1.8  # a crop's side, in sides of what moves in it: tighter ones miss people, wider ones far people
    counting_room: float = 2.2  # ... where people are counted, who must be found in every look
    counting_px: float = 300.0  # a crop's least side there: a door's frame and floor around them make far people surer
    counting_wider: float = 1.4  # a second look at each crop there, so much wider: who is missed in one size is found


@dataclass(frozen=True, slots=True)
class Interest:
    """A part of the picture worth a look, and why: ``moved``, ``tracked`` or ``sweep``."""

    crop: Box
    reason: str


@dataclass(frozen=True, slots=True)
class AttentionState:
    """When the detector last looked: anywhere, and at the whole picture."""

    looked_s: float = float("-inf")
    swept_s: float = float("-inf")
    sweeps: int = 0


def plan(
    state: AttentionState,
    rules: AttentionSettings,
    gate: GateResult,
    tracks: Sequence[Track],
    *,
    size_px: tuple[int, int],
    settled: bool,
    counting: bool = False,
    now_s: float,
) -> tuple[AttentionState, tuple[Interest, ...]]:
    """The crops to search now; `settled` says that every zone's alarm already stands, so that there is no hurry.

    `counting` says that there is a line to be crossed.
    """
    if gate.reason == "scene_switched":
        state = replace(state, sweeps=0)  # whoever comes with the light must not be swallowed by it
    if state.sweeps < rules.first_sweeps or now_s - state.swept_s >= rules.sweep_s:
        return AttentionState(now_s, now_s, state.sweeps + 1), (Interest(Box(0, 0, 1, 1), "sweep"),)
    if settled and now_s - state.looked_s < rules.settled_s:
        return state, ()
    wanted = [(-1.0, "moved", box) for box in gate.regions]
    wanted += [
        (track.looked_s, "tracked", track.box)
        for track in tracks
        if now_s - track.looked_s >= rules.track_s or (gate.moving and track.looked_s < now_s - 0.01)
    ]
    room, least_px = (rules.counting_room, rules.counting_px) if counting else (rules.room, CROP_PX)
    crops = _merge([(age, why, _square(box, size_px, room, least_px)) for age, why, box in wanted], size_px)
    if not crops:
        return state, ()
    if sum(box.area for _, _, box in crops) > 0.8 or len(crops) > 2 * rules.crops:
        chosen = [Interest(Box(0, 0, 1, 1), crops[0][1])]
    else:
        chosen = [Interest(box, why) for _, why, box in sorted(crops, key=lambda c: (c[0], c[2].x1))[: rules.crops]]
    if counting:
        chosen += [replace(one, crop=_wider(one.crop, rules.counting_wider)) for one in chosen if one.crop.area < 1.0]
    return replace(state, looked_s=now_s), tuple(chosen)


def _square(box: Box, size_px: tuple[int, int], room: float, least_px: float) -> Box:
    """A square crop around `box` with room to see the whole of it, inside the picture."""
    width_px, height_px = size_px
    side_px = max(room * box.width * width_px, room * box.height * height_px, least_px)
    return _inside(box.centre, side_px / width_px, side_px / height_px)


def _wider(crop: Box, factor: float) -> Box:
    return _inside(crop.centre, factor * crop.width, factor * crop.height)


def _inside(centre: tuple[float, float], width: float, height: float) -> Box:
    """The box of that size about `centre`, moved and cut so that it lies in the picture."""
    w, h = min(1.0, width), min(1.0, height)
    left, top = min(max(0.0, centre[0] - w / 2), 1 - w), min(max(0.0, centre[1] - h / 2), 1 - h)
    return Box(left, top, left + w, top + h)


def _merge(crops: list[tuple[float, str, Box]], size_px: tuple[int, int]) -> list[tuple[float, str, Box]]:
    """Join crops while one square around two is not much larger than the two."""
    merged = True
    while merged and len(crops) > 1:
        merged = False
        for i in range(len(crops)):
            for j in range(i + 1, len(crops)):
                a, b = crops[i], crops[j]
                both = _around(union((a[2], b[2])), size_px)
                if both.area <= 1.15 * (a[2].area + b[2].area - intersection(a[2], b[2])):
                    crops = [c for k, c in enumerate(crops) if k not in (i, j)]
                    crops.append((min(a[0], b[0]), a[1], both))
                    merged = True
                    break
            if merged:
                break
    return crops


def _around(box: Box, size_px: tuple[int, int]) -> Box:
    """The square crop that just holds `box`."""
    width_px, height_px = size_px
    side_px = max(box.width * width_px, box.height * height_px)
    return _inside(box.centre, side_px / width_px, side_px / height_px)
