"""What a verification can say: a named reason, the member it is about, and the figures behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sealwatch.base import text

# Worth knowing, and no reason to doubt the files: the clock was not right, or a second signature was not asked about.
NOTES = frozenset(
    {
        "clock_unsynchronised",
        "clock_holdover",
        "clock_offset",
        "clock_stepped_back",
        "sealed_later",
        "footage_gap",
    }
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found. `member` is a file of the pack, with a line number where it has lines."""

    reason: str
    member: str
    values: Mapping[str, object] = field(default_factory=dict)

    @property
    def is_note(self) -> bool:
        """A note informs; everything else means that the pack does not hold."""
        return self.reason in NOTES

    def sentence(self, language: text.Language | str) -> str:
        """What was found and what it means, for a person."""
        return text.say(language, f"evidence.finding.{self.reason}", member=self.member, **self.values)
