"""Does the light in the picture agree with the sun? Pure: impressions of a view by day and by night, and a verdict.

An impression is what a picture looks like from afar: how bright each of 48 cells is and how much colour there is. Those
taken while the sun is up are one set, those of the night another. A picture of the night that looks like one of the
days, and like no night, contradicts the time of day; so does a night's at noon. A floodlit yard is neither: it is new,
and becomes one of the nights. A view whose days and nights look alike, as indoors, proves nothing and is exempt.

state   learning           not three days and nights yet
        does_not_follow    days and nights look alike: exempt
        follows            verdicts count

verdict agrees | new | twilight | day_at_night | night_by_day
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, Literal

import cv2
import numpy as np
import numpy.typing as npt

from sealwatch.edge.ports import Image

Grid = npt.NDArray[np.float32]
State = Literal["learning", "does_not_follow", "follows"]
Part = Literal["day", "night", "twilight"]

DAY_FROM_DEG: Final = 10.0
NIGHT_BELOW_DEG: Final = -8.0
ROWS, COLUMNS = 6, 8
LENGTH: Final = ROWS * COLUMNS + 2
LEAST_DATES: Final = 3
LEAST_COUNT: Final = 36
MOST_KEPT: Final = 432  # of each set: about six days, so that the seasons are followed
_LEVEL_WEIGHT: Final = 0.5  # exposure hides half of how bright it is
_COLOUR_WEIGHT: Final = 2.0
_TELLS_APART: Final = 0.97
_LIKE: Final = 1.5  # times the usual distance to another date of the same set
_CLOSER: Final = 0.5
_LEAST_TOLERANCE: Final = 0.05
_WEIGH_EVERY: Final = 12  # impressions: two hours; it compares all with all


@dataclass(frozen=True, slots=True)
class Impressions:
    """One set: a row each, and the date (days of the epoch, UTC+8) that each was taken on."""

    rows: Grid = field(default_factory=lambda: np.zeros((0, LENGTH), np.float32))
    dates: npt.NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))

    def with_row(self, row: Grid, date: int) -> Impressions:
        """One more; the oldest goes where there are too many."""
        rows = np.concatenate([self.rows, row[None, :]])[-MOST_KEPT:]
        return Impressions(rows, np.concatenate([self.dates, np.array([date], np.int32)])[-MOST_KEPT:])

    @property
    def enough(self) -> bool:
        return len(self.rows) >= LEAST_COUNT and len(np.unique(self.dates)) >= LEAST_DATES


@dataclass(frozen=True, slots=True)
class Learnt:
    """Both sets, and what follows from them: how far apart two dates of one set usually are."""

    day: Impressions = field(default_factory=Impressions)
    night: Impressions = field(default_factory=Impressions)
    state: State = "learning"
    day_tolerance: float = 0.0
    night_tolerance: float = 0.0
    unweighed: int = 0  # impressions since that was last worked out


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`to_day`, `to_night`: distances to the nearest impression of each set."""

    reason: str
    to_day: float = 0.0
    to_night: float = 0.0

    @property
    def contradicts(self) -> bool:
        return self.reason in ("day_at_night", "night_by_day")


def part_of_day(height_deg: float) -> Part:
    """By the sun's height. In between nothing is learnt or judged: lamps go on and filters switch when they like."""
    if height_deg >= DAY_FROM_DEG:
        return "day"
    return "night" if height_deg <= NIGHT_BELOW_DEG else "twilight"


def impression(image_bgr: Image) -> Grid:
    """What a picture (rows x columns x 3, 0-255) looks like from afar."""
    small = cv2.resize(image_bgr, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA).astype(np.float32)
    blue, green, red = small[..., 0], small[..., 1], small[..., 2]
    grey = (blue + green + red) / 3
    cells = np.log1p(grey).ravel()
    colour = float(np.mean((np.abs(red - green) + np.abs(green - blue)) / (2 * grey + 16)))
    level = float(cells.mean())
    whole = float(np.sqrt(ROWS * COLUMNS))
    row: Grid = np.append(cells - level, [whole * _LEVEL_WEIGHT * level, whole * _COLOUR_WEIGHT * colour])
    return row.astype(np.float32)


def judge(learnt: Learnt, row: Grid, part: Part) -> Verdict:
    """What an impression says at this part of the day."""
    if part == "twilight" or not len(learnt.day.rows) or not len(learnt.night.rows):
        return Verdict(reason="twilight" if part == "twilight" else "new")
    to_day = float(_distances(row[None, :], learnt.day.rows).min())
    to_night = float(_distances(row[None, :], learnt.night.rows).min())
    own, other = (to_night, to_day) if part == "night" else (to_day, to_night)
    own_tolerance, other_tolerance = learnt.night_tolerance, learnt.day_tolerance
    if part == "day":
        own_tolerance, other_tolerance = other_tolerance, own_tolerance
    reason = "new"
    if own <= _LIKE * own_tolerance:
        reason = "agrees"
    elif learnt.state == "follows" and other <= _LIKE * other_tolerance and other < _CLOSER * own:
        reason = "day_at_night" if part == "night" else "night_by_day"
    return Verdict(reason=reason, to_day=round(to_day, 3), to_night=round(to_night, 3))


def learn(learnt: Learnt, row: Grid, part: Part, date: int, verdict: Verdict) -> Learnt:
    """Take an impression into its set. Once days and nights are told apart, none enters that is closer to the other."""
    if part == "twilight" or verdict.contradicts:
        return learnt
    own, other = (verdict.to_night, verdict.to_day) if part == "night" else (verdict.to_day, verdict.to_night)
    if learnt.state == "follows" and own > other:
        return learnt
    if part == "day":
        learnt = replace(learnt, day=learnt.day.with_row(row, date), unweighed=learnt.unweighed + 1)
    else:
        learnt = replace(learnt, night=learnt.night.with_row(row, date), unweighed=learnt.unweighed + 1)
    return weighed(learnt) if learnt.unweighed >= _WEIGH_EVERY else learnt


def weighed(learnt: Learnt) -> Learnt:
    """The same sets with what follows from them."""
    if not (learnt.day.enough and learnt.night.enough):
        return replace(learnt, state="learning", unweighed=0)
    across = _distances(learnt.day.rows, learnt.night.rows)
    day, night = _to_other_dates(learnt.day), _to_other_dates(learnt.night)
    apart = min(float(np.mean(day < across.min(axis=1))), float(np.mean(night < across.min(axis=0))))
    return replace(
        learnt,
        state="follows" if apart >= _TELLS_APART else "does_not_follow",
        day_tolerance=max(_LEAST_TOLERANCE, float(np.quantile(day, 0.95))),
        night_tolerance=max(_LEAST_TOLERANCE, float(np.quantile(night, 0.95))),
        unweighed=0,
    )


def _to_other_dates(one: Impressions) -> Grid:
    """How far each impression is from the nearest of another date: those of one hour are alike in any case."""
    distances = _distances(one.rows, one.rows)
    distances[one.dates[:, None] == one.dates[None, :]] = np.inf
    nearest: Grid = distances.min(axis=1)
    return nearest


def _distances(a: Grid, b: Grid) -> Grid:
    """Root mean square difference by cell, of each row of `a` to each of `b`."""
    squares = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1)[None, :] - 2 * a @ b.T
    found: Grid = np.sqrt(np.maximum(squares, 0.0) / (ROWS * COLUMNS))
    return found
