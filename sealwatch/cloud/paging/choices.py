"""The three answers of a page as links, for chats and notifications that can show buttons. Pure.

Each leads to the page of the signed link with that answer in front; nothing is done before it is pressed there, because
servers of mail and chat open links by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args
from urllib.parse import urlsplit

from sealwatch.base import text
from sealwatch.cloud.ports import PageRequest

Answer = Literal["going", "next", "false_alarm"]
ANSWERS: Final[tuple[Answer, ...]] = get_args(Answer)
PARAMETER: Final = "do"


@dataclass(frozen=True, slots=True)
class Choice:
    """One button."""

    answer: Answer
    words: str
    url: str


def of(request: PageRequest) -> list[Choice]:
    """The buttons of a page; none for what has no answer, such as a digest, a report or a test."""
    if not urlsplit(request.answer_url).path.startswith("/a/"):
        return []
    return [
        Choice(
            answer,
            text.say(request.language, f"choices.{answer}"),
            f"{request.answer_url}?{PARAMETER}={answer}" + ("#step-close" if answer == "false_alarm" else ""),
        )
        for answer in ANSWERS
    ]


def without_link(request: PageRequest) -> str:
    """The text without the line of the link, where buttons stand for it."""
    return "\n".join(line for line in request.body.split("\n") if request.answer_url not in line)
