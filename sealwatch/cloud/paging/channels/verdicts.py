"""A vendor's result codes as data, and what they make of a page. Pure.

Every vendor module has one table, code -> `Meaning`. A code that is not in it is a failure that is not tried again:
its number and sentence stand in the page's outcome, and the ladder goes on with its next step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from sealwatch.cloud.ports import Submission

SHOWN: Final = 500
"""Characters of a receiver's answer that are kept."""
MUTED_S: Final = 600.0
"""Ten minutes: how long DingTalk mutes a robot that was too fast, and our pause where a vendor gives no figure."""
MISCONFIGURED_S: Final = 300.0
"""A channel that refuses everybody is left alone this long, so that a cure is noticed within minutes."""
_TRANSIENT: Final = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a result code stands for."""

    reason: str
    retry: bool = False  # the same channel may take the same page a moment later
    pause_s: float = 0.0  # nobody can be reached over this channel for so long


TAKEN: Final = Meaning("taken")
BUSY: Final = Meaning("vendor_busy", retry=True)
TOO_FAST: Final = Meaning("robot_muted", pause_s=MUTED_S)


def by_code(code: object, message: object, table: Mapping[Any, Meaning], *, detail: str = "") -> Submission:
    """The submission that a result code stands for; `detail` is what the vendor gave as a receipt."""
    meaning = table.get(code, Meaning("vendor_refused"))
    outcome = f"{meaning.reason}: {code} {message}" + (f" ({detail})" if detail else "")
    return Submission(
        ok=meaning is TAKEN,
        outcome=outcome[:SHOWN],
        retry=meaning.retry,
        reason=meaning.reason,
        pause_s=meaning.pause_s,
    )


def http_failure(status: int, body: bytes) -> Submission:
    """A status outside 2xx whose body says nothing in the vendor's own words."""
    shown = f"{status} {body[:SHOWN].decode('utf-8', 'replace')}".strip()
    retry = status >= 500 or status in _TRANSIENT
    reason = "http_trouble" if retry else "http_refused"
    return Submission(ok=False, outcome=f"{reason}: {shown}", retry=retry, reason=reason)


def not_understood(status: int, body: bytes) -> Submission:
    """A 2xx that says nothing we know: no proof that the page was taken, so it was not."""
    shown = f"{status} {body[:SHOWN].decode('utf-8', 'replace')}".strip()
    return Submission(ok=False, outcome=f"answer_not_understood: {shown}", reason="answer_not_understood")


def fields(body: bytes) -> dict[str, Any]:
    """The JSON object of an answer; empty where it is none."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def number(value: object) -> int | None:
    """A result code that is a whole number; None for anything else, truth values included."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None
