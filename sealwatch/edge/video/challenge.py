"""Does the picture answer a lamp that only this node switches? Pure: a random code, the light it causes, a verdict.

A lamp at the place flashes a code that nobody can know beforehand. A camera that looks at the place shows each change
within its own delay; a photo, a loop or another stream in its place does not. What is measured is the jump of
logarithmic brightness at each switching, by cell of the picture, so that auto-exposure, which follows slower than the
lamp, and slow changes of light do not count.

verdict   lamp_answers      the jumps are those that were learnt in this light
          challenge_failed  they are plainly missing although this light was learnt
          lamp_not_visible  nothing was learnt in such light, or the lamp is drowned by other light: says nothing
          unclear           too much else moved, or too few pictures came: says nothing
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from sealwatch.edge.ports import Image

Grid = npt.NDArray[np.float64]

ROWS, COLUMNS = 6, 8
FLASHES: Final = 7
ON_S: Final = (0.9, 1.9)
OFF_S: Final = (0.9, 1.9)
MOST_DELAY_S: Final = 2.5
"""From the switching to the changed picture: the output's turn, the camera's encoder and the network."""
_STEP_S: Final = 0.1
_WINDOW_S: Final = 0.6  # before and after a switching; shorter than any slot
_EDGE_S: Final = 0.05
_DELAY_VARIES_S: Final = 0.4
_LEAST_STEP: Final = 0.02  # of logarithmic brightness: 2 %
_LEAST_CELLS: Final = 3
_SURE: Final = 4.0  # standard errors
_SAME_LIGHT: Final = 0.35  # root mean square of the cells' difference in logarithmic brightness
_ANSWERS: Final = 0.5  # of the learnt step
_MISSING: Final = 0.25
_IN_STEP: Final = 0.8
"""Jumps however faint that agree so well with the code are the lamp's: by chance once in some hundred challenges."""
_NOT_IN_STEP: Final = 0.6
_LEAST_ERROR: Final = 0.02


@dataclass(frozen=True, slots=True)
class Flash:
    """Dark for `off_s`, then lit for `on_s`."""

    off_s: float
    on_s: float


@dataclass(frozen=True, slots=True)
class Switching:
    """The lamp was switched at a moment (monotonic seconds)."""

    at_s: float
    on: bool


@dataclass(frozen=True, slots=True)
class Sample:
    """The brightness of one picture: 48 cells, natural logarithm."""

    at_s: float
    cells: Grid


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownLight:
    """What the lamp did to the picture once: the cells without it, the jump of each (0: not reached), its delay."""

    dark: tuple[float, ...]
    jump: tuple[float, ...]
    delay_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`response`: the jumps as a part of the learnt ones; `error`: how sure that is; `agreement`: -1 to 1."""

    reason: str
    response: float = 0.0
    error: float = 0.0
    agreement: float = 0.0
    delay_s: float = 0.0
    learnt: KnownLight | None = None

    @property
    def numbers(self) -> dict[str, float]:
        return {
            "response": round(self.response, 3),
            "error": round(self.error, 3),
            "agreement": round(self.agreement, 3),
            "delay_s": round(self.delay_s, 2),
        }


def draw(chance: random.Random) -> tuple[Flash, ...]:
    """A code of seven flashes."""
    return tuple(Flash(chance.uniform(*OFF_S), chance.uniform(*ON_S)) for _ in range(FLASHES))


def sample(grey: Image, at_s: float) -> Sample:
    """The brightness of one picture (rows x columns, 0-255)."""
    small = cv2.resize(grey, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA)
    return Sample(at_s, np.log1p(small.astype(np.float64)).ravel())


def judge(switchings: Sequence[Switching], samples: Sequence[Sample], known: Sequence[KnownLight]) -> Verdict:
    """Whether the picture answered. A clear answer in a light that was not known is `learnt` on the way."""
    if len(switchings) < FLASHES or len(samples) < 2 * len(switchings):
        return Verdict(reason="unclear")
    at_s = np.array([one.at_s for one in samples])
    cells = np.array([one.cells for one in samples])
    dark = _dark(switchings, at_s, cells)
    light = next((one for one in known if _same_light(one, dark)), None)
    if light is None:
        return _learn(switchings, at_s, cells, dark)
    jump = np.array(light.jump)
    least_s = max(0.0, light.delay_s - _DELAY_VARIES_S)
    best: tuple[float, Grid] | None = None
    for delay_s in np.arange(least_s, light.delay_s + _DELAY_VARIES_S, _STEP_S):
        jumps = _jumps(switchings, at_s, cells, float(delay_s))
        if jumps is None:
            continue
        parts: Grid = jumps @ jump / float(jump @ jump)
        if best is None or parts.mean() > best[1].mean():
            best = float(delay_s), parts
    return Verdict(reason="unclear") if best is None else _verdict(*best)


def _verdict(delay_s: float, parts: Grid) -> Verdict:
    response, error = float(parts.mean()), max(_LEAST_ERROR, float(parts.std(ddof=1)) / float(np.sqrt(len(parts))))
    agreement = float(parts.mean() / max(1e-9, float(np.sqrt(np.mean(parts * parts)))))
    reason = "unclear"
    if response >= _ANSWERS and response / error >= _SURE:
        reason = "lamp_answers"
    elif agreement >= _IN_STEP:
        reason = "lamp_not_visible"
    elif response <= _MISSING and (_ANSWERS - response) / error >= _SURE and agreement < _NOT_IN_STEP:
        reason = "challenge_failed"
    return Verdict(reason=reason, response=response, error=error, agreement=agreement, delay_s=delay_s)


def _learn(switchings: Sequence[Switching], at_s: Grid, cells: Grid, dark: Grid) -> Verdict:
    """Where and how late the lamp shows, found on every other switching and proved on the rest, so that chance does not
    pass for a lamp."""
    best: tuple[float, float, Grid] | None = None
    for delay_s in np.arange(0.0, MOST_DELAY_S, _STEP_S):
        jumps = _jumps(switchings, at_s, cells, float(delay_s))
        if jumps is not None:
            strength = float(np.linalg.norm(jumps[::2].mean(axis=0) + jumps[1::2].mean(axis=0)))
            if best is None or strength > best[0]:
                best = strength, float(delay_s), jumps
    if best is None:
        return Verdict(reason="unclear")
    _, delay_s, jumps = best
    # A pair is a switching on and the one off after it: halves of whole pairs, so that both hold as many of each.
    half = np.arange(len(jumps)) // 2 % 2 == 0
    mean, error = _mean_and_error(jumps[half])
    reached = (mean > _LEAST_STEP) & (mean > _SURE * error)
    if int(reached.sum()) < _LEAST_CELLS:
        return Verdict(reason="lamp_not_visible", delay_s=delay_s)
    jump = np.where(reached, mean, 0.0)
    parts: Grid = jumps[~half] @ jump / float(jump @ jump)
    proof = _verdict(delay_s, parts)
    if proof.reason != "lamp_answers":
        return Verdict(reason="lamp_not_visible", response=proof.response, error=proof.error, delay_s=delay_s)
    whole = np.where(reached, jumps.mean(axis=0), 0.0)
    learnt = KnownLight(
        dark=tuple(np.round(dark, 4).tolist()), jump=tuple(np.round(whole, 4).tolist()), delay_s=round(delay_s, 2)
    )
    return Verdict(
        reason="lamp_answers",
        response=proof.response,
        error=proof.error,
        agreement=proof.agreement,
        delay_s=delay_s,
        learnt=learnt,
    )


def _mean_and_error(jumps: Grid) -> tuple[Grid, Grid]:
    return jumps.mean(axis=0), np.maximum(jumps.std(axis=0, ddof=1), 1e-3) / np.sqrt(len(jumps))


def _jumps(switchings: Sequence[Switching], at_s: Grid, cells: Grid, delay_s: float) -> Grid | None:
    """By switching and cell: how much brighter at an on, darker at an off; None where pictures are missing."""
    rows = []
    for one in switchings:
        moment_s = one.at_s + delay_s
        before = cells[(at_s >= moment_s - _WINDOW_S) & (at_s < moment_s - _EDGE_S)]
        after = cells[(at_s > moment_s + _EDGE_S) & (at_s <= moment_s + _WINDOW_S)]
        if not len(before) or not len(after):
            return None
        rows.append((after.mean(axis=0) - before.mean(axis=0)) * (1.0 if one.on else -1.0))
    return np.array(rows)


def _dark(switchings: Sequence[Switching], at_s: Grid, cells: Grid) -> Grid:
    """The cells before the first switching: the light of the place without the lamp."""
    first_s = switchings[0].at_s
    before = cells[at_s < first_s]
    dark: Grid = np.median(before if len(before) else cells[:1], axis=0)
    return dark


def _same_light(known: KnownLight, dark: Grid) -> bool:
    return float(np.sqrt(np.mean((np.array(known.dark) - dark) ** 2))) <= _SAME_LIGHT
