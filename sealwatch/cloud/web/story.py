"""An incident's history and paging in words. Pure: from views to sentences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sealwatch.base import text
from sealwatch.base.text import Language
from sealwatch.cloud.maps import datum
from sealwatch.cloud.maps.datum import Position
from sealwatch.cloud.web import words
from sealwatch.cloud.web.views import EventView, IncidentView, PageView, actor_person
from sealwatch.contract.codes import Closure


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the history: `weight` is "person" for what people did, "page" for paging, else "alarm"."""

    at_ms: int
    weight: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One attempt to reach a person: `state` as in `pages.state`, plus "passed" for who can't come."""

    name: str
    role: str
    channel: str
    state: str
    sentence: str
    at_ms: int | None
    telephone: str


_STEPS = ("dispatched", "arrived", "checked_in", "verified", "handled", "closing_refused", "shelved")
_SENT_LATER_MS = 60_000
_PERSON_KINDS = frozenset({"acknowledged", "passed_on", "closed", "reopened", *_STEPS})


def actor(language: Language, event_actor: str | None, name: str | None) -> str:
    """Who did it."""
    if name is not None:
        return name
    if event_actor in {"desk", "system"}:
        return text.say(language, f"web.actor.{event_actor}")
    return event_actor or text.say(language, "web.actor.system")


def history(language: Language, incident: IncidentView) -> list[Line]:
    """The history, newest first."""
    lines = [
        Line(at_ms=event.at_ms, weight=_weight(event.kind), sentence=_sentence(language, event, incident))
        for event in incident.events
    ]
    return lines[::-1]


def paging(language: Language, incident: IncidentView) -> list[Step]:
    """Who is paged in this walk up the ladder, in its order. Pages that became needless are left out."""
    passed = {
        person_id
        for event in incident.events
        if event.kind == "passed_on" and event.detail.get("cycle") == incident.cycle
        and (person_id := actor_person(event.actor)) is not None
    }  # fmt: skip
    steps = [_step(language, page, passed=page.person_id in passed) for page in incident.pages]
    return [step for step in steps if step.state != "cancelled"]


def _step(language: Language, page: PageView, *, passed: bool) -> Step:
    state = "passed" if passed and page.state != "answered" else page.state
    at_ms = {"due": page.due_at_ms, "answered": page.answered_at_ms}.get(page.state, page.submitted_at_ms)
    return Step(
        name=page.name,
        role=page.role,
        channel=words.phrase(language, f"web.channel.{page.channel}", page.channel),
        state=state,
        sentence=words.phrase(language, f"web.page.{state}", state),
        at_ms=at_ms,
        telephone=page.telephone,
    )


def _weight(kind: str) -> str:
    if kind in _PERSON_KINDS:
        return "person"
    return "page" if kind.startswith("page_") or kind in {"ladder_started", "nobody_to_page"} else "alarm"


def _sentence(language: Language, event: EventView, incident: IncidentView) -> str:
    people = incident.people
    key = f"web.event.{event.kind}"
    if key not in text.catalogue():  # written by a newer version of the service
        return f"{event.kind} · {event.reason}"
    detail = event.detail
    closure = _closure(language, detail.get("closure"))
    note = str(detail.get("note") or "")
    sentence = text.say(
        language,
        key,
        actor=actor(language, event.actor, event.actor_name),
        person=people.get(str(detail.get("person_id")), str(detail.get("person_id", ""))),
        next=people.get(str(detail.get("to_person_id")), text.say(language, "web.nobody_yet")),
        kind=words.phrase(language, f"kind.{detail.get('kind')}", str(detail.get("kind", ""))),
        before=_level(language, detail.get("from")),
        after=_level(language, detail.get("to")),
        channel=words.phrase(language, f"web.channel.{detail.get('channel')}", str(detail.get("channel", ""))),
        cycle=detail.get("cycle", ""),
        closure=closure,
    )
    return " · ".join([sentence, *_proofs(language, event, incident), *([note] if note else [])])


def _proofs(language: Language, event: EventView, incident: IncidentView) -> list[str]:
    """What a check-in proves: how far from the site, with how many pictures, and when it was made if it came later."""
    detail, site = event.detail, incident.card.site
    proofs = []
    here = _position(detail.get("latitude_deg"), detail.get("longitude_deg"))
    there = _position(site.latitude_deg, site.longitude_deg)
    if here is not None and there is not None:
        distance = words.distance(datum.distance_m(here, there))
        proofs.append(text.say(language, "steps.proof.distance", distance=distance))
    elif event.kind in {"arrived", "checked_in"}:
        proofs.append(text.say(language, f"steps.proof.{'no_position' if here is None else 'site_unmeasured'}"))
    if event.attachments():
        proofs.append(text.say(language, "steps.proof.pictures", n=len(event.attachments())))
    taken_at_ms = detail.get("taken_at_ms")
    if isinstance(taken_at_ms, int) and abs(event.at_ms - taken_at_ms) > _SENT_LATER_MS:
        proofs.append(text.say(language, "steps.proof.later", at=words.clock_time(language, taken_at_ms, event.at_ms)))
    until_ms = detail.get("until_ms")
    if isinstance(until_ms, int):
        proofs.append(text.say(language, "steps.proof.until", at=words.clock_time(language, until_ms, event.at_ms)))
    return proofs


def _position(latitude_deg: Any, longitude_deg: Any) -> Position | None:
    if isinstance(latitude_deg, int | float) and isinstance(longitude_deg, int | float):
        return Position(latitude_deg, longitude_deg)
    return None


def _level(language: Language, value: Any) -> str:
    return words.phrase(language, f"level.{value}", str(value or ""))


def _closure(language: Language, value: Any) -> str:
    if not isinstance(value, int) or value not in set(Closure):
        return ""
    return text.say(language, f"web.closure.{Closure(value).name.lower()}")


def closure(language: Language, value: int | None) -> str:
    """The reason of a closing in words, or "" where there is none."""
    return _closure(language, value)
