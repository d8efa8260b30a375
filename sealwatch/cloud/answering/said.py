"""What a short answer means: pure.

    1, 去, 我去                 going
    2, 去不了, 不能去           can't: next please
    30 … 34, or 3, 误报 (= 30)  what it was: 3 and the closure code

A number of the page may follow (`1 4f9c2a71`, as the text message names it), for who has several pages. Anything else
means nothing: it is kept, and the ladder goes on.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from sealwatch.contract.codes import Closure

PAGE_DIGITS: Final = 8
"""So much of a page_id stands in a text message."""
_GOING: Final = frozenset({"1", "去", "我去"})
_CANNOT: Final = frozenset({"2", "去不了", "不能去"})
_CLOSURES: Final = {"3": 0, "误报": 0} | {f"3{int(code)}": int(code) for code in Closure}
_SHAPE: Final = re.compile(r"^(\S+?)(?:[\s,;#]+([0-9a-f]{4,8}))?[.!]?$")


@dataclass(frozen=True, slots=True)
class Said:
    """The answer, and the beginning of a page's number where one was named. `closure` only for "closes"."""

    what: Literal["going", "cannot", "closes"]
    page: str = ""
    closure: Closure | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A page that a person may be answering."""

    page_id: str
    incident_id: str
    unanswered: bool


def parse(text: str) -> Said | None:
    """What was said; None where it means nothing here. Full-width digits and spaces are read as plain ones."""
    found = _SHAPE.match(unicodedata.normalize("NFKC", text).strip().lower().rstrip("。!."))
    if found is None:
        return None
    word, page = found[1], found[2] or ""
    if word in _GOING:
        return Said("going", page)
    if word in _CANNOT:
        return Said("cannot", page)
    if word in _CLOSURES:
        return Said("closes", page, Closure(_CLOSURES[word]))
    return None


def choose(said: Said, asked: Sequence[Asked]) -> str:
    """The incident that is meant: that of the named page; else the only one, or the only one nobody has answered.

    "none" where there is none, "several" where it can't be told.
    """
    named = [one for one in asked if one.page_id.startswith(said.page)] if said.page else list(asked)
    incidents = {one.incident_id for one in named}
    if len(incidents) > 1 and not said.page:
        incidents = {one.incident_id for one in named if one.unanswered}
    if len(incidents) > 1:
        return "several"
    return incidents.pop() if incidents else "none"
