"""A claimed page into what its channel is handed."""

from __future__ import annotations

from typing import Final, Protocol

from sqlalchemy import case, select
from sqlalchemy.orm import Session

from sealwatch.base.text import Language
from sealwatch.cloud.db.tables import AlarmRecord, Incident, Page, Site
from sealwatch.cloud.incidents import outage
from sealwatch.cloud.paging import ladder as ladders
from sealwatch.cloud.paging import words
from sealwatch.cloud.ports import PageRequest
from sealwatch.contract.codes import Level

LINK_HOLDS_S: Final = 24 * 3600
"""How long an answer link works. An incident that waits longer has been paged again by then."""
_MOST_ALARMS: Final = 50


class AnswerLinks(Protocol):
    """Makes the link that answers one page (`sealwatch.cloud.auth.links.LinkSigner`)."""

    def answer_url(self, *, incident_id: str, person_id: str, page_id: str, expires_at_ms: int) -> str: ...


def build(session: Session, page_id: str, links: AnswerLinks, *, now_ms: int) -> PageRequest:
    """Everything the channel needs, in the words of this moment: a page that waited tells what has happened since."""
    page = session.get_one(Page, page_id)
    incident = session.get_one(Incident, page.incident_id)
    site = session.get_one(Site, incident.site_id)
    step = ladders.from_json(incident.ladder).steps[page.step]
    url = links.answer_url(
        incident_id=incident.incident_id,
        person_id=page.person_id,
        page_id=page.page_id,
        expires_at_ms=now_ms + LINK_HOLDS_S * 1000,
    )
    names = outage.names_of(session, incident) if incident.scope == outage.AREA else None
    story = words.Story(
        level=incident.level,
        verdict=incident.verdict,
        why=incident.reason,
        site_zh=names[Language.ZH] if names else site.name_zh,
        site_en=names[Language.EN] if names else site.name_en,
        township_zh=site.township_zh,
        township_en=site.township_en,
        declared_status=site.declared_status,
        opened_at_ms=incident.opened_at_ms,
        sentences=_sentences(session, incident.incident_id),
        occasion=page.occasion,
        cycle=page.cycle,
    )
    title, body = words.compose(story, language=step.language, person_name=step.name, answer_url=url)
    return PageRequest(
        page_id=page.page_id,
        incident_id=incident.incident_id,
        person_name=step.name,
        language=step.language,
        level=incident.level,
        title=title,
        body=body,
        answer_url=url,
        address=step.address,
    )


def _sentences(session: Session, incident_id: str) -> list[tuple[str, str]]:
    """What the alarms say, the most urgent and newest first, each sentence once."""
    rank = case({str(level): level.urgency for level in Level}, value=AlarmRecord.level, else_=len(Level))
    rows = session.execute(
        select(AlarmRecord.sentence_zh, AlarmRecord.sentence_en)
        .where(AlarmRecord.incident_id == incident_id)
        .order_by(rank, AlarmRecord.captured_at_ms.desc())
        .limit(_MOST_ALARMS)
    )
    return list(dict.fromkeys((row.sentence_zh, row.sentence_en) for row in rows))
