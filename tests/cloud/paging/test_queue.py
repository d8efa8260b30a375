"""A robot's queue: never more than the vendor allows in any minute, and red pages never more than one spacing late."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sealwatch.cloud.paging.queue import MOST_IN_A_DIGEST, Limits, Message, QueueState, decide, paused

LIMITS = Limits(20)


def ids(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{n}" for n in range(count)]


def test_a_few_pages_go_alone() -> None:
    _, messages = decide(QueueState(), red=ids("r", 1), others=ids("y", 2), now_s=0, limits=LIMITS)
    assert messages == [Message(page_ids=(page,), reason="alone") for page in ("r0", "y0", "y1")]


def test_forty_yellow_pages_make_one_digest_and_the_red_one_goes_before_them() -> None:
    _, messages = decide(QueueState(), red=["r0"], others=ids("y", 40), now_s=0, limits=LIMITS)
    assert messages == [
        Message(page_ids=("r0",), reason="alone"),
        Message(page_ids=tuple(ids("y", 40)), reason="digest"),
    ]


def test_red_pages_of_a_burst_share_messages_with_red_pages_only() -> None:
    state, first = decide(QueueState(), red=ids("r", 30), others=ids("y", 3), now_s=0, limits=LIMITS)
    assert [len(message.page_ids) for message in first] == [1] * 5
    _, at_once = decide(state, red=ids("r", 25), others=ids("y", 3), now_s=1, limits=LIMITS)
    assert at_once == []
    _, later = decide(state, red=ids("r", 25), others=ids("y", 3), now_s=4, limits=LIMITS)
    assert later == [Message(page_ids=tuple(ids("r", 25)), reason="red_together")]


def test_a_muted_robot_hands_red_pages_on_and_keeps_the_others() -> None:
    state = paused(QueueState(), until_s=600)
    same, messages = decide(state, red=ids("r", 2), others=ids("y", 9), now_s=599, limits=LIMITS)
    assert same == state
    assert [message.reason for message in messages] == ["channel_paused", "channel_paused"]
    _, after = decide(state, red=[], others=ids("y", 9), now_s=600, limits=LIMITS)
    assert [message.reason for message in after] == ["digest"]


@given(
    arrivals=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40)), max_size=200),
    per_minute=st.integers(6, 100),
)
def test_any_arrivals_keep_the_limit_the_order_and_every_page(arrivals: list[tuple[int, int]], per_minute: int) -> None:
    """A turn each second: `arrivals[s]` red and other pages come in second `s`."""
    limits, state = Limits(per_minute), QueueState()
    red: list[str] = []
    others: list[str] = []
    came: dict[str, int] = {}
    gone: dict[str, int] = {}
    times: list[int] = []
    for second in range(len(arrivals) + 240):
        new_red, new_others = arrivals[second] if second < len(arrivals) else (0, 0)
        red += [f"r{second}-{n}" for n in range(new_red)]
        others += [f"y{second}-{n}" for n in range(new_others)]
        came |= dict.fromkeys((*red, *others), second) | came
        state, messages = decide(state, red=red, others=others, now_s=second, limits=limits)
        for message in messages:
            assert message.page_ids
            assert len({page[0] for page in message.page_ids}) == 1, "red pages share with red pages only"
            times.append(second)
            gone |= dict.fromkeys(message.page_ids, second)
        assert sum(second - at < 60 for at in times) <= per_minute
        red = [page for page in red if page not in gone]
        others = [page for page in others if page not in gone]
    assert gone.keys() == came.keys()
    late = [gone[page] - came[page] for page in came if page.startswith("r")]
    assert max(late, default=0) <= limits.spacing_s + 1  # a turn a second


def test_ten_thousand_waiting_pages_need_no_more_than_fifty_digests() -> None:
    state, waiting, second, digests = QueueState(), ids("y", 10_000), 0, 0
    while waiting:
        state, messages = decide(state, red=[], others=waiting, now_s=second, limits=LIMITS)
        for message in messages:
            digests += 1
            waiting = waiting[len(message.page_ids) :]
        second += 1
    assert digests == 10_000 // MOST_IN_A_DIGEST
    assert second <= 541 + 60
