"""A group robot's queue: how many messages a minute, what goes alone and what goes in a digest. Pure.

The rows of the database are the queue; this only decides, from the times of the last messages, which of the waiting
pages go out now. A quarter of the minute's messages may go at any time, to whoever comes; the rest is for red pages,
one at a time, evenly spaced. So a red page waits at most one spacing (4 s at 20 messages a minute), however many
others wait: while it is short, red pages share a message, with red pages only. Everything else is put together into
one digest as soon as it is more than the open part holds, and waits for the open part. Nobody ever sends more than the
vendor allows in any minute.

Reasons: alone | red_together | digest | channel_paused
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

MINUTE_S: Final = 60.0
MOST_IN_A_DIGEST: Final = 200
"""Pages that share one digest: bounded, so that claiming and settling them never holds up a red page for long."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a vendor allows one robot."""

    per_minute: int = 20

    @property
    def open_part(self) -> int:
        """Messages a minute that any page may use."""
        return max(1, self.per_minute // 4)

    @property
    def spacing_s(self) -> float:
        """Between two messages once the open part is used up."""
        return MINUTE_S / (self.per_minute - self.open_part)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueState:
    """Monotonic times of the messages of the last minute, oldest first."""

    sent_s: tuple[float, ...] = ()
    paused_until_s: float = float("-inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Pages that go out as one message."""

    page_ids: tuple[str, ...]
    reason: str


def paused(state: QueueState, *, until_s: float) -> QueueState:
    """The vendor has muted the robot, or it is of no use for now."""
    return replace(state, paused_until_s=max(state.paused_until_s, until_s))


def sent(state: QueueState, now_s: float) -> QueueState:
    """One message has gone out."""
    return replace(state, sent_s=(*_recent(state, now_s), now_s))


def open_now(state: QueueState, now_s: float, limits: Limits) -> bool:
    """Whether a page that is not red could go out now."""
    return now_s >= state.paused_until_s and len(_recent(state, now_s)) < limits.open_part


def decide(
    state: QueueState, *, red: Sequence[str], others: Sequence[str], now_s: float, limits: Limits
) -> tuple[QueueState, list[Message]]:
    """What goes out now. What is in no message stays in the queue.

    While the channel is paused red pages are handed out one by one, to be failed at once so that the ladder goes on;
    the others wait.
    """
    if now_s < state.paused_until_s:
        return state, [Message(page_ids=(page_id,), reason="channel_paused") for page_id in red]
    times = list(_recent(state, now_s))
    messages: list[Message] = []
    alone = max(0, limits.open_part - len(times))
    for page_id in red[:alone]:
        messages.append(Message(page_ids=(page_id,), reason="alone"))
        times.append(now_s)
    rest = tuple(red[alone:])
    if rest and (not times or now_s - times[-1] >= limits.spacing_s):
        messages.append(Message(page_ids=rest[:MOST_IN_A_DIGEST], reason="red_together"))
        times.append(now_s)
    room = limits.open_part - len(times)
    if 0 < len(others) < room or (len(others) == 1 and room == 1):
        messages += [Message(page_ids=(page_id,), reason="alone") for page_id in others]
        times += [now_s] * len(others)
    elif others and room > 0:
        messages.append(Message(page_ids=tuple(others[:MOST_IN_A_DIGEST]), reason="digest"))
        times.append(now_s)
    return replace(state, sent_s=tuple(times)), messages


def _recent(state: QueueState, now_s: float) -> tuple[float, ...]:
    return tuple(at_s for at_s in state.sent_s if now_s - at_s < MINUTE_S)
