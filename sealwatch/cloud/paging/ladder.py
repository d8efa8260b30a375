"""The page ladder: who is paged, how, and when. A copy goes into each incident, so that an edit never changes a
running page."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from sealwatch.cloud.config import CloudSettings, address_of


class Step(Struct, frozen=True, kw_only=True):
    """One rung: everything that is needed to reach one person over one channel."""

    after_s: float
    channel: str
    person_id: str
    name: str
    role: str = ""
    language: str = "zh"
    address: str


class Ladder(Struct, frozen=True, kw_only=True):
    """All rungs in the order in which they are due, and the pause before it begins again."""

    steps: tuple[Step, ...] = ()
    repeat_after_s: float = 300.0


def from_settings(settings: CloudSettings) -> Ladder:
    """The ladder of the configuration file with the people's names and addresses filled in."""
    people = {person.person_id: person for person in settings.people}
    steps = []
    for step in sorted(settings.ladder, key=lambda step: step.after_s):
        person = people[step.person_id]
        steps.append(
            Step(
                after_s=step.after_s,
                channel=step.channel,
                person_id=person.person_id,
                name=person.name,
                role=person.role,
                language=person.language,
                address=address_of(settings, person, step.channel),
            )
        )
    return Ladder(steps=tuple(steps), repeat_after_s=settings.ladder_repeat_s)


def to_json(ladder: Ladder) -> dict[str, Any]:
    """The form in which an incident keeps it."""
    value: dict[str, Any] = msgspec.to_builtins(ladder)
    return value


def from_json(value: dict[str, Any]) -> Ladder:
    """Inverse of `to_json`. Raises msgspec.ValidationError for anything else."""
    return msgspec.convert(value, Ladder)
