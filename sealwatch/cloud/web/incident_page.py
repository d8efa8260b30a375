"""What the incident page and the answer page have in common: the picture, the curve, the people, in one dictionary."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from starlette.requests import Request

from sealwatch.base.text import Language
from sealwatch.cloud.db.duty_tables import WorkPermit
from sealwatch.cloud.evidence.preview import size_px
from sealwatch.cloud.maps import links
from sealwatch.cloud.maps.datum import Position
from sealwatch.cloud.permits import store as permit_store
from sealwatch.cloud.ports import EvidenceStore, Series, TelemetryStore
from sealwatch.cloud.web import life, step_forms, story, words
from sealwatch.cloud.web.curve import Curve, Window, draw
from sealwatch.cloud.web.views import AlarmView, EventView, IncidentView
from sealwatch.contract.codes import AlarmKind, Closure

logger = logging.getLogger(__name__)
METRIC: Final = "active_power_w"
SPAN_MS: Final = 2 * 3600 * 1000
_SHORTER_SPANS_MS: Final = (15 * 60_000, 30 * 60_000, 60 * 60_000)
AFTERMATH_MS: Final = 15 * 60 * 1000
"""A closed incident's curve ends this long after the closing, so that it shows what came of it."""
_MOST_METERS: Final = 3
_MOST_PICTURES: Final = 6
_MOST_POINTS: Final = 600
CHARTED: Final = frozenset(
    {AlarmKind.POWER_STEP, AlarmKind.HOIST_LIKE_CYCLE, AlarmKind.POWER_ANOMALY, AlarmKind.METER_FAULT}
)
"""Alarms whose picture is a chart that the node drew of its meter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A snapshot as the page shows it, or why it does not."""

    state: Literal["shown", "none", "awaited", "altered", "unreadable", "hidden"]
    url: str = ""
    source_id: str = ""
    at_ms: int = 0
    width_px: int = 0
    height_px: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """The power of the site's meters over one span."""

    from_ms: int
    to_ms: int
    curves: list[Curve]
    opened_percent: float | None
    shaded: bool


def shared(
    incident: IncidentView,
    *,
    language: Language,
    now_ms: int,
    telemetry: TelemetryStore,
    evidence: EvidenceStore,
    base_url: str,
    permits: Sequence[WorkPermit],
    sees_evidence: bool = True,
) -> dict[str, Any]:
    """The template values of an incident; pictures and clips lie below `base_url`, for those who see any."""
    pictures_url, site = f"{base_url}/pictures", incident.card.site
    shown = pictures(incident.alarms, evidence, pictures_url) if sees_evidence else [Picture(state="hidden")]
    return {
        "incident": incident,
        "picture": shown[0],
        "sent_pictures": sent_pictures(incident, evidence, pictures_url) if sees_evidence else [],
        "more_pictures": [picture for picture in shown[1:] if picture.state == "shown"],
        "clip": _clip(incident, base_url) if sees_evidence else None,
        "permits": [permit_values(permit, now_ms) for permit in permits],
        "map_links": []
        if site.latitude_deg is None or site.longitude_deg is None
        else links.navigation(Position(site.latitude_deg, site.longitude_deg), site.name(language)),
        "chart": chart(incident, telemetry, now_ms=now_ms),
        "paging": story.paging(language, incident),
        "history": story.history(language, incident),
        "closure": story.closure(language, incident.card.closure),
    }


def acting(
    request: Request, incident: IncidentView, *, language: Language, actor: str, by_link: bool = False
) -> dict[str, Any]:
    """The template values of what `actor` may do now, and of what became of their last press."""
    card = incident.card
    said = request.query_params.get(step_forms.SAID, "")
    return {
        "choices": life.choices(incident, actor=actor, by_link=by_link),
        "stages": life.stages(incident),
        "closures": [(int(c), story.closure(language, int(c))) for c in Closure],
        "said_as": story.closure(language, card.handled_as),
        "shelf_hours": step_forms.SHELF_HOURS,
        "said": words.phrase(language, f"steps.said.{said}", "") if said.isidentifier() else "",
    }


def sent_pictures(incident: IncidentView, evidence: EvidenceStore, url: str) -> list[tuple[Picture, EventView]]:
    """The pictures that people sent from the site, the newest first, with the line of history each came with."""
    sent = [(sha256, event) for event in reversed(incident.events) for sha256 in event.attachments()][:_MOST_PICTURES]
    read = [(_read(sha256, evidence, url, source_id="", at_ms=event.at_ms), event) for sha256, event in sent]
    return [(picture, event) for picture, event in read if picture.state == "shown"]


def _clip(incident: IncidentView, base_url: str) -> dict[str, Any] | None:
    """The recording to play: that of the latest alarm. None where none has arrived."""
    for clip in incident.clips:
        return {
            "url": f"{base_url}/clips/{clip.sha256}",
            "size_bytes": clip.size_bytes,
            "source_id": clip.source_id,
        }
    return None


def permit_values(permit: WorkPermit, now_ms: int) -> dict[str, Any]:
    """A permit as the pages show it: when it really ends, and whether it covers this moment."""
    fields = ("purpose", "from_ms", "from_hour", "to_hour", "max_people", "max_power_w", "responsible", "telephone")
    work = permit_store.as_work(permit)
    return {name: getattr(permit, name) for name in fields} | {"to_ms": work.to_ms, "holds": work.covers(now_ms)}


def pictures(alarms: Sequence[AlarmView], evidence: EvidenceStore, url: str) -> list[Picture]:
    """The pictures of the alarms, never an empty list: what can be shown first, within that cameras before the charts
    of meters, within that the newest first."""
    found: dict[str, Picture] = {}
    for alarm in sorted(alarms, key=lambda a: (a.kind in CHARTED, -a.started_at_ms)):
        if alarm.snapshot_sha256 is not None and len(found) < _MOST_PICTURES:
            sha256, at_ms = alarm.snapshot_sha256, alarm.started_at_ms
            found.setdefault(sha256, _read(sha256, evidence, url, source_id=alarm.source_id, at_ms=at_ms))
    shown_first = sorted(found.values(), key=lambda picture: picture.state != "shown")
    return shown_first or [Picture(state="none")]


def _read(sha256: str, evidence: EvidenceStore, url: str, *, source_id: str, at_ms: int) -> Picture:
    try:
        data = evidence.get(sha256)
    except ValueError:
        return Picture(state="altered")
    if data is None:
        return Picture(state="awaited")
    try:
        width_px, height_px = size_px(data)
    except ValueError:
        return Picture(state="unreadable")
    return Picture(
        state="shown",
        url=f"{url}/{sha256}",
        source_id=source_id,
        at_ms=at_ms,
        width_px=width_px,
        height_px=height_px,
    )


def chart(incident: IncidentView, telemetry: TelemetryStore, *, now_ms: int) -> Chart:
    """The last two hours; for a closed incident the two hours that end shortly after its closing."""
    card = incident.card
    to_ms = now_ms if card.closed_at_ms is None else min(now_ms, card.closed_at_ms + AFTERMATH_MS)

    def read(from_ms: int) -> dict[str, Series]:
        try:
            return telemetry.read(
                site_id=card.site.site_id, metric=METRIC, from_ms=from_ms, to_ms=to_ms, max_points=_MOST_POINTS
            )
        except OSError as error:  # the page of an incident is wanted most when something is broken
            logger.warning("incident %s is shown without its power curve: %s", card.incident_id, error)
            return {}

    found = read(to_ms - SPAN_MS)
    span_ms = _span_ms(found, opened_at_ms=card.opened_at_ms, to_ms=to_ms)
    if span_ms < SPAN_MS:
        found = read(to_ms - span_ms)
    from_ms = to_ms - span_ms
    windows = [
        Window(from_ms=alarm.started_at_ms, to_ms=to_ms if alarm.ended_at_ms is None else alarm.ended_at_ms)
        for alarm in incident.alarms
    ]
    drawn = [
        draw(series, source_id=source_id, from_ms=from_ms, to_ms=to_ms, windows=windows)
        for source_id, series in sorted(found.items())
    ]
    curves = [curve for curve in drawn if curve is not None][:_MOST_METERS]
    opened = (card.opened_at_ms - from_ms) / span_ms * 100
    return Chart(
        from_ms=from_ms,
        to_ms=to_ms,
        curves=curves,
        opened_percent=round(opened, 2) if 0 <= opened <= 100 else None,
        shaded=any(curve.shades for curve in curves),
    )


def _span_ms(found: Mapping[str, Series], *, opened_at_ms: int, to_ms: int) -> int:
    """Two hours, or less where a meter was put in only lately: its few readings are not pressed against the edge."""
    first_ms = min((series.at_ms[0] for series in found.values()), default=to_ms)
    wanted_ms = to_ms - min(first_ms, opened_at_ms)
    return next((span_ms for span_ms in _SHORTER_SPANS_MS if span_ms >= wanted_ms), SPAN_MS) if found else SPAN_MS
