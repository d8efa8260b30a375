"""Which alarms make which incident: every rule by a case, and what must hold for any of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealwatch.base import text
from sealwatch.base.text import Language
from sealwatch.cloud.incidents.fuse import ACKNOWLEDGEMENT_HOLDS_S, OWN_KINDS, RULES, Fact, OpenIncident, fuse, judge
from sealwatch.cloud.incidents.states import Event, State
from sealwatch.contract.codes import AlarmKind, DeclaredStatus, Level, Phase

NOW_MS = 1_700_000_000_000
LIVING = DeclaredStatus.GUARD_HUT_ONLY
DEAD = DeclaredStatus.POWER_CUT


def fact(kind: str, level: Level = Level.ORANGE, *, standing: bool = True) -> Fact:
    return Fact(kind=kind, level=level, standing=standing)


@pytest.mark.parametrize(
    ("kinds", "declared", "level", "verdict"),
    [
        (["person"], LIVING, Level.ORANGE, "person_present"),
        (["person"], DEAD, Level.ORANGE, "person_present"),
        (["count"], LIVING, Level.ORANGE, "person_present"),
        (["hoist_like_cycle"], LIVING, Level.ORANGE, "hoist_like_power"),
        (["hoist_like_cycle"], DeclaredStatus.DRAINAGE_ONLY, Level.ORANGE, "hoist_like_power"),
        (["hoist_like_cycle"], DeclaredStatus.POWER_CUT, Level.RED, "hoist_like_power_at_dead_site"),
        (["hoist_like_cycle"], DeclaredStatus.FLOODED, Level.RED, "hoist_like_power_at_dead_site"),
        (["equipment"], DeclaredStatus.FLOODED, Level.RED, "hoist_like_power_at_dead_site"),
        (["person", "hoist_like_cycle"], LIVING, Level.RED, "suspected_illegal_production"),
        (["person", "hoist_like_cycle"], DEAD, Level.RED, "suspected_illegal_production"),
        (["power_step"], LIVING, Level.YELLOW, "power_step"),
        (["power_step", "person"], LIVING, Level.ORANGE, "person_present"),
        (["power_anomaly"], LIVING, Level.YELLOW, "power_anomaly"),
        (["power_step", "camera_fault"], LIVING, Level.ORANGE, "power_without_picture"),
        (["vehicle"], LIVING, Level.YELLOW, "vehicle_present"),
        (["liveness"], LIVING, Level.ORANGE, "picture_not_live"),
        (["scene_change"], LIVING, Level.ORANGE, "surroundings_changed"),
        (["animal"], LIVING, Level.BLUE, "animal_present"),
    ],
)
def test_alarms_together_give_level_and_verdict(
    kinds: list[str], declared: DeclaredStatus, level: Level, verdict: str
) -> None:
    got, rule = judge([fact(kind) for kind in kinds], declared)
    assert (got, rule.verdict) == (level, verdict)


@pytest.mark.parametrize("kind", ["camera_fault", "meter_fault", "node_fault"])
@pytest.mark.parametrize(
    ("own", "got"), [(Level.RED, Level.YELLOW), (Level.YELLOW, Level.YELLOW), (Level.BLUE, Level.BLUE)]
)
def test_a_fault_of_the_equipment_is_never_more_than_yellow(kind: str, own: Level, got: Level) -> None:
    assert judge([fact(kind, own)], LIVING)[0] is got


def test_a_camera_that_is_well_again_explains_nothing_any_more() -> None:
    facts = [fact("camera_fault", Level.YELLOW, standing=False), fact("power_step")]
    assert judge(facts, LIVING)[1].verdict == "power_step"


def test_an_unknown_kind_counts_as_its_node_says_beside_known_ones() -> None:
    level, rule = judge([fact("power_step"), fact("tunnel_boring", Level.RED)], LIVING)
    assert (level, rule.verdict) == (Level.RED, "other")


def test_every_known_kind_has_a_rule_and_every_rule_its_words() -> None:
    ruled = {kind for rule in RULES for group in rule.kinds for kind in group}
    assert ruled == set(AlarmKind) | OWN_KINDS
    for verdict in {rule.verdict for rule in RULES} | {"other"}:
        assert all(text.say(language, f"verdict.{verdict}") for language in Language)
    for reason in {rule.reason for rule in RULES} | {"kind_not_known_here"}:
        assert all(text.say(language, f"why.{reason}") for language in Language)


def test_every_rule_names_the_verdict_somewhere() -> None:
    won = set()
    for declared in DeclaredStatus:
        for rule in RULES:
            kinds = [min(group) for group in rule.kinds] + sorted(rule.standing)[:1]
            won.add(judge([fact(kind) for kind in kinds], declared)[1].reason)
    assert won == {rule.reason for rule in RULES}


def explained(kind: str, level: Level = Level.ORANGE) -> Fact:
    return Fact(kind=kind, level=level, standing=True, explained=True)


def test_what_is_explained_makes_nothing_by_itself_but_counts_beside_what_is_not() -> None:
    assert judge([explained("person"), fact("animal")], LIVING)[0] is Level.BLUE
    assert judge([explained("person"), explained("hoist_like_cycle"), fact("animal")], LIVING)[0] is Level.BLUE
    assert judge([explained("person"), fact("hoist_like_cycle")], LIVING)[0] is Level.RED
    assert judge([explained("power_step"), fact("camera_fault", Level.BLUE)], LIVING)[0] is Level.ORANGE
    assert judge([explained("power_step", Level.RED), fact("input", Level.YELLOW)], LIVING)[0] is Level.YELLOW


def incident(state: State, level: Level, answered_ago_s: float | None = None) -> OpenIncident:
    return OpenIncident(
        state=state,
        level=level,
        verdict="person_present",
        reason="person_seen",
        progress_at_ms=None if answered_ago_s is None else NOW_MS - round(answered_ago_s * 1000),
    )


def test_the_first_alarm_opens_and_pages() -> None:
    decision = fuse(None, [], fact("person"), phase=Phase.START, declared=LIVING, now_ms=NOW_MS)
    assert (decision.action, decision.page, decision.reason) == ("open", True, "opened")


@pytest.mark.parametrize("state", [State.DETECTED, State.NOTIFIED, State.ACKNOWLEDGED])
def test_what_makes_it_worse_pages_again_in_every_state(state: State) -> None:
    before = incident(state, Level.ORANGE, 60)
    decision = fuse(
        before, [fact("person")], fact("hoist_like_cycle"), phase=Phase.START, declared=LIVING, now_ms=NOW_MS
    )
    assert (decision.level, decision.event, decision.page) == (Level.RED, Event.LEVEL_RAISED, True)


@pytest.mark.parametrize("phase", list(Phase))
def test_more_of_the_same_changes_nothing(phase: Phase) -> None:
    before = incident(State.ACKNOWLEDGED, Level.ORANGE, 60)
    decision = fuse(before, [fact("person")], fact("person"), phase=phase, declared=LIVING, now_ms=NOW_MS)
    assert (decision.event, decision.page, decision.level) == (None, False, Level.ORANGE)


@pytest.mark.parametrize(
    ("ago_s", "phase", "page"),
    [
        (ACKNOWLEDGEMENT_HOLDS_S - 1, Phase.START, False),
        (ACKNOWLEDGEMENT_HOLDS_S + 1, Phase.START, True),
        (ACKNOWLEDGEMENT_HOLDS_S + 1, Phase.UPDATE, False),
        (ACKNOWLEDGEMENT_HOLDS_S + 1, Phase.END, False),
    ],
)
def test_an_answer_holds_for_its_time_and_no_longer(ago_s: float, phase: Phase, page: bool) -> None:
    before = incident(State.ACKNOWLEDGED, Level.ORANGE, ago_s)
    decision = fuse(before, [fact("person")], fact("person"), phase=phase, declared=LIVING, now_ms=NOW_MS)
    assert decision.page is page
    assert decision.event is (Event.RECURRED if page else None)


facts = st.builds(
    Fact,
    kind=st.sampled_from([*AlarmKind, "kind_of_next_year"]),
    level=st.sampled_from(list(Level)),
    standing=st.booleans(),
)
incidents = st.builds(
    incident,
    state=st.sampled_from([State.DETECTED, State.NOTIFIED, State.ACKNOWLEDGED]),
    level=st.sampled_from(list(Level)),
    answered_ago_s=st.one_of(st.none(), st.floats(0, 1e6)),
)


@given(
    st.none() | incidents, st.lists(facts, max_size=6), facts, st.sampled_from(Phase), st.sampled_from(DeclaredStatus)
)
def test_any_alarm_gets_a_decision_and_the_level_of_an_open_incident_never_falls(
    before: OpenIncident | None, others: list[Fact], alarm: Fact, phase: Phase, declared: DeclaredStatus
) -> None:
    decision = fuse(before, others, alarm, phase=phase, declared=declared, now_ms=NOW_MS)
    assert decision.reason
    assert decision.why
    if before is None:
        assert decision.action == "open"
        return
    assert decision.level.urgency <= before.level.urgency
    raised = decision.level is not before.level
    assert decision.page is (raised or decision.event is Event.RECURRED)


@given(st.lists(facts, min_size=1, max_size=6), facts, st.sampled_from(DeclaredStatus))
def test_one_alarm_more_never_makes_it_harmless(some: list[Fact], more: Fact, declared: DeclaredStatus) -> None:
    assert judge([*some, more], declared)[0].urgency <= judge(some, declared)[0].urgency
