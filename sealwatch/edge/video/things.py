"""Things that look like somebody: a coat, a cone, a statue. Learnt where a find never moves, forgotten when it is gone.

A find on a known thing is the thing, unless it is much surer than the thing ever was while something moves there. A
thing in which something keeps moving was none: it is released and may be tracked again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from sealwatch.contract.codes import AlarmKind
from sealwatch.edge.video.finds import Find
from sealwatch.edge.video.gate import GateResult
from sealwatch.edge.video.geometry import Box, contains, iou

_SAME: Final = 0.5  # overlap of a find with the thing it is
_SURER: Final = 0.2  # a person before the coat is found that much more clearly
_MISSES: Final = 25  # looks without a find after which it is forgotten
_SIGNS: Final = 4
_LIVELY_SHARE: Final = 0.2
_MOST: Final = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """Something that was found again and again and never moved."""

    kind: AlarmKind
    box: Box
    score: float
    misses: int = 0
    signs: int = 0


def sift(
    things: Sequence[Thing], finds: Sequence[Find], crops: Sequence[Box], gate: GateResult
) -> tuple[tuple[Thing, ...], list[Find]]:
    """The things after one look, and the finds that are none of them."""
    left = list(finds)
    kept: list[Thing] = []
    for thing in things:
        here = [f for f in left if f.kind is thing.kind and iou(f.box, thing.box) >= _SAME]
        moving = gate.moving and gate.share_moving(thing.box) >= _LIVELY_SHARE
        if moving and any(f.score > thing.score + _SURER for f in here):
            here = []  # somebody stands before it
        if not here:
            looked = any(contains(crop, thing.box.centre) for crop in crops)
            aged = replace(thing, misses=thing.misses + int(looked and not moving), signs=max(0, thing.signs - 1))
            if aged.misses < _MISSES:
                kept.append(aged)
            continue
        signs = thing.signs + 1 if moving else max(0, thing.signs - 1)
        if signs >= _SIGNS:
            continue  # released: its find goes on as a track
        best = max(here, key=lambda f: f.score)
        left = [f for f in left if f not in here]
        kept.append(
            replace(thing, score=max(thing.score * 0.995, best.score), misses=0, signs=signs, box=_blend(thing, best))
        )
    return tuple(kept[-_MOST:]), left


def _blend(thing: Thing, find: Find) -> Box:
    """The thing's box, a little nearer to the latest find."""
    a, b, part = thing.box, find.box, 0.1
    return Box(
        a.x1 + part * (b.x1 - a.x1),
        a.y1 + part * (b.y1 - a.y1),
        a.x2 + part * (b.x2 - a.x2),
        a.y2 + part * (b.y2 - a.y2),
    )
