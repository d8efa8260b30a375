"""Counting across a line, and things that are told from people."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sealwatch.contract.codes import AlarmKind
from sealwatch.edge.config import LineSettings
from sealwatch.edge.video import lines, tracks
from sealwatch.edge.video.finds import Find
from sealwatch.edge.video.gate import GateResult
from sealwatch.edge.video.geometry import WHOLE, Box, Point
from sealwatch.edge.video.lines import LineState, Step
from sealwatch.edge.video.tracks import TrackState

DOOR = LineSettings(name="door", points=[(0.3, 0.5), (0.7, 0.5)], inside=(0.5, 0.2))
STILL = GateResult(moving=False, reason="still", motion_ratio=0.0)


def walk(*ways: list[Point], settings: LineSettings = DOOR) -> LineState:
    (line,) = lines.lines_of([settings])
    state = LineState()
    for index in range(max(len(way) for way in ways)):
        steps = [Step(track, way[index], 0.2) for track, way in enumerate(ways) if index < len(way)]
        state, _ = lines.step(state, line, steps, now_s=index / 5)
    return state


def way(x0: float, y0: float, x1: float, y1: float, looks: int = 16) -> list[Point]:
    return [(x0 + (x1 - x0) * n / (looks - 1), y0 + (y1 - y0) * n / (looks - 1)) for n in range(looks)]


def test_towards_the_inner_point_is_in_and_away_is_out() -> None:
    assert walk(way(0.5, 0.8, 0.5, 0.2)).into == 1
    assert walk(way(0.5, 0.2, 0.5, 0.8)).out == 1
    turned = LineSettings(name="door", points=[(0.7, 0.5), (0.3, 0.5)], inside=(0.5, 0.2))
    assert walk(way(0.5, 0.8, 0.5, 0.2), settings=turned).into == 1


def test_two_people_at_once_in_opposite_directions_are_one_each() -> None:
    state = walk(way(0.4, 0.8, 0.4, 0.2), way(0.6, 0.2, 0.6, 0.8))
    assert (state.into, state.out) == (1, 1)


def passed(*steps: Step) -> LineState:
    (line,) = lines.lines_of([DOOR])
    state = LineState()
    for index, one in enumerate(steps):
        state, _ = lines.step(state, line, [one], now_s=index / 5)
    return state


def test_where_somebody_stood_before_they_were_known_to_live_counts() -> None:
    before = [Step(1, (0.5, y), 0.2, alive=False) for y in (0.6, 0.57)]
    assert passed(*before, *(Step(1, (0.5, y), 0.2) for y in (0.5, 0.46, 0.43))).into == 1


def test_a_track_that_slips_onto_something_uncertain_beyond_the_line_has_not_crossed() -> None:
    outside = [Step(1, (0.5, y), 0.2, score=0.7) for y in (0.6, 0.57)]
    assert passed(*outside, *(Step(1, (0.5, 0.4), 0.2, score=0.37) for _ in range(5))).into == 0
    assert passed(*outside, *(Step(1, (0.5, 0.4), 0.2, score=s) for s in (0.37, 0.6))).into == 1


def test_a_figure_that_is_hardly_seen_beyond_the_line_gives_no_origin_to_who_stands_before_it() -> None:
    faint = [Step(1, (0.5, 0.35), 0.2, score=0.4) for _ in range(6)]
    stays = [Step(1, (0.5, 0.57), 0.2, score=0.7) for _ in range(4)]
    assert passed(*faint, *stays).out == 0
    assert passed(*faint, Step(1, (0.5, 0.36), 0.2, score=0.5), *stays).out == 1


def test_many_looks_in_a_moment_are_no_more_than_one() -> None:
    (line,) = lines.lines_of([DOOR])
    sway = [(0.0, 0.6), (0.2, 0.6), (0.4, 0.6), (0.5, 0.47), (0.54, 0.47), (0.58, 0.47), (0.62, 0.6)]
    goes = [*sway[:-1], (0.72, 0.45)]
    for way_taken, into in ((sway, 0), (goes, 1)):
        state = LineState()
        for now_s, y in way_taken:
            state, _ = lines.step(state, line, [Step(1, (0.5, y), 0.2)], now_s=now_s)
        assert state.into == into


def test_a_thing_that_never_moved_is_counted_nowhere() -> None:
    assert passed(*(Step(1, (0.5, y), 0.2, alive=False) for y in (0.6, 0.6, 0.4, 0.4, 0.4))).into == 0


def test_who_walks_past_the_end_of_the_line_is_not_counted() -> None:
    state = walk(way(0.9, 0.8, 0.9, 0.2))
    assert (state.into, state.out) == (0, 0)


def test_who_dithers_on_the_doorstep_is_not_counted_until_they_go_through() -> None:
    dither = [(0.5, 0.5 + 0.008 * (-1) ** n) for n in range(40)]
    back = walk(way(0.5, 0.8, 0.5, 0.51) + dither + way(0.5, 0.51, 0.5, 0.8))
    assert (back.into, back.out) == (0, 0)
    state = walk(way(0.5, 0.8, 0.5, 0.51) + dither + way(0.5, 0.49, 0.5, 0.2))
    assert (state.into, state.out) == (1, 0)


def test_a_single_stray_look_on_the_other_side_is_not_believed() -> None:
    path = way(0.5, 0.8, 0.5, 0.6)
    path[8] = (0.5, 0.4)
    state = walk(path)
    assert (state.into, state.out) == (0, 0)


@given(st.lists(st.sampled_from([0.2, 0.35, 0.65, 0.8]), min_size=1, max_size=60))
def test_ins_and_outs_of_one_person_never_differ_by_more_than_one(heights: list[float]) -> None:
    state = walk([(0.5, y) for y in heights])
    assert abs(state.into - state.out) <= 1


def find(x: float, score: float, y: float = 0.6) -> Find:
    return Find(AlarmKind.PERSON, "person", score, Box(x - 0.05, y - 0.2, x + 0.05, y + 0.2))


def follow(script: list[list[Find]], state: TrackState | None = None, start: int = 0) -> TrackState:
    state = state or TrackState()
    for index, finds in enumerate(script):
        state = tracks.follow(state, finds, [WHOLE], STILL, now_s=(start + index) / 5, now_ms=0)
    return state


def test_a_coat_is_learnt_and_forgotten_when_it_is_taken_away() -> None:
    learnt = follow([[find(0.5, 0.5)]] * 40)
    assert learnt.tracks == ()
    assert len(learnt.things) == 1
    assert follow([[find(0.5, 0.5)]] * 100, learnt, 40).tracks == ()
    gone = follow([[]] * 40, learnt, 40)
    assert gone.things == ()


def test_a_walker_who_passes_a_coat_keeps_their_identity() -> None:
    learnt = follow([[find(0.5, 0.45)]] * 40)
    script = []
    for n in range(40):
        x = 0.1 + 0.02 * n
        walker = [find(x, 0.8)] if abs(x - 0.5) > 0.03 else []
        script.append([*walker, find(0.5, 0.45)])
    state = follow(script, learnt, 40)
    assert len({t.track_id for t in state.tracks if t.alive}) == 1


def test_a_coat_does_not_run_off_with_somebody_who_passes_it() -> None:
    coat = Find(AlarmKind.PERSON, "person", 0.45, Box(0.45, 0.2, 0.5, 0.4))
    state = TrackState()
    for n in range(4):
        state = tracks.follow(state, [coat], [WHOLE], STILL, now_s=n / 5, now_ms=n * 200)
    (thing,) = state.tracks
    walker = Find(AlarmKind.PERSON, "person", 0.8, Box(0.45, 0.42, 0.5, 0.65))
    state = tracks.follow(state, [walker], [WHOLE], STILL, now_s=1.0, now_ms=1000)
    (found,) = [track for track in state.tracks if track.seen_s == 1.0]
    assert found.track_id != thing.track_id


def test_a_second_box_on_one_body_does_not_run_off_with_the_identity() -> None:
    script = [[find(0.2 + 0.01 * n, 0.8)] for n in range(20)]
    script.append([find(0.40, 0.6), find(0.43, 0.6, y=0.66)])
    script += [[find(0.43 + 0.01 * n, 0.8, y=0.64)] for n in range(10)]
    state = follow(script)
    assert {t.track_id for t in state.tracks if t.misses == 0} == {1}
