"""Pages as cards with buttons: what the chats of three vendors have in common. Pure but for the sending handed in.

A card that the vendor refuses goes out as plain text at once: the page matters more than its buttons.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from sealwatch.cloud.paging import choices
from sealwatch.cloud.paging.channels import verdicts
from sealwatch.cloud.paging.choices import Choice
from sealwatch.cloud.ports import PageRequest, Submission

LONGEST_URL: Final = 500
"""Characters; DingTalk's own limit for the address of a button."""
_REFUSED: Final = frozenset({"message_refused", "vendor_refused"})
_MARKS: Final = str.maketrans("*_`[]<>#~|", "＊＿｀［］＜＞＃～｜")
Message = Mapping[str, Any]


def buttons(request: PageRequest) -> list[Choice]:
    """The buttons of a page; none where it has no answer, or where an address is too long for a button."""
    found = choices.of(request)
    return found if all(len(one.url) <= LONGEST_URL for one in found) else []


def plain_markdown(text: str) -> str:
    """Text that reads the same where it is taken for Markdown: marks become their full-width twins, lines paragraphs.

    Not escaped with backslashes: which of them a chat shows is written nowhere.
    """
    return "\n\n".join(line.translate(_MARKS) for line in text.split("\n"))


def sent(card: Message | None, text: Message, send: Callable[[Message], Submission]) -> Submission:
    """Send the card, and the text where there is no card or the vendor refuses it."""
    if card is None:
        return send(text)
    first = send(card)
    if first.ok or first.reason not in _REFUSED:
        return first
    second = send(text)
    outcome = f"{second.outcome} (the card was refused: {first.outcome})"[: verdicts.SHOWN]
    return Submission(
        ok=second.ok, outcome=outcome, retry=second.retry, reason=second.reason, pause_s=second.pause_s
    )  # fmt: skip
