"""Whether the stream repeats one picture, although it was encoded again: 0006, frozen.

A living sensor is never still: its noise differs from picture to picture, and most of it outlives the encoder. A
picture that hangs is either the same to the last bit, or, where something behind the camera encodes it anew (a
recorder, a converter, a screen that is grabbed), almost the same: the encoder improves it for some pictures, then sends
nothing, and refreshes all of it at once at a key frame. How much a stream changes within a second while it lives, and
how long it is still by nature, is learnt; a stream whose encoder swallows the noise is judged by equal pictures only.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import cv2
import numpy as np

from sealwatch.edge.ports import Image

FROZEN_S: Final = 4.0
_NATURAL: Final = 2.5  # times the longest run of stillness that ended by itself
_LONGEST_TAUGHT_S: Final = 20.0
_LOOK_EVERY_S: Final = 0.18
_ROWS, _COLUMNS = 6, 8
_LAG_S: Final = 0.9  # an encoder may pass over several pictures of a living scene, hardly ever over a second
_ENOUGH_LOOKS: Final = 25
_MEMORY_LOOKS: Final = 300
_LEAST_LIFE: Final = 0.3  # grey levels: below it, the stream's own noise proves nothing
_STILL_PARTS: Final = (0.15, 0.45)  # of what the stream changes by while it lives: since the last look, in a second
_STILL_SHARE: Final = 0.6  # the rest are refreshes
_LOCAL: Final = 3.0  # a refresh touches the whole picture, something that moves a part of it
_LIGHT_STEP: Final = 0.1
_FEWEST_LOOKS: Final = 5
_REFRESH_S, _REFRESH_LOOKS, _REFRESHES_S = 2.0, 5, 8.0


@dataclass(frozen=True, slots=True)
class Change:
    """How much a picture differs from the one before it, in grey levels: the median cell, and nine of ten cells."""

    middle: float
    most: float

    @property
    def local(self) -> bool:
        """Whether a part of the picture changed rather than all of it."""
        return self.most > 1.0 and self.most > _LOCAL * max(self.middle, 0.05)


@dataclass(frozen=True, slots=True)
class Stillness:
    """The judgement of one picture. `fresh`: it shows something that the one before did not."""

    frozen: bool
    fresh: bool
    since_s: float
    since_ms: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Moment:
    """One look of a run of near stillness, and since when the picture had been so."""

    at_s: float
    at_ms: int
    change: Change
    still: bool


class StillnessWatch:
    """One stream. `look` takes pictures in the order of their time."""

    def __init__(self) -> None:
        self._rows: Image = np.zeros((0, 0), np.uint8)
        self._same_since: tuple[float, int] = (0.0, 0)
        self._shown: deque[tuple[float, Image]] = deque(maxlen=8)
        self._light = 0.0
        self._life: deque[float] = deque(maxlen=_MEMORY_LOOKS)
        self._moments: deque[_Moment] = deque(maxlen=256)
        self._longest_s = 0.0
        self._breaks: deque[float] = deque(maxlen=64)
        self._now = Stillness(False, True, 0.0, 0)

    def look(self, grey: Image, *, in_place: bool, now_s: float, now_ms: int) -> Stillness:
        """Judge one picture; `in_place`: it shows the known view, so that noise is to be expected."""
        rows = grey[::4]
        fits = rows.shape == self._rows.shape
        equal = fits and bool(np.array_equal(rows, self._rows))
        if not equal:
            if fits:
                self._teach(now_s - self._same_since[0] - 0.5)
            self._rows, self._same_since = rows.copy(), (now_s, now_ms)
            self._breaks.append(now_s)
        if not self._shown or now_s - self._shown[-1][0] >= _LOOK_EVERY_S:
            self._compare(np.ascontiguousarray(rows[:, ::2]), in_place, now_s, now_ms)
        if equal and now_s - self._same_since[0] >= self._limit_s:
            self._now = Stillness(True, False, *self._same_since, "picture_repeats")
        elif not (self._now.reason == "picture_repeats" and self._refreshed_only(now_s)):
            self._now = self._nearly(now_s, fresh=not equal)
        return self._now

    def _refreshed_only(self, now_s: float) -> bool:
        """Whether a picture that hung was merely sent anew: a few differing ones at once, and not again and again."""
        lately = [at_s for at_s in self._breaks if now_s - at_s <= _REFRESHES_S]
        apart = [at_s for before, at_s in pairwise([float("-inf"), *lately]) if at_s - before >= _LAG_S]
        return len(apart) < 3 and sum(now_s - at_s <= _REFRESH_S for at_s in lately) <= _REFRESH_LOOKS

    @property
    def _limit_s(self) -> float:
        return max(FROZEN_S, _NATURAL * min(self._longest_s, _LONGEST_TAUGHT_S))

    def _teach(self, run_s: float) -> None:
        """Learn from a run of stillness that ended; one that was an alarm teaches nothing."""
        if not self._now.frozen:
            self._longest_s = max(self._longest_s * 0.999, run_s)

    def _compare(self, thinned: Image, in_place: bool, now_s: float, now_ms: int) -> None:
        if self._shown and self._shown[-1][1].shape != thinned.shape:
            self._forget()
            self._shown.clear()
        ago = next((before for at_s, before in reversed(self._shown) if now_s - at_s >= _LAG_S), None)
        last = self._shown[-1][1] if self._shown else thinned
        self._shown.append((now_s, thinned))
        if ago is None:
            return
        change, step, life = _change(ago, thinned), _change(last, thinned), self._living
        still = in_place and life >= _LEAST_LIFE and step.most < _STILL_PARTS[0] * life
        still = still and change.most < _STILL_PARTS[1] * life
        if not still and self._moments and (step.local or self._still_share < _STILL_SHARE):
            self._resume(now_s)
        if still or self._moments:
            self._moments.append(_Moment(now_s - _LAG_S, now_ms - round(1000 * _LAG_S), change, still))
            return
        light = float(thinned[::4, ::4].mean())
        if abs(light - self._light) > _LIGHT_STEP * max(self._light, 20.0):
            self._forget()  # another light, another noise
            self._light = light
        self._light += 0.05 * (light - self._light)
        self._life.append(change.middle)

    def _resume(self, now_s: float) -> None:
        """The picture lives: a run of near stillness, if there was one, is over, and teaches."""
        self._teach(now_s - self._moments[0].at_s - 0.5)
        if not self._now.frozen:
            self._life.extend(moment.change.middle for moment in self._moments)
        self._moments.clear()

    def _forget(self) -> None:
        self._life.clear()
        self._moments.clear()

    @property
    def _living(self) -> float:
        """What nine of ten looks change by at least while the stream lives; 0 until enough are known."""
        return float(np.quantile(self._life, 0.1)) if len(self._life) >= _ENOUGH_LOOKS else 0.0

    @property
    def _still_share(self) -> float:
        """Of the newest looks of this run; the encoder's first refinements are not held against it for ever."""
        newest = [moment.still for moment in self._moments][-20:]
        return (sum(newest) + 1) / (len(newest) + 1)

    def _nearly(self, now_s: float, *, fresh: bool) -> Stillness:
        if not self._moments:
            return Stillness(False, fresh, now_s, 0)
        first = self._moments[0]
        enough = len(self._moments) >= _FEWEST_LOOKS and now_s - first.at_s >= self._limit_s
        frozen = enough and self._still_share >= _STILL_SHARE
        return Stillness(frozen, False, first.at_s, first.at_ms, "picture_hardly_changes" if frozen else "")


def _change(before: Image, now: Image) -> Change:
    apart = cv2.absdiff(before, now)
    cells = cv2.resize(apart.astype(np.float32), (_COLUMNS, _ROWS), interpolation=cv2.INTER_AREA)
    return Change(float(np.median(cells)), float(np.quantile(cells, 0.9)))
