"""Several pages in one message for a group: who is asked for, about what, and the link of each. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from sealwatch.base import text
from sealwatch.cloud.ports import PageRequest
from sealwatch.contract.codes import Level

SHOWN: Final = 8
"""Pages in words; the rest is a number and a link to the desk."""
_ORDER: Final = {str(level): level.urgency for level in Level}


def compose(shown: Sequence[PageRequest], page_ids: Sequence[str]) -> PageRequest:
    """One request for all of `page_ids`, of which `shown` (at least one) are told in words.

    Its page_id is made from theirs, so that the same digest sent again has the same one.
    """
    first, language = shown[0], shown[0].language
    level = min((request.level for request in shown), key=lambda name: _ORDER.get(name, len(_ORDER)))
    parts = urlsplit(first.answer_url)
    desk = f"{parts.scheme}://{parts.netloc}/"
    word = text.say(language, f"level.{level}") if f"level.{level}" in text.catalogue() else level
    lines = [
        text.say(language, "channels.digest.line", person=one.person_name, title=one.title, url=one.answer_url)
        for one in shown[:SHOWN]
    ]
    if len(page_ids) > len(lines):
        lines.append(text.say(language, "channels.digest.more", count=len(page_ids) - len(lines), url=desk))
    addresses = dict.fromkeys(one.address for one in shown if one.address)
    return PageRequest(
        page_id=hashlib.sha256("".join(sorted(page_ids)).encode()).hexdigest()[:32],
        incident_id=first.incident_id,
        person_name=", ".join(dict.fromkeys(one.person_name for one in shown)),
        language=language,
        level=level,
        title=text.say(language, "channels.digest.title", level=word, count=len(page_ids)),
        body="\n".join(lines),
        answer_url=desk,
        address=",".join(addresses),
    )
