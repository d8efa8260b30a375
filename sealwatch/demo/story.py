"""What happens, as lines of a story. Pure: two looks at the service in, the lines between them out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sealwatch.base import text
from sealwatch.base.text import Language

Incident = dict[str, Any]
"""An incident as the service's API gives it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One thing that happened, in both languages; `tone` is the level's name or "plain", "good", "bad"."""

    zh: str
    en: str
    tone: str = "plain"


def between(before: Incident | None, after: Incident) -> list[Line]:
    """What happened to one incident between two looks at it."""
    old = before or {"alarms": [], "pages": [], "level": None, "acknowledged_at_ms": None}
    lines = _alarms(old, after)
    if before is None:
        lines.append(_incident("demo.incident_opened", after))
    elif old["level"] != after["level"]:
        lines.append(_incident("demo.incident_raised", after))
    lines += _pages(old, after)
    if old["acknowledged_at_ms"] is None and after["acknowledged_at_ms"] is not None:
        name = after["acknowledged_name"]
        lines.append(
            Line(
                zh=text.say(Language.ZH, "demo.acknowledged", name=name or text.say(Language.ZH, "demo.desk")),
                en=text.say(Language.EN, "demo.acknowledged", name=name or text.say(Language.EN, "demo.desk")),
                tone="good",
            )
        )
    return lines


def _alarms(old: Incident, after: Incident) -> list[Line]:
    known = {alarm["alarm_id"]: alarm for alarm in old["alarms"]}
    lines = []
    for alarm in after["alarms"]:
        was = known.get(alarm["alarm_id"])
        if was is None:
            lines.append(_said("demo.alarm", alarm, alarm["sentence_zh"], alarm["sentence_en"], tone=alarm["level"]))
        elif was["phase"] != "end" and alarm["phase"] == "end":
            lines.append(_said("demo.alarm_ended", alarm, alarm["sentence_zh"], alarm["sentence_en"]))
    return lines


def _pages(old: Incident, after: Incident) -> list[Line]:
    known = {page["page_id"]: page["state"] for page in old["pages"]}
    lines = []
    for page in after["pages"]:
        was, now = known.get(page["page_id"]), page["state"]
        if was == now:
            continue
        # A page may be submitted and answered between two looks.
        if page["submitted_at_ms"] is not None and was in (None, "due", "sending"):
            lines.append(_both("demo.page_submitted", name=page["name"], channel=page["channel"]))
        elif now == "failed":
            lines.append(_both("demo.page_failed", tone="bad", name=page["name"], channel=page["channel"]))
    return lines


def _incident(key: str, incident: Incident) -> Line:
    return _said(key, incident, incident["sentence_zh"], incident["sentence_en"], tone=incident["level"])


def _said(key: str, item: dict[str, Any], zh: str, en: str, *, tone: str = "plain") -> Line:
    level = item["level"]
    return Line(
        zh=text.say(Language.ZH, key, sentence=zh, level=text.say(Language.ZH, f"level.{level}")),
        en=text.say(Language.EN, key, sentence=en, level=text.say(Language.EN, f"level.{level}")),
        tone=tone,
    )


def _both(key: str, *, tone: str = "plain", **values: object) -> Line:
    return Line(zh=text.say(Language.ZH, key, **values), en=text.say(Language.EN, key, **values), tone=tone)
