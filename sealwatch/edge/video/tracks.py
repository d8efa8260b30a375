"""Following objects from look to look with stable ids: pure, greedy by overlap, then by distance.

A track that never moved and in whose box nothing ever moved is a thing (a coat, a cone, a statue) and not *alive*; once
alive it stays so, so that a person who stops and stands stays a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from sealwatch.contract.codes import AlarmKind
from sealwatch.edge.video.finds import Find
from sealwatch.edge.video.gate import GateResult
from sealwatch.edge.video.geometry import Box, contains, iou, moved
from sealwatch.edge.video.things import Thing, sift

COAST_S: Final = 2.5  # a track survives this long without being found, such as behind a post
TENTATIVE_COAST_S: Final = 1.0  # ... and one that was found once or twice, only so long
_MOVING_SHARE: Final = 0.08  # so much of the box must move to count as a sign of life
_SIGNS: Final = 3  # ... and so often
_SCORES: Final = 5
_THING_S: Final = 5.0  # found so long and so often without a sign of life, it is a thing
_THING_HITS: Final = 5
_ESTABLISHED: Final = 5  # finds after which a track is somebody
_ROOTED: Final = 3  # finds in one place after which a track is expected to stay there
_SURE: Final = 0.5  # a weaker find continues a track only where it overlaps it


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One object over time. Times are monotonic seconds."""

    track_id: int
    kind: AlarmKind
    label: str
    box: Box
    born_s: float
    born_ms: int
    seen_s: float
    looked_s: float
    born_box: Box
    scores: tuple[float, ...] = ()
    hits: int = 1
    misses: int = 0
    signs: int = 0
    alive: bool = False
    velocity: tuple[float, float] = (0.0, 0.0)  # parts of the picture a second

    @property
    def score(self) -> float:
        """The best of the latest looks."""
        return max(self.scores, default=0.0)

    def expected(self, now_s: float) -> Box:
        """Where it should be by now."""
        ahead_s = min(now_s - self.seen_s, 1.0)
        return moved(self.box, self.velocity[0] * ahead_s, self.velocity[1] * ahead_s)


@dataclass(frozen=True, slots=True)
class TrackState:
    """All tracks of one camera, and the things that are none."""

    tracks: tuple[Track, ...] = ()
    things: tuple[Thing, ...] = ()
    next_id: int = 1


def follow(
    state: TrackState,
    finds: Sequence[Find],
    crops: Sequence[Box],
    gate: GateResult,
    *,
    now_s: float,
    now_ms: int,
) -> TrackState:
    """One look: `finds` are what was seen inside `crops`; tracks outside of them were simply not looked at."""
    things, finds = sift(state.things, finds, crops, gate)
    pairs = _prefer_elders(_pair(state.tracks, finds, now_s), state.tracks, finds, now_s)
    matched = {index for _, index in pairs}
    by_track = dict(pairs)
    kept: list[Track] = []
    for position, track in enumerate(state.tracks):
        index = by_track.get(position)
        if index is not None:
            kept.append(_seen(track, finds[index], gate, now_s))
            continue
        looked = any(contains(crop, track.expected(now_s).centre) for crop in crops)
        missed = replace(track, misses=track.misses + 1, looked_s=now_s) if looked else track
        if not _lost(missed, now_s):
            kept.append(missed)
    next_id = state.next_id
    for index, find in enumerate(finds):
        if index not in matched:
            kept.append(_born(next_id, find, gate, now_s, now_ms))
            next_id += 1
    lifeless = [track for track in kept if _is_thing(track)]
    things += tuple(Thing(kind=track.kind, box=track.box, score=track.score) for track in lifeless)
    return TrackState(tuple(track for track in kept if track not in lifeless), things, next_id)


def _is_thing(track: Track) -> bool:
    return not track.alive and track.hits >= _THING_HITS and track.seen_s - track.born_s >= _THING_S


def _lost(track: Track, now_s: float) -> bool:
    coast_s = COAST_S if track.hits >= 3 else TENTATIVE_COAST_S
    return track.misses >= 2 and now_s - track.seen_s > coast_s


def _born(track_id: int, find: Find, gate: GateResult, now_s: float, now_ms: int) -> Track:
    return Track(
        track_id=track_id,
        kind=find.kind,
        label=find.label,
        box=find.box,
        born_box=find.box,
        born_s=now_s,
        born_ms=now_ms,
        seen_s=now_s,
        looked_s=now_s,
        scores=(find.score,),
        signs=int(_moves(find.box, gate)),
    )


def _seen(track: Track, find: Find, gate: GateResult, now_s: float) -> Track:
    elapsed_s = max(now_s - track.seen_s, 0.02)
    (ax, ay), (bx, by) = track.box.centre, find.box.centre
    weight = 0.5
    velocity = (
        track.velocity[0] * (1 - weight) + weight * (bx - ax) / elapsed_s,
        track.velocity[1] * (1 - weight) + weight * (by - ay) / elapsed_s,
    )
    (ox, oy), size = track.born_box.centre, max(track.born_box.width, 0.3 * track.born_box.height)
    grown = find.box.area / max(track.born_box.area, 1e-9)
    displaced = abs(bx - ox) > 0.6 * size or abs(by - oy) > 0.6 * size or not 0.5 < grown < 2.0
    signs = track.signs + int(_moves(find.box, gate))
    lively = signs >= _SIGNS and track.kind is not AlarmKind.VEHICLE  # leaves before a parked car do not drive it
    return replace(
        track,
        box=find.box,
        label=find.label,
        seen_s=now_s,
        looked_s=now_s,
        scores=(*track.scores, find.score)[-_SCORES:],
        hits=track.hits + 1,
        misses=0,
        signs=signs,
        alive=track.alive or displaced or lively,
        velocity=velocity,
    )


def _moves(box: Box, gate: GateResult) -> bool:
    return gate.moving and gate.share_moving(box) >= _MOVING_SHARE


def _pair(tracks: Sequence[Track], finds: Sequence[Find], now_s: float) -> list[tuple[int, int]]:
    """(track, find) by position, most alike first; each is used once."""
    offers: list[tuple[float, int, int]] = []
    for position, track in enumerate(tracks):
        expected = track.expected(now_s)
        for index, find in enumerate(finds):
            if find.kind is track.kind:
                likeness = _likeness(expected, track, find, now_s)
                if likeness > 0.0:
                    offers.append((likeness, position, index))
    offers.sort(key=lambda offer: (-offer[0], offer[1], offer[2]))
    taken_tracks: set[int] = set()
    taken_finds: set[int] = set()
    pairs: list[tuple[int, int]] = []
    for _, position, index in offers:
        if position not in taken_tracks and index not in taken_finds:
            taken_tracks.add(position)
            taken_finds.add(index)
            pairs.append((position, index))
    return pairs


def _prefer_elders(
    pairs: list[tuple[int, int]], tracks: Sequence[Track], finds: Sequence[Find], now_s: float
) -> list[tuple[int, int]]:
    """Give a find from a young track to an established one that covers it and would go without.

    Where the detector draws two boxes on one body for a moment, the second must not run off with the identity.
    """
    owner = {index: position for position, index in pairs}
    idle = [p for p, t in enumerate(tracks) if t.alive and t.hits >= _ESTABLISHED and p not in owner.values()]
    for elder in idle:
        expected = tracks[elder].expected(now_s)
        offers = [
            (iou(expected, finds[index].box), index)
            for index, position in owner.items()
            if tracks[position].hits < _ESTABLISHED and finds[index].kind is tracks[elder].kind
        ]
        overlap, index = max(offers, default=(0.0, -1))
        if overlap >= 0.25:
            owner[index] = elder
    return [(position, index) for index, position in owner.items()]


def _likeness(expected: Box, track: Track, find: Find, now_s: float) -> float:
    """0 (cannot be the same) to 2: overlap first, nearness where there is none."""
    overlap = max(iou(expected, find.box), iou(track.box, find.box))
    rooted = not track.alive and track.hits >= _ROOTED  # it may be a thing: it does not run off with who passes by
    sure = find.score >= _SURE and not rooted
    if overlap > (0.1 if sure else 0.3):
        return 1.0 + overlap * find.score
    size = max(expected.height, expected.width, find.box.height, find.box.width)
    reach = size * (0.5 + 1.0 * min(now_s - track.seen_s, 1.0))
    (ax, ay), (bx, by) = expected.centre, find.box.centre
    distance = max(abs(ax - bx), abs(ay - by))
    ratio = min(expected.height, find.box.height) / max(expected.height, find.box.height, 1e-6)
    near = sure and distance < reach and ratio > 0.6
    return 1.0 - distance / reach if near else 0.0
