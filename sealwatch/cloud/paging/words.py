"""What a page says. Pure: from rows already read to a title and a body in the reader's language."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sealwatch.base import text
from sealwatch.base.text import Language

SENTENCES: Final = 4
"""A page shows this many alarms in words; the page behind the link shows all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What there is to say. `sentences` are (zh, en) of the alarms, the most urgent first."""

    level: str
    verdict: str
    why: str
    site_zh: str
    site_en: str
    township_zh: str
    township_en: str
    declared_status: str
    opened_at_ms: int
    sentences: Sequence[tuple[str, str]]
    occasion: str
    cycle: int


def compose(story: Story, *, language: str, person_name: str, answer_url: str) -> tuple[str, str]:
    """Title (one line) and body (plain text, one thought a line)."""
    speech = Language(language)
    chinese = speech is Language.ZH
    site = story.site_zh if chinese else story.site_en
    township = story.township_zh if chinese else story.township_en
    title = text.say(
        speech,
        "page.title",
        level=_name(speech, "level", story.level),
        site=site,
        verdict=_name(speech, "verdict", story.verdict),
    )
    place = "page.place" if township else "page.place_without_township"
    time = datetime.fromtimestamp(story.opened_at_ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    lines = [
        text.say(speech, "page.greeting", name=person_name),
        *_occasion(speech, story),
        text.say(speech, "page.why", why=_name(speech, "why", story.why)),
        *(text.say(speech, "page.alarm", sentence=zh if chinese else en) for zh, en in story.sentences[:SENTENCES]),
    ]
    if len(story.sentences) > SENTENCES:
        lines.append(text.say(speech, "page.more_alarms", count=len(story.sentences) - SENTENCES))
    declared = _name(speech, "declared", story.declared_status)
    lines += [
        text.say(speech, "page.declared", declared=declared),
        text.say(speech, place, site=site, township=township),
        text.say(speech, "page.since", time=time),
        text.say(speech, "page.answer", url=answer_url),
    ]
    return " ".join(title.split()), "\n".join(lines)


def _occasion(speech: Language, story: Story) -> list[str]:
    if story.occasion == "level_raised":
        return [text.say(speech, "page.raised")]
    if story.cycle > 1:
        return [text.say(speech, "page.again", cycle=story.cycle)]
    return []


def _name(speech: Language, family: str, name: str) -> str:
    """A name in words; the name itself where this version has no word for it, because the page must go out."""
    key = f"{family}.{name}"
    return text.say(speech, key) if key in text.catalogue() else name
