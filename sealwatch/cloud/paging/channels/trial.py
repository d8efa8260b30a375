"""One page marked as a test to one person over one channel, and what the answer means in words."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from sealwatch.base import text
from sealwatch.base.errors import UsageError
from sealwatch.base.text import Language
from sealwatch.cloud.config import CloudSettings, address_of
from sealwatch.cloud.ports import PageChannel, PageRequest, Submission


def run(
    settings: CloudSettings, channels: Mapping[str, PageChannel], name: str, person_id: str, language: Language
) -> tuple[Submission, list[str]]:
    """Send it; the answer, and its explanation line by line. Raises UsageError for an unknown channel or person."""
    if name not in channels:
        known = ", ".join(sorted(channels)) or "none is configured"
        raise UsageError(f"there is no channel {name}; known: {known}")
    person = next((one for one in settings.people if one.person_id == person_id), None)
    if person is None:
        raise UsageError(f"{person_id} is not among the people; use a person_id of [[people]]")
    address = address_of(settings, person, name)
    needs = {one.name: one.needs for one in settings.channels}.get(name, "address")
    if needs and not address:
        raise UsageError(f"{person_id} has no address for {name}; add it to [[people]]")
    page_id = secrets.token_hex(16)
    speech = Language(person.language)
    request = PageRequest(
        page_id=page_id,
        incident_id="test",
        person_name=person.name,
        language=person.language,
        level="blue",
        title=text.say(speech, "channels.test.title", channel=name),
        body=text.say(speech, "channels.test.body", person=person.name, number=page_id[:8]),
        answer_url=f"{settings.web.public_url}/",
        address=address,
    )
    submission = channels[name].submit(request)
    return submission, explained(submission, name=name, person=person.name, number=page_id[:8], language=language)


def explained(submission: Submission, *, name: str, person: str, number: str, language: Language) -> list[str]:
    """What an answer means. Pure."""
    values = {"channel": name, "person": person, "outcome": submission.outcome}
    if submission.ok:
        return [text.say(language, "channels.test.taken", number=number, **values)]
    lines = [text.say(language, "channels.test.refused", **values)]
    if submission.retry:
        lines.append(text.say(language, "channels.test.retry"))
    if submission.pause_s > 0:
        lines.append(text.say(language, "channels.test.pause", pause_s=f"{submission.pause_s:g}"))
    return lines
