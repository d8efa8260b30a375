"""Debounce, delays, supervised lines, chattering and silence: examples and what must hold for any contact."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealwatch.contract.codes import Phase
from sealwatch.edge.inputs.decide import (
    CHATTER_CHANGES,
    CHATTER_WINDOW_S,
    InputState,
    Line,
    Rules,
    Transition,
    Windows,
    advance,
    line_of,
    take,
)

RULES = Rules(rest=Line.CLOSED, reason="opened", debounce_s=0.05, on_delay_s=0.0, off_delay_s=5.0)
WINDOWS = Windows(shorted=(0, 300), closed=(900, 1300), open=(1900, 2500), cut=(9000, 1e9))
Word = tuple[float, Line]


def told(
    words: Sequence[Word], until_s: float, rules: Rules = RULES, ticks: tuple[float, ...] = ()
) -> list[Transition]:
    """What is told when the line says `words` (moment, state), and time is looked at at `ticks` besides."""
    state, out = InputState(heard_s=0.0), []
    events: list[tuple[float, Line | None]] = sorted(
        [*words, *((t, None) for t in ticks)], key=lambda event: (event[0], event[1] is None)
    )
    for at_s, line in events:
        state, more = advance(state, rules, at_s) if line is None else take(state, rules, line, at_s)
        out += more
    return [*out, *advance(state, rules, until_s)[1]]


def short(transitions: list[Transition]) -> list[tuple[str, str, float]]:
    return [(t.phase.value, t.reason, round(t.at_s, 3)) for t in transitions]


def test_a_door_that_opens_is_told_after_the_debounce_and_ends_after_the_off_delay() -> None:
    found = told([(0, Line.CLOSED), (10, Line.OPEN), (20, Line.CLOSED)], 60)
    assert short(found) == [("start", "opened", 10.05), ("end", "at_rest", 25.05)]
    assert found[0].started_s == 10.0


def test_a_contact_that_bounces_is_no_alarm() -> None:
    assert told([(0, Line.CLOSED), (10, Line.OPEN), (10.02, Line.CLOSED)], 60) == []


def test_an_on_delay_keeps_a_short_opening_back() -> None:
    slow = Rules(rest=Line.CLOSED, reason="opened", on_delay_s=30.0)
    assert told([(0, Line.CLOSED), (10, Line.OPEN), (35, Line.CLOSED)], 100, slow) == []
    assert short(told([(0, Line.CLOSED), (10, Line.OPEN)], 100, slow)) == [("start", "opened", 40.05)]


def test_a_pulse_between_two_looks_is_not_missed() -> None:
    pulse = Rules(rest=Line.OPEN, reason="vibration", debounce_s=0.0)
    assert short(told([(0, Line.OPEN), (10, Line.CLOSED), (10.01, Line.OPEN)], 60, pulse)) == [
        ("start", "vibration", 10),
        ("end", "at_rest", 15.01),
    ]


def test_a_normally_open_contact_is_an_alarm_when_it_closes_and_at_once_where_it_is_found_so() -> None:
    opener = Rules(rest=Line.OPEN, reason="motion")
    assert short(told([(0, Line.CLOSED)], 60, opener)) == [("start", "motion", 0.05)]


def test_a_cut_line_is_told_by_its_name_and_neither_begins_nor_ends_an_alarm_of_the_door() -> None:
    words = [(0, Line.CLOSED), (10, Line.OPEN), (20, Line.CUT), (40, Line.SHORTED), (60, Line.CLOSED)]
    assert [(t.track, *short([t])[0]) for t in told(words, 100)] == [
        ("state", "start", "opened", 10.05),
        ("line", "start", "line_cut", 21.05),
        ("line", "update", "line_shorted", 41.05),
        ("line", "end", "line_good", 65.05),
        ("state", "end", "at_rest", 65.05),
    ]


def test_a_chattering_contact_is_one_alarm_that_says_so_and_ends_when_it_has_been_still_for_a_minute() -> None:
    words = [(0.0, Line.CLOSED)] + [(10.0 + 8 * k, Line.OPEN if k % 2 == 0 else Line.CLOSED) for k in range(20)]
    found = told(words, 1000)
    assert [(t.phase.value, t.reason) for t in found[-2:]] == [("update", "chattering"), ("end", "at_rest")]
    assert len(found) == 2 * (CHATTER_CHANGES // 2) + 1
    assert found[-1].at_s == pytest.approx(words[-1][0] + 0.05 + CHATTER_WINDOW_S)
    assert found[-1].changes >= 10


def test_a_contact_that_flaps_too_fast_to_settle_is_not_hidden() -> None:
    words = [(0.0, Line.CLOSED)] + [(10 + 0.02 * k, Line.OPEN if k % 2 == 0 else Line.CLOSED) for k in range(400)]
    found = told(words, 1000)
    assert [(t.phase.value, t.reason) for t in found] == [("start", "chattering"), ("end", "at_rest")]


def test_after_chattering_a_door_that_stays_open_is_told_as_open_again() -> None:
    words = [(0.0, Line.CLOSED)] + [(10.0 + 2 * k, Line.OPEN if k % 2 == 0 else Line.CLOSED) for k in range(9)]
    assert [(t.phase.value, t.reason) for t in told(words, 1000)] == [
        ("start", "opened"),
        ("update", "chattering"),
        ("update", "opened"),
    ]


def test_a_sensor_that_falls_silent_is_told_and_only_a_live_word_ends_it() -> None:
    rules = Rules(rest=Line.CLOSED, reason="opened", silent_after_s=100.0)
    state, first = take(InputState(heard_s=0.0), rules, Line.CLOSED, 10)
    state, silent = advance(state, rules, 500)
    state, retained = take(state, rules, Line.CLOSED, 510, live=False)
    state, live = take(state, rules, Line.CLOSED, 520)
    assert [first, retained] == [[], []]
    assert short(silent) == [("start", "sensor_silent", 110)]
    assert short(live) == [("end", "line_good", 520)]
    assert silent[0].started_s == live[0].started_s == 10
    assert state.line is None


def test_a_word_that_comes_in_the_very_moment_of_silence_ends_it() -> None:
    rules = Rules(rest=Line.CLOSED, reason="opened", silent_after_s=100.0)
    state, _ = take(InputState(heard_s=0.0), rules, Line.CLOSED, 0)
    state, both = take(state, rules, Line.CLOSED, 100)
    assert [t.phase for t in both] == [Phase.START, Phase.END]


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (0, Line.SHORTED),
        (300, Line.SHORTED),
        (500, Line.UNCLEAR),
        (1000, Line.CLOSED),
        (2000, Line.OPEN),
        (1e6, Line.CUT),
        (-5, Line.UNCLEAR),
    ],
)
def test_the_windows_of_a_supervised_line(value: float, line: Line) -> None:
    assert line_of(value, WINDOWS) is line


def test_without_windows_anything_but_nought_is_closed() -> None:
    assert [line_of(v) for v in (True, 1.0, False, 0)] == [Line.CLOSED, Line.CLOSED, Line.OPEN, Line.OPEN]


gaps = st.one_of(st.floats(0.001, 0.2), st.floats(0.2, 12), st.floats(12, 200))
words_of = st.lists(st.tuples(gaps, st.sampled_from(list(Line))), min_size=1, max_size=60).map(
    lambda steps: [(sum(g for g, _ in steps[: i + 1]), line) for i, (_, line) in enumerate(steps)]
)
rules_of = st.builds(
    Rules,
    rest=st.sampled_from([Line.CLOSED, Line.OPEN]),
    reason=st.just("opened"),
    debounce_s=st.sampled_from([0.0, 0.05, 1.0]),
    on_delay_s=st.sampled_from([0.0, 3.0, 30.0]),
    off_delay_s=st.sampled_from([0.0, 5.0, 100.0]),
    silent_after_s=st.sampled_from([None, 20.0, 300.0]),
)


@given(words_of, rules_of)
@settings(deadline=None, max_examples=150)
def test_of_any_contact_alarms_begin_and_end_in_turn_and_in_order(words: list[Word], rules: Rules) -> None:
    found = told(words, words[-1][0] + 10_000, rules)
    assert [t.at_s for t in found] == sorted(t.at_s for t in found)
    for track in ("state", "line"):
        open_since: float | None = None
        for t in (t for t in found if t.track == track):
            assert (t.phase is Phase.START) == (open_since is None)
            assert open_since in (None, t.started_s)
            open_since = None if t.phase is Phase.END else t.started_s


@given(words_of, rules_of, st.lists(st.floats(0, 3000), max_size=30))
@settings(deadline=None, max_examples=150)
def test_how_often_one_looks_changes_nothing(words: list[Word], rules: Rules, ticks: list[float]) -> None:
    until_s = max([words[-1][0], *ticks]) + 10_000
    assert told(words, until_s, rules) == told(words, until_s, rules, tuple(ticks))


@given(words_of, rules_of)
@settings(deadline=None, max_examples=150)
def test_whoever_is_out_of_rest_for_long_enough_has_an_alarm_open(words: list[Word], rules: Rules) -> None:
    out = Line.OPEN if rules.rest is Line.CLOSED else Line.CLOSED
    at_s = words[-1][0] + 0.001
    found = told([*words, (at_s, out)], at_s + rules.debounce_s + rules.on_delay_s + 0.001, rules)
    states = [t for t in found if t.track == "state"]
    assert states
    assert states[-1].phase is not Phase.END


@given(st.lists(st.floats(0.001, 20), min_size=50, max_size=120), rules_of)
@settings(deadline=None, max_examples=100)
def test_no_contact_can_flood_anybody(gap_list: list[float], rules: Rules) -> None:
    at_s, words = 0.0, []
    for number, gap in enumerate(gap_list):
        at_s += gap
        words.append((at_s, Line.OPEN if number % 2 else Line.CLOSED))
    found = [t.at_s for t in told(words, at_s + 1000, rules) if t.track == "state"]
    # Three openings a minute are told one by one; from then on it is one alarm.
    assert all(sum(1 for other in found if 0 <= other - t < CHATTER_WINDOW_S) <= CHATTER_CHANGES + 2 for t in found)


@given(st.lists(st.floats(0.001, 500), max_size=60), rules_of)
@settings(deadline=None, max_examples=50)
def test_a_contact_at_rest_never_raises_its_alarm(gap_list: list[float], rules: Rules) -> None:
    words = [(sum(gap_list[: i + 1]), rules.rest) for i in range(len(gap_list))]
    assert [t for t in told(words, 10_000, rules) if t.track == "state"] == []
