"""Zones, tracks and the presence rule: pure decisions, scenario by scenario."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sealwatch.contract.codes import AlarmKind, Phase
from sealwatch.edge.video import presence, tracks
from sealwatch.edge.video.finds import Find, without_doubles
from sealwatch.edge.video.gate import GateResult
from sealwatch.edge.video.geometry import WHOLE, Box, iou
from sealwatch.edge.video.presence import CLEAR, Presence, PresenceRule, PresenceState, Transition
from sealwatch.edge.video.signal_loss import SignalState, picture, silence
from sealwatch.edge.video.tracks import TrackState
from sealwatch.edge.video.zones import WHOLE_PICTURE, Zone

RULE = PresenceRule(kind=AlarmKind.PERSON, on_delay_s=1.0, off_delay_s=10.0)
STILL = GateResult(moving=False, reason="still", motion_ratio=0.0)


def play(
    looks: list[tuple[float, list[Presence]]], rule: PresenceRule = RULE
) -> tuple[PresenceState, list[tuple[float, Transition]]]:
    state, told = CLEAR, []
    for now_s, seen in looks:
        state, transitions = presence.step(state, rule, seen, looked=True, now_s=now_s, now_ms=round(now_s * 1000))
        told += [(now_s, t) for t in transitions]
    return state, told


def person(
    score: float = 0.8, *, track: int = 1, alive: bool = True, fresh: bool = True, proven_s: float = 0.0
) -> Presence:
    return Presence(track_id=track, score=score, fresh=fresh, alive=alive, proven_s=proven_s)


def test_a_polygon_holds_points_inside_and_a_missing_one_holds_all() -> None:
    triangle = Zone("gate", ((0.2, 0.2), (0.8, 0.2), (0.5, 0.9)))
    assert triangle.contains((0.5, 0.5))
    assert not triangle.contains((0.1, 0.5))
    assert not triangle.contains((0.7, 0.8))
    assert WHOLE_PICTURE.contains((0.0, 1.0))


def test_feet_cut_off_by_the_lower_edge_are_inside_a_zone_that_reaches_it() -> None:
    assert Zone("floor", ((0.0, 0.5), (1.0, 0.5), (1.0, 1.0), (0.0, 1.0))).contains((0.5, 1.0))


def test_a_person_starts_an_alarm_after_the_on_delay_with_both_times() -> None:
    _, told = play([(10 + n / 5, [person()]) for n in range(10)])
    assert [(t, x.phase, x.reason) for t, x in told] == [(11.0, Phase.START, "seen_long_enough")]
    assert told[0][1].started_ms == 10_000
    assert told[0][1].decided_ms == 11_000


def test_a_glimpse_is_no_alarm_and_the_state_says_why() -> None:
    state, told = play([(0.0, [person()]), (0.2, [person()]), *((0.4 + n / 5, []) for n in range(10))])
    assert told == []
    assert state.reason == "too_brief"


def test_weak_finds_stay_candidates() -> None:
    state, told = play([(n / 5, [person(0.40)]) for n in range(30)])
    assert told == []
    assert state.phase == "candidate"
    assert state.reason == "score_low"


def test_what_never_moved_is_no_person() -> None:
    state, told = play([(n / 5, [person(0.9, alive=False)]) for n in range(100)])
    assert told == []
    assert state.reason == "never_moved"


def test_the_alarm_ends_once_after_the_off_delay_and_short_gaps_do_not_end_it() -> None:
    looks = [(n / 5, [person()] if n < 20 or 40 < n < 50 else []) for n in range(150)]
    _, told = play(looks)
    assert [x.phase for _, x in told] == [Phase.START, Phase.END]
    assert told[1][1].reason == "nobody_for_off_delay"
    assert 49 / 5 + 10 <= told[1][0] <= 49 / 5 + 10.3


def test_another_person_updates_the_standing_alarm_once() -> None:
    looks = [(n / 5, [person(proven_s=n / 5)]) for n in range(60)]
    looks += [(12 + n / 5, [person(proven_s=9), person(track=2, proven_s=n / 5)]) for n in range(60)]
    _, told = play(looks)
    assert [(x.phase, x.reason, x.count) for _, x in told] == [
        (Phase.START, "seen_long_enough", 1),
        (Phase.UPDATE, "another_one", 2),
    ]
    assert told[1][0] <= 13.1


@given(
    st.lists(
        st.tuples(
            st.floats(0.05, 3.0),
            st.one_of(st.none(), st.tuples(st.floats(0.35, 1.0), st.booleans(), st.integers(1, 3))),
        ),
        max_size=150,
    )
)
def test_whatever_is_seen_transitions_alternate_and_times_are_ordered(
    script: list[tuple[float, tuple[float, bool, int] | None]],
) -> None:
    now_s, looks = 0.0, []
    for step_s, seen in script:
        now_s += step_s
        looks.append((now_s, [] if seen is None else [person(seen[0], alive=seen[1], track=seen[2], proven_s=2.0)]))
    _, told = play(looks)
    standing = False
    for now_s, transition in told:
        assert transition.started_ms <= transition.decided_ms == round(now_s * 1000)
        assert 0.0 <= transition.score <= 1.0
        assert (transition.phase is Phase.START) != standing
        standing = transition.phase is not Phase.END


def find(x: float, *, score: float = 0.8, kind: AlarmKind = AlarmKind.PERSON) -> Find:
    return Find(kind, kind.value, score, Box(x - 0.05, 0.4, x + 0.05, 0.8))


def follow(script: list[tuple[float, list[Find]]]) -> TrackState:
    state = TrackState()
    for now_s, finds in script:
        state = tracks.follow(state, finds, [WHOLE], STILL, now_s=now_s, now_ms=0)
    return state


def test_two_people_who_pass_each_other_keep_their_ids() -> None:
    state = follow([(n / 5, [find(0.2 + 0.02 * n), find(0.8 - 0.02 * n)]) for n in range(30)])
    by_place = {round(t.box.centre[0], 2): t.track_id for t in state.tracks}
    assert by_place == {0.78: 1, 0.22: 2}


def test_an_id_survives_a_short_occlusion_and_not_a_long_one() -> None:
    walk = [(n / 5, [find(0.2 + 0.01 * n)]) for n in range(10)]
    short = follow([*walk, (2.2, []), (2.6, []), (3.0, [find(0.34)])])
    assert [t.track_id for t in short.tracks] == [1]
    long = follow([*walk, (3.0, []), (4.0, []), (5.0, []), (6.0, [find(0.48)])])
    assert [t.track_id for t in long.tracks] == [2]


def test_who_stands_still_after_walking_stays_alive_and_what_never_moved_is_not() -> None:
    script = [(n / 5, [find(min(0.5, 0.2 + 0.02 * n)), find(0.9)]) for n in range(100)]
    state = follow(script)
    assert {t.track_id: t.alive for t in state.tracks} == {1: True}
    assert [round(thing.box.centre[0], 2) for thing in state.things] == [0.9]


def test_tracks_outside_the_crops_are_not_missed() -> None:
    state = follow([(n / 5, [find(0.2)]) for n in range(5)])
    elsewhere = Box(0.6, 0.0, 1.0, 1.0)
    for n in range(30):
        state = tracks.follow(state, [], [elsewhere], STILL, now_s=1.0 + n / 5, now_ms=0)
    assert [t.misses for t in state.tracks] == [0]


def test_of_boxes_on_one_body_the_best_stays_and_a_rider_keeps_both() -> None:
    kept = without_doubles([find(0.5, score=0.5), find(0.505, score=0.7), find(0.5, score=0.6, kind=AlarmKind.ANIMAL)])
    assert [f.score for f in kept] == [0.7]
    bicycle = Find(AlarmKind.VEHICLE, "bicycle", 0.6, Box(0.42, 0.6, 0.58, 0.85))
    assert len(without_doubles([find(0.5), bicycle])) == 2


@given(st.tuples(*[st.floats(0, 1)] * 8))
def test_overlap_is_a_symmetric_share(v: tuple[float, ...]) -> None:
    a = Box(min(v[0], v[1]), min(v[2], v[3]), max(v[0], v[1]), max(v[2], v[3]))
    b = Box(min(v[4], v[5]), min(v[6], v[7]), max(v[4], v[5]), max(v[6], v[7]))
    assert iou(a, b) == iou(b, a)
    assert 0.0 <= iou(a, b) <= 1.0 + 1e-9


def test_a_hiccup_of_the_signal_is_no_alarm_a_loss_is_one_and_it_ends_when_pictures_stay() -> None:
    state = SignalState(quiet_since_s=0.0, quiet_since_ms=0)
    told: list[tuple[float, Phase]] = []
    for tenth in range(400):
        now_s = tenth / 10
        there = not (10 <= now_s < 12 or 20 <= now_s < 28 or 28.5 <= now_s < 29)
        if there:
            state, phases = picture(state, now_s=now_s, now_ms=round(now_s * 1000))
        else:
            state, phases = silence(state, now_s=now_s)
        told += [(now_s, p) for p in phases]
    assert [p for _, p in told] == [Phase.START, Phase.END]
    assert 23.9 <= told[0][0] <= 24.1
    assert 31.0 <= told[1][0] <= 31.1
    assert state.started_ms == 19_900


DWELL = PresenceRule(kind=AlarmKind.PERSON, on_delay_s=1.0, off_delay_s=10.0, dwell_s=5.0, loiter_s=20.0)


def seen_from(begin_s: float, end_s: float, *, track: int = 1) -> list[tuple[float, list[Presence]]]:
    return [(round(begin_s + n / 5, 1), [person(track=track)]) for n in range(round((end_s - begin_s) * 5))]


def test_a_zone_with_a_dwell_alarms_only_for_who_stays_and_says_since_when() -> None:
    state, told = play(seen_from(0, 4.8), DWELL)
    assert told == []
    assert state.reason == "dwell"
    _, told = play(seen_from(0, 8), DWELL)
    assert [(t, x.phase, x.reason, x.started_ms) for t, x in told] == [(5.0, Phase.START, "seen_long_enough", 0)]
    assert told[0][1].stay_s == 5.0


def test_people_who_pass_one_after_another_do_not_add_up_to_a_dwell() -> None:
    looks = [look for n in range(6) for look in seen_from(3 * n, 3 * n + 3, track=n)]
    assert play(looks, DWELL)[1] == []
    assert [t for t, _ in play(looks)[1]][:1] == [1.0], "without a dwell the same passage is an alarm at once"


def test_a_step_across_the_rim_or_behind_a_post_does_not_end_a_stay_and_leaving_does() -> None:
    stepped = [*seen_from(0, 3), (3.0, []), (4.0, []), (5.0, []), *seen_from(5.2, 8)]
    assert [(t, x.started_ms) for t, x in play(stepped, DWELL)[1]] == [(6.2, 0)], "on-delay after the gap, whole stay"
    left = [*seen_from(0, 3), *((3 + n / 5, []) for n in range(20)), *seen_from(7, 11.8)]
    assert play(left, DWELL)[1] == []


def test_who_stays_longer_than_loiter_is_told_once_an_alarm_and_the_end_still_says_so() -> None:
    looks = [*seen_from(0, 60), *((60 + n / 5, []) for n in range(60))]
    _, told = play(looks, DWELL)
    assert [(t, x.phase, x.reason, x.loitering) for t, x in told] == [
        (5.0, Phase.START, "seen_long_enough", False),
        (20.0, Phase.UPDATE, "loitering", True),
        (69.8, Phase.END, "nobody_for_off_delay", True),
    ]
    again = [*looks, *seen_from(80, 90)]
    assert [x.loitering for _, x in play(again, DWELL)[1]] == [False, True, True, False], "the next alarm is a new one"


def test_without_loiter_nobody_loiters() -> None:
    assert [x.reason for _, x in play(seen_from(0, 90))[1]] == ["seen_long_enough"]


@given(st.lists(st.sampled_from([0, 1, 2]), max_size=200), st.floats(0, 10), st.floats(1, 20))
def test_no_alarm_before_a_whole_dwell_and_loitering_at_most_once_an_alarm(
    tracks_seen: list[int], dwell_s: float, loiter_s: float
) -> None:
    rule = PresenceRule(kind=AlarmKind.PERSON, on_delay_s=1.0, off_delay_s=3.0, dwell_s=dwell_s, loiter_s=loiter_s)
    _, told = play([(n / 5, [person(track=t)] if t else []) for n, t in enumerate(tracks_seen)], rule)
    loitering = 0
    for now_s, transition in told:
        if transition.phase is Phase.START:
            assert now_s - transition.started_ms / 1000 >= dwell_s - 0.01
            loitering = 0
        loitering += transition.reason == "loitering"
        assert loitering <= 1
