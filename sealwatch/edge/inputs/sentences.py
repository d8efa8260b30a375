"""What inputs say to people, in both languages."""

from __future__ import annotations

import time

from sealwatch.base import text
from sealwatch.base.text import Language
from sealwatch.contract.codes import Phase

_UTC8_S = 8 * 3600


def state_sentences(kind: str, name: str, *, phase: Phase, reason: str, at_ms: int, changes: int) -> tuple[str, str]:
    """An alarm of an input's state."""
    key = f"inputs.{reason}" if reason in ("chattering", "at_rest") else f"inputs.out_of_rest.{kind}"
    if phase is Phase.END:
        key = f"inputs.at_rest.{kind}"
    return _both(key, name=name, at=clock_time(at_ms), changes=changes)


def line_sentences(name: str, *, reason: str, at_ms: int) -> tuple[str, str]:
    """An alarm about what an input says not being believable."""
    return _both(f"inputs.{reason}", name=name, at=clock_time(at_ms))


def wire_sentences(name: str, *, reason: str, at_ms: int) -> tuple[str, str]:
    """An alarm about a whole module. An unknown reason is told by its name."""
    key = f"inputs.wire.{reason}"
    return _both(
        key if key in text.catalogue() else "inputs.wire.other", name=name, reason=reason, at=clock_time(at_ms)
    )


def clock_time(at_ms: int) -> str:
    """Hours and minutes of China's time."""
    return time.strftime("%H:%M", time.gmtime(at_ms / 1000 + _UTC8_S))


def _both(key: str, **values: object) -> tuple[str, str]:
    return text.say(Language.ZH, key, **values), text.say(Language.EN, key, **values)
