"""The decisions of the drain: named cases first, then a machine that plays network, broker, service and kills."""

from __future__ import annotations

import itertools
from dataclasses import replace

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sealwatch.contract.codes import Level
from sealwatch.contract.topics import Channel
from sealwatch.edge.uplink import drain
from sealwatch.edge.uplink.drain import (
    Acked,
    Connected,
    Disconnected,
    DrainRules,
    DrainState,
    Due,
    Effect,
    NotSent,
    Refuse,
    Release,
    Reoffer,
    Send,
)
from sealwatch.edge.uplink.entries import Entry, Ref, priority
from tests.edge.uplink.helpers import BOOT_A

RULES = DrainRules(windows={Channel.ALARM: 3, Channel.SNAPSHOT: 2, Channel.SAMPLES: 2}, rate_per_s=10, burst=5)


def ref(seq: int) -> Ref:
    return Ref(BOOT_A, seq)


def entry(seq: int, channel: Channel = Channel.ALARM, level: Level = Level.RED) -> Entry:
    return Entry(ref(seq), channel, priority(channel, level), 100)


def step(state: DrainState, event: drain.Event, now_s: float) -> tuple[DrainState, list[Effect]]:
    return drain.step(state, event, now_s, rules=RULES, jitter=lambda _low, high: high)


def connected(now_s: float = 0.0) -> DrainState:
    return step(DrainState(), Connected(), now_s)[0]


def sent(effects: list[Effect]) -> list[int]:
    return [e.ref.seq for e in effects if isinstance(e, Send)]


def test_nothing_is_sent_while_there_is_no_connection() -> None:
    state, effects = step(DrainState(), Due([entry(1)]), 0.0)
    assert effects == []
    assert state.wake_at_s is None


def test_the_head_is_sent_in_order_up_to_the_window_of_its_kind() -> None:
    head = [entry(4), entry(3), entry(2), entry(1), entry(9, Channel.SAMPLES)]
    state, effects = step(connected(), Due(head), 0.0)
    assert sent(effects) == [4, 3, 2], "samples do not overtake an alarm that waits for the window"
    state, effects = step(state, Acked(taken=(ref(3),)), 0.1)
    assert effects == [Release((ref(3),))]
    assert state.wake_at_s == 0.1
    state, effects = step(state, Due([e for e in head if e.ref.seq != 3]), 0.1)
    assert sent(effects) == [1, 9], "the last alarm is under way, now samples may follow"


def test_a_new_alarm_goes_at_once_though_pictures_and_samples_fill_their_windows() -> None:
    backlog = [entry(n, Channel.SAMPLES) for n in range(1, 9)]
    state, effects = step(connected(), Due(backlog), 0.0)
    assert sent(effects) == [1, 2]
    state, effects = step(state, Due([entry(10), *backlog]), 0.01)
    assert sent(effects) == [10]


def test_without_an_answer_a_message_is_sent_again_with_growing_patience() -> None:
    state = connected()
    times: list[float] = []
    now_s = 0.0
    while len(times) < 8:
        state, effects = step(state, Due([entry(1)]), now_s)
        if sent(effects):
            times.append(now_s)
        assert state.wake_at_s is not None
        now_s = max(state.wake_at_s, now_s + 0.001)
    gaps = [round(b - a) for a, b in itertools.pairwise(times)]
    assert gaps == [10, 20, 40, 80, 160, 300, 300]


def test_a_resend_comes_no_sooner_than_half_the_time_whatever_the_jitter() -> None:
    state, _ = drain.step(connected(), Due([entry(1)]), 0.0, rules=RULES, jitter=lambda low, _high: low)
    assert state.flights[ref(1)].resend_at_s == 5.0


def test_what_was_lost_on_the_line_is_sent_again_though_newer_ones_stand_before_it_and_its_window_is_full() -> None:
    old = [entry(1, Channel.SAMPLES), entry(2, Channel.SAMPLES)]
    newer = [entry(n, Channel.SAMPLES) for n in range(20, 3, -1)]
    state, effects = step(connected(), Due(old), 0.0)
    assert sent(effects) == [1, 2]
    state, effects = step(state, Due(newer[: drain.head_wanted(state, RULES)]), 10.0)
    assert sent(effects) == [1, 2]


def test_after_a_reconnect_what_was_under_way_is_sent_again_once_waiting_acks_had_time_to_come() -> None:
    state, _ = step(connected(), Due([entry(1)]), 0.0)
    state, _ = step(state, Disconnected(), 1.0)
    state, _ = step(state, Connected(), 100.0)
    state, effects = step(state, Due([entry(1)]), 100.0)
    assert sent(effects) == []
    state, effects = step(state, Due([entry(1)]), 101.0)
    assert sent(effects) == [1]


def test_a_backlog_leaves_no_faster_than_the_rate() -> None:
    rules = replace(RULES, windows={Channel.ALARM: 1000, Channel.SNAPSHOT: 1, Channel.SAMPLES: 1})
    state, _ = drain.step(DrainState(), Connected(), 0.0, rules=rules)
    queue, count, now_s = [entry(n) for n in range(1, 500)], 0, 0.0
    while now_s < 10.0:
        state, effects = drain.step(state, Due(queue), now_s, rules=rules, jitter=lambda _l, high: high)
        done = sent(effects)
        count += len(done)
        queue = [e for e in queue if e.ref.seq not in done]
        state, _ = drain.step(state, Acked(taken=tuple(ref(n) for n in done)), now_s, rules=rules)
        now_s += 0.05
    assert 100 <= count <= 105


def test_a_refused_message_is_offered_again_later_and_less_and_less_often() -> None:
    state = connected()
    state, effects = step(state, Due([entry(1)]), 2.0)
    assert Reoffer() in effects, "what an earlier connection saw refused gets another chance"
    waits = []
    now_s = 2.0
    for _ in range(6):
        state, effects = step(state, Acked(refused=((ref(1), "unknown_key"),)), now_s)
        assert effects == [Refuse(((ref(1), "unknown_key"),))]
        assert state.reoffer_at_s is not None
        waits.append(round(state.reoffer_at_s - now_s))
        now_s = state.reoffer_at_s
        state, effects = step(state, Due([]), now_s)
        assert effects == [Reoffer()]
        assert state.wake_at_s == now_s, "the head is read again at once"
        state, effects = step(state, Due([entry(1)]), now_s)
        assert sent(effects) == [1]
    assert waits == [60, 120, 240, 480, 600, 600]


def test_an_ack_for_something_not_under_way_releases_it_all_the_same() -> None:
    old = Ref("b" * 32, 7)
    _, effects = step(connected(), Acked(taken=(old,)), 0.0)
    assert effects == [Release((old,))]


def test_taken_wins_where_an_ack_says_both() -> None:
    _, effects = step(connected(), Acked(taken=(ref(1),), refused=((ref(1), "unknown_key"),)), 0.0)
    assert effects == [Release((ref(1),))]


def test_what_was_thinned_while_under_way_no_longer_holds_a_place_in_the_window() -> None:
    backlog = [entry(n, Channel.SAMPLES) for n in range(1, 4)]
    state, effects = step(connected(), Due(backlog), 0.0)
    assert sent(effects) == [1, 2]
    state, effects = step(state, Due(backlog[2:]), 0.1)
    assert sent(effects) == [3]
    assert set(state.flights) == {ref(3)}


def test_what_the_session_could_not_take_is_tried_again_soon() -> None:
    state, effects = step(connected(), Due([entry(1)]), 0.0)
    state, _ = step(state, NotSent(ref(1)), 0.0)
    assert state.wake_at_s == 1.0
    _, effects = step(state, Due([entry(1)]), 1.0)
    assert sent(effects) == [1]


class Link(RuleBasedStateMachine):
    """A node, a lossy line, a broker that may say things twice, and a service that stores, refuses or is away.

    Held at every step: what was stored in the outbox is there until the service has it; what is released was acked;
    windows are kept; nothing is sent before something more urgent that could be sent.
    """

    @initialize()
    def begin(self) -> None:
        self.now_s = 0.0
        self.state = DrainState()
        self.queue: dict[Ref, Entry] = {}
        self.refused: dict[Ref, Entry] = {}
        self.made: set[Ref] = set()
        self.stored: set[Ref] = set()
        self.acked: set[Ref] = set()
        self.line: list[Ref] = []
        self.acks: list[Acked] = []
        self.next_seq = 1

    def head(self) -> list[Entry]:
        order = sorted(self.queue.values(), key=lambda e: (e.priority, -e.ref.seq))
        return order[: drain.head_wanted(self.state, RULES)]

    def apply(self, event: drain.Event) -> list[Effect]:
        self.state, effects = drain.step(self.state, event, self.now_s, rules=RULES)
        for effect in effects:
            match effect:
                case Send(sent_ref, _):
                    self.line.append(sent_ref)
                case Release(refs):
                    assert set(refs) <= self.acked, "released without an ack"
                    for gone in refs:
                        self.queue.pop(gone, None)
                        self.refused.pop(gone, None)
                case Refuse(items):
                    for gone, _ in items:
                        if gone in self.queue:
                            self.refused[gone] = self.queue.pop(gone)
                case Reoffer():
                    self.queue |= self.refused
                    self.refused = {}
        return effects

    @rule(channel=st.sampled_from([Channel.ALARM, Channel.SNAPSHOT, Channel.SAMPLES]), level=st.sampled_from(Level))
    def store(self, channel: Channel, level: Level) -> None:
        item = entry(self.next_seq, channel, level)
        self.next_seq += 1
        self.queue[item.ref] = item
        self.made.add(item.ref)

    @rule()
    def connect(self) -> None:
        self.apply(Connected())

    @rule(lost=st.booleans())
    def disconnect(self, lost: bool) -> None:
        self.apply(Disconnected())
        if lost:
            self.line, self.acks = [], []

    @rule()
    def look(self) -> None:
        head = self.head()
        flying = dict(self.state.flights)
        effects = self.apply(Due(head))
        fresh = [e.ref for e in effects if isinstance(e, Send) and e.ref not in flying]
        order = [e.ref for e in head if e.ref not in flying]
        assert fresh == order[: len(fresh)], "sent out of order"

    @rule(seconds=st.floats(0.001, 400))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    @precondition(lambda self: self.line)
    @rule(data=st.data(), twice=st.booleans(), refuse=st.booleans())
    def deliver(self, data: st.DataObject, twice: bool, refuse: bool) -> None:
        position = data.draw(st.integers(0, len(self.line) - 1))
        got = self.line[position] if twice else self.line.pop(position)
        if refuse and got not in self.stored:
            self.acks.append(Acked(refused=((got, "unknown_key"),)))
        else:
            self.stored.add(got)
            self.acks.append(Acked(taken=(got,)))

    @precondition(lambda self: self.acks)
    @rule(data=st.data(), lose=st.booleans())
    def answer(self, data: st.DataObject, lose: bool) -> None:
        ack = self.acks.pop(data.draw(st.integers(0, len(self.acks) - 1)))
        if not lose:
            self.acked |= set(ack.taken)
            self.apply(ack)

    @rule()
    def kill(self) -> None:
        self.state = DrainState()

    @invariant()
    def nothing_is_lost(self) -> None:
        if hasattr(self, "made"):
            assert self.made == set(self.queue) | set(self.refused) | self.stored

    @invariant()
    def windows_are_kept(self) -> None:
        if hasattr(self, "made"):
            for channel, window in RULES.windows.items():
                assert sum(f.entry.channel is channel for f in self.state.flights.values()) <= window

    def teardown(self) -> None:
        """When line and service work again, everything arrives: the drain is complete."""
        if not hasattr(self, "made"):
            return
        self.apply(Connected())
        for _ in range(50 * (len(self.made) + 5)):
            if not self.queue and not self.refused:
                break
            self.apply(Due(self.head()))
            self.stored |= set(self.line)
            self.acked |= set(self.line)
            if self.line:
                self.apply(Acked(taken=tuple(self.line)))
            self.line = []
            assert self.state.wake_at_s is not None, "asleep with work to do"
            self.now_s = max(self.now_s, self.state.wake_at_s) + 0.001
        assert not self.queue
        assert not self.refused
        assert self.made == self.stored


TestLink = Link.TestCase
TestLink.settings = hypothesis_settings(max_examples=120, stateful_step_count=40, deadline=None)
