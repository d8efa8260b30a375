"""Who can be reached, by what is known this morning: pure.

A way is one channel to one person. What is known of it, the worst first:

  no_address    the channel wants an address that this person has not
  channel_bad   the night's test of the channel itself failed, or the channel is not configured
  last_failed   the last page over it was refused or failed
  never_tried   nothing has gone over it within `KNOWN_S`: whether it works nobody knows
  works         the last page over it was taken

A person is unreachable where no way works or is still untried, and doubtful where none is known to work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

KNOWN_S: Final = 30 * 24 * 3600
"""How long the outcome of a page says something of its way."""

Known = Literal["no_address", "channel_bad", "last_failed", "never_tried", "works"]
Standing = Literal["reachable", "doubtful", "unreachable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A channel to a person, and its last page. `at_ms` None: there was none."""

    channel: str
    has_address: bool
    at_ms: int | None = None
    taken: bool = False
    outcome: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """Somebody who stands in the ladder or in a roster."""

    person_id: str
    name: str
    ways: tuple[Way, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What is known of a person: their standing, and each way in order of the channels."""

    person_id: str
    name: str
    standing: Standing
    ways: tuple[tuple[str, Known], ...]


def judge(contacts: Sequence[Contact], channels: Mapping[str, str], *, now_ms: int) -> list[Reach]:
    """The unreachable first. `channels`: what the night's test found wrong with each; "" where nothing."""
    found = []
    for contact in contacts:
        ways = tuple((way.channel, _known(way, channels, now_ms)) for way in contact.ways)
        states = {state for _, state in ways}
        standing: Standing = "unreachable"
        if "works" in states:
            standing = "reachable"
        elif "never_tried" in states:
            standing = "doubtful"
        found.append(Reach(person_id=contact.person_id, name=contact.name, standing=standing, ways=ways))
    order = ("unreachable", "doubtful", "reachable")
    return sorted(found, key=lambda one: (order.index(one.standing), one.person_id))


def _known(way: Way, channels: Mapping[str, str], now_ms: int) -> Known:
    if not way.has_address:
        return "no_address"
    if channels.get(way.channel, "not configured"):
        return "channel_bad"
    if way.at_ms is None or now_ms - way.at_ms > KNOWN_S * 1000:
        return "never_tried"
    return "works" if way.taken else "last_failed"
