"""What goes into the variables of an approved text: short plain values, as vendors forbid links and length there."""

from __future__ import annotations

from typing import Final, Literal

from sealwatch.base import text
from sealwatch.cloud.ports import PageRequest

Field = Literal["title", "person", "level", "page"]
LONGEST: Final = 35


def value(request: PageRequest, field: Field, longest: int = LONGEST) -> str:
    """The value of one variable, at most `longest` characters.

    `page` is the short number of the page, which its reader can name to the duty desk. There is no variable for the
    link: Aliyun (isv.PARAM_NOT_SUPPORT_URL) and Tencent Cloud (1048) refuse links in variables.
    """
    match field:
        case "title":
            found = request.title
        case "person":
            found = request.person_name
        case "level":
            key = f"level.{request.level}"
            found = text.say(request.language, key) if key in text.catalogue() else request.level
        case "page":
            found = request.page_id[:8]
    return found[:longest]
