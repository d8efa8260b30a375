"""Camera faults 0001-0006, 0008 and 0009: whether the picture can still be trusted, and if not, why not.

The picture is compared with *anchors*: pictures of the same view in different light. An anchor is never altered; a new
one is added only when the view is recognised in place, and carries the displacement measured until then, so that a
camera that is moved slowly still moves away from its first anchor. (0007, signal lost, is decided where pictures are
waited for: `signal_loss`.)
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from sealwatch.contract.codes import Phase, VideoFault
from sealwatch.edge.ports import Image
from sealwatch.edge.video import condition, delays
from sealwatch.edge.video.condition import Condition, Shift
from sealwatch.edge.video.delays import Delayed
from sealwatch.edge.video.stillness import StillnessWatch
from sealwatch.edge.video.views import Anchor, View

OFF_DELAY_S: Final = 4.0
_SETTLE_S: Final = 0.35  # the very first pictures of a stream may be torn
_ENOUGH_STRUCTURE: Final = 8  # cells of 48
_ENOUGH_TO_MEASURE: Final = 14  # ... to believe a small displacement: one large car must not drag the view along
_MOST_ANCHORS: Final = 8
_ANCHOR_WAIT_S: Final = 60.0
_MOVED: Final = 0.02  # parts of the picture's width
_SHAKE_WINDOW_S: Final = 3.0
_JUMP: Final = 0.006  # parts of the picture's width that are worth seeing
_CLEAR_JUMP: Final = 0.45
_CERTAIN_LIKENESS: Final = 0.8
_RESTLESS: Final = 0.2  # likeness of one look to the last; a new view is well above it, drops over a bare scene below

# Seconds that a fault must be there: short where it is beyond doubt.
_ON_DELAY_S: Final = {
    VideoFault.COVERED: 2.5,
    VideoFault.MOVED: 2.0,
    VideoFault.DARK: 3.0,
    VideoFault.OVEREXPOSED: 3.0,
    VideoFault.BLURRED: 2.0,
    VideoFault.FROZEN: 0.0,  # counted by the pictures themselves
    VideoFault.SHAKING: 1.0,
    VideoFault.RESOLUTION: 1.0,
}
_CERTAIN_S: Final = {VideoFault.COVERED: 0.55, VideoFault.MOVED: 0.9, VideoFault.BLURRED: 0.9}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one picture says. `fault` is the cause of a changed picture, if any; `steady` that the view is in place."""

    fault: VideoFault | None
    certain: bool
    reason: str
    numbers: dict[str, float]
    steady: bool
    shared: bool = True  # a displacement, if any, is the whole picture's and not of something large before the lens
    placed: bool = True  # it is known where the view is: recognised, or its displacement was measured


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultChange:
    """A fault's alarm starts or ends."""

    fault: VideoFault
    phase: Phase
    reason: str
    since_ms: int
    numbers: dict[str, float]


@dataclass(slots=True)
class _Reference:
    anchors: list[Anchor] = field(default_factory=list)
    sharpness: float = 0.0  # of the picture in focus, over the square of its contrast
    plain_sharpness: float = 0.0
    unlike_since_s: float | None = None
    episode_moved: bool = False  # a clear displacement was seen since the view was last recognised


def judge(reference: _Reference, now: Condition) -> tuple[Verdict, Shift]:
    """The verdict on one picture against a reference. Pure but for `reference.episode_moved`."""
    likes = [condition.likeness(anchor.condition, now) for anchor in reference.anchors]
    best = int(np.argmax(likes))
    like, anchor = likes[best], reference.anchors[best]
    step, moved = Shift(0.0, 0.0, 1.0), Shift(anchor.x, anchor.y, 1.0)
    measured = like < 0.9 and (like < 0.35 or anchor.condition.structured >= _ENOUGH_TO_MEASURE)
    if measured:
        step = condition.shift(anchor.condition, now)
        moved = Shift(anchor.x + step.x, anchor.y + step.y, step.clarity)
    sharp = now.sharpness / max(reference.plain_sharpness, 1e-3)
    focus = now.sharpness / max(now.spread, 4.0) ** 2 / max(reference.sharpness, 1e-6)
    if like >= 0.6 and moved.length < _MOVED:
        reference.episode_moved = False
    elif moved.length >= _MOVED and moved.clarity >= 0.4:
        reference.episode_moved = True
    fault, certain, reason = _cause(like, moved, sharp, focus, now, episode_moved=reference.episode_moved)
    numbers = {
        "likeness": round(like, 3),
        "sharpness_ratio": round(sharp, 3),
        "focus_ratio": round(focus, 3),
        "brightness": round(now.mean, 1),
        "displacement": round(moved.length if moved.clarity >= 0.15 else 0.0, 4),
        "clarity": round(moved.clarity, 3),
    }
    steady = fault is None and focus > 0.6 and not (moved.length > _JUMP and moved.clarity > 0.3)
    jumped = step.length > _JUMP and step.clarity >= _CLEAR_JUMP
    shared = not jumped or condition.quarters_agree(anchor.condition, now, step)
    verdict = Verdict(
        fault=fault,
        certain=certain,
        reason=reason,
        numbers=numbers,
        steady=steady,
        shared=shared,
        placed=measured or like >= 0.9,
    )
    return verdict, moved


def _cause(
    like: float, moved: Shift, sharp: float, focus: float, now: Condition, *, episode_moved: bool
) -> tuple[VideoFault | None, bool, str]:
    if now.mean < 18.0 and now.dark_share > 0.95:
        return VideoFault.DARK, False, "nearly_black"
    if now.bright_share > 0.5 or now.mean > 235.0:
        return VideoFault.OVEREXPOSED, False, "nearly_white"
    in_place = moved.length < _MOVED and moved.clarity >= 0.15
    if like < 0.35 and not in_place:
        if episode_moved:
            return VideoFault.MOVED, True, "view_displaced"
        if sharp < 0.25:
            return VideoFault.COVERED, like < 0.3 and sharp < 0.2, "structure_gone"
        if now.mean > 40.0 and now.structured >= _ENOUGH_STRUCTURE:
            return VideoFault.MOVED, False, "view_not_recognised"
        return None, False, "view_unclear"
    if moved.length >= _MOVED and moved.clarity >= 0.4:
        return VideoFault.MOVED, False, "view_displaced"
    if like >= 0.6 and focus < 0.3 and sharp < 0.5:  # night mode alone takes it to about 0.37
        return VideoFault.BLURRED, focus < 0.2, "focus_lost"
    return None, False, "view_in_place"


class FaultWatch:
    """One camera's faults. `look` takes pictures in the order of their time.

    With the `view` of an earlier life the very first pictures are compared already.
    """

    def __init__(self, view: View | None = None) -> None:
        self._size: tuple[int, ...] | None = None
        self._odd_size = False
        self._began_s: float | None = None
        self._next_s = float("-inf")
        self._reference = _Reference()
        self._revision = 0
        if view is not None:
            self._size = view.size
            self._reference = _Reference(list(view.anchors), view.sharpness, view.plain_sharpness)
            self._revision = 1
        self._states: dict[VideoFault, Delayed] = {}
        self._verdict = Verdict(fault=None, certain=False, reason="learning", numbers={}, steady=True)
        self._stillness = StillnessWatch()
        self._before: Condition | None = None
        self._fresh = True
        self._shifts: deque[tuple[float, float, float]] = deque(maxlen=64)

    @property
    def verdict(self) -> Verdict:
        """The latest judgement of the view."""
        return self._verdict

    @property
    def calm(self) -> bool:
        """Whether the view is known and nothing about it is in doubt."""
        return self._verdict.reason == "view_in_place" and bool(self._reference.anchors) and not self._odd_size

    @property
    def certain_of_view(self) -> bool:
        """Whether the picture shows the known view, in its place, beyond doubt."""
        return self.calm and self._verdict.steady and self._verdict.numbers.get("likeness", 0.0) >= _CERTAIN_LIKENESS

    @property
    def fresh(self) -> bool:
        """Whether the latest picture shows something that the one before did not."""
        return self._fresh

    @property
    def standing(self) -> tuple[VideoFault, ...]:
        """Faults whose alarm stands."""
        return tuple(fault for fault, state in sorted(self._states.items()) if state.standing)

    @property
    def revision(self) -> int:
        """Counts the anchors taken; 0 while there is no reference yet."""
        return self._revision

    @property
    def view(self) -> View | None:
        """The reference as it may be kept."""
        reference = self._reference
        if self._size is None or not reference.anchors:
            return None
        return View(
            size=(self._size[0], self._size[1]),
            anchors=tuple(reference.anchors),
            sharpness=reference.sharpness,
            plain_sharpness=reference.plain_sharpness,
        )

    def look(self, grey: Image, *, now_s: float, now_ms: int) -> list[FaultChange]:
        """Judge one picture; the alarms that start or end with it."""
        changes = self._frozen(grey, now_s, now_ms)
        if now_s < self._next_s:
            return changes
        calm = self._verdict.fault is None and self._verdict.numbers.get("likeness", 0.0) >= 0.9
        self._next_s = now_s + (0.35 if calm and self._reference.anchors else 0.15)
        if self._began_s is None:
            self._began_s = now_s
        if self._size is None:
            self._size = grey.shape
        self._odd_size = grey.shape != self._size
        changes += self._step(VideoFault.RESOLUTION, self._odd_size, "size_changed", now_s, now_ms)
        if not self._odd_size and (not self._reference.anchors or now_s - self._began_s >= _SETTLE_S):
            changes += self._view(grey, now_s, now_ms)
        return changes

    def _view(self, grey: Image, now_s: float, now_ms: int) -> list[FaultChange]:
        now = condition.measure(grey)
        reference = self._reference
        if not reference.anchors and not self._take_first(now, now_s):
            fault, certain, reason = _cause(1.0, Shift(0, 0, 1), 1.0, 1.0, now, episode_moved=False)
            self._verdict = Verdict(
                fault=fault, certain=certain, reason=reason, numbers={"brightness": round(now.mean, 1)}, steady=True
            )
        else:
            self._verdict, moved = judge(reference, now)
            self._verdict = self._unless_restless(now)
            self._adapt(now, moved, now_s)
            clear = moved.clarity >= _CLEAR_JUMP and self._verdict.shared
            if self._verdict.placed:  # what was not measured is no way back to where it was
                self._shifts.append((now_s, moved.x, moved.y) if clear else (now_s, 0.0, 0.0))
        verdict = self._verdict
        changes: list[FaultChange] = []
        for fault in _VIEW_FAULTS:
            changes += self._step(fault, verdict.fault is fault, verdict.reason, now_s, now_ms, certain=verdict.certain)
        changes += self._step(VideoFault.SHAKING, self._shaking(now_s), "view_jumps", now_s, now_ms)
        return changes

    def _unless_restless(self, now: Condition) -> Verdict:
        """A camera that was moved shows another view, which stays.

        Where no look resembles the one before it, heavy rain or snow fills the picture, and nothing is known.
        """
        before, self._before = self._before, now
        if self._verdict.reason != "view_not_recognised" or before is None:
            return self._verdict
        if condition.likeness(before, now) >= _RESTLESS:
            return self._verdict
        return replace(self._verdict, fault=None, reason="view_restless", steady=False)

    def _take_first(self, now: Condition, now_s: float) -> bool:
        """Make this picture the first anchor, if it shows enough."""
        if self._began_s is None or now_s - self._began_s < _SETTLE_S:
            return False
        if now.structured < _ENOUGH_STRUCTURE or now.mean < 18.0 or now.mean > 235.0:
            return False
        self._reference.anchors.append(Anchor(now, 0.0, 0.0))
        self._reference.sharpness = now.sharpness / max(now.spread, 4.0) ** 2
        self._reference.plain_sharpness = now.sharpness
        self._revision += 1
        return True

    def _adapt(self, now: Condition, moved: Shift, now_s: float) -> None:
        reference, verdict = self._reference, self._verdict
        if not verdict.steady or moved.length > _JUMP:
            reference.unlike_since_s = None
            return
        focus = now.sharpness / max(now.spread, 4.0) ** 2
        rate = 0.1 if focus > reference.sharpness else 0.0005  # focus is gained at once and lost only slowly
        reference.sharpness += rate * (focus - reference.sharpness)
        reference.plain_sharpness += (0.1 if now.sharpness > reference.plain_sharpness else 0.0005) * (
            now.sharpness - reference.plain_sharpness
        )
        if verdict.numbers["likeness"] >= 0.75:
            reference.unlike_since_s = None
            return
        if reference.unlike_since_s is None:
            reference.unlike_since_s = now_s
        if now_s - reference.unlike_since_s >= _ANCHOR_WAIT_S and verdict.numbers["likeness"] >= 0.4:
            reference.anchors.append(Anchor(now, moved.x, moved.y))
            if len(reference.anchors) > _MOST_ANCHORS:
                del reference.anchors[1]  # never the first
            reference.unlike_since_s = None
            self._revision += 1

    def _shaking(self, now_s: float) -> bool:
        """Whether the view jumps to and fro: several changes of direction, each worth seeing."""
        recent = [(x, y) for t_s, x, y in self._shifts if now_s - t_s <= _SHAKE_WINDOW_S]
        if len(recent) < 6:
            return False
        for axis in (0, 1):
            steps = np.diff([p[axis] for p in recent])
            large = steps[np.abs(steps) > _JUMP]
            if len(large) >= 4 and np.count_nonzero(np.diff(np.sign(large))) >= 3:
                return True
        return False

    def _frozen(self, grey: Image, now_s: float, now_ms: int) -> list[FaultChange]:
        known = self._verdict.reason == "view_in_place" and bool(self._reference.anchors)
        stillness = self._stillness.look(grey, in_place=known, now_s=now_s, now_ms=now_ms)
        self._fresh = stillness.fresh
        changes = self._step(VideoFault.FROZEN, stillness.frozen, stillness.reason, now_s, now_ms)
        return [replace(c, since_ms=stillness.since_ms) if c.phase is Phase.START else c for c in changes]

    def _step(
        self, fault: VideoFault, present: bool, reason: str, now_s: float, now_ms: int, *, certain: bool = False
    ) -> list[FaultChange]:
        before = self._states.get(fault, Delayed())
        delay_s = _CERTAIN_S.get(fault, _ON_DELAY_S[fault]) if certain else _ON_DELAY_S[fault]
        state, phase = delays.step(
            before, present, on_delay_s=delay_s, off_delay_s=OFF_DELAY_S, now_s=now_s, now_ms=now_ms
        )
        self._states[fault] = state
        if phase is None:
            return []
        return [
            FaultChange(
                fault=fault,
                phase=phase,
                reason=reason if phase is Phase.START else "picture_good_again",
                since_ms=state.since_ms,
                numbers=dict(self._verdict.numbers),
            )
        ]


_VIEW_FAULTS: Final = (
    VideoFault.COVERED,
    VideoFault.MOVED,
    VideoFault.DARK,
    VideoFault.OVEREXPOSED,
    VideoFault.BLURRED,
)
