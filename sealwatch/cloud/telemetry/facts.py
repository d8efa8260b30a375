"""What the service itself knows, as points: incidents, pages, alarms, nodes, ingestion. Pure: rows in, blocks out.

The service calls these after its commits and hands the blocks to the telemetry store. Points carry the time of the
fact, not of the call, so that telling one twice leaves one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from sealwatch.cloud.db.tables import Incident, IncidentEvent, Page
from sealwatch.cloud.telemetry.catalogue import BY_NAME
from sealwatch.cloud.telemetry.columns import Columns
from sealwatch.contract.codes import AlarmKind, Level, Phase, VideoFault
from sealwatch.contract.messages import Alarm, Origin, Status

Told = Alarm | Status | Origin
"""What ingestion hands in: an alarm or a state whole, of everything else who said it and when."""
SERVICE: Final = "service"  # the node_id of what no node told
_TRANSITIONS: Final = {
    "opened": "incident_opened_count",
    "acknowledged": "incident_acknowledged_count",
    "closed": "incident_closed_count",
}
_LOADS: Final = frozenset({AlarmKind.POWER_STEP, AlarmKind.HOIST_LIKE_CYCLE})
_STEP_NUMBERS: Final = ("step_w", "pulse_w")


def level_number(level: str) -> float:
    """4 for red down to 1 for blue; 0 stands for no incident."""
    return float(4 - Level(level).urgency)


def _point(site_id: str, source_id: str, at_ms: int, values: Mapping[str, float], *, node_id: str = SERVICE) -> Columns:
    return Columns(
        site_id=site_id,
        node_id=node_id,
        source_id=source_id,
        at_ms=[at_ms],
        values={name: [value] for name, value in values.items()},
    )


def of_incident(incident: Incident, event: IncidentEvent) -> list[Columns]:
    """A line of an incident's history; nothing for lines that change no state."""
    metric = _TRANSITIONS.get(event.kind)
    values = {metric: 1.0} if metric else {}
    if event.kind == "closed":
        values["incident_open_level"] = 0.0
    elif event.kind in {"opened", "reopened"}:
        values["incident_open_level"] = level_number(incident.level)
    elif event.kind == "level_raised":
        values["incident_open_level"] = level_number(str(event.detail["to"]))
    return [_point(incident.site_id, "incident", event.at_ms, values)] if values else []


def of_page(site_id: str, page: Page) -> list[Columns]:
    """What became of a page: its attempt, its failure, its answer."""
    found = []
    if page.submitted_at_ms is not None:
        found.append(_point(site_id, page.person_id, page.submitted_at_ms, {"page_attempt_count": 1.0}))
        if page.answered_at_ms is not None:
            seconds = (page.answered_at_ms - page.submitted_at_ms) / 1000
            found.append(_point(site_id, page.person_id, page.answered_at_ms, {"page_answer_time_s": seconds}))
    if page.state == "failed":
        found.append(_point(site_id, page.person_id, page.due_at_ms, {"page_failed_count": 1.0}))
    return found


def of_alarm(alarm: Alarm) -> list[Columns]:
    """One transition of an alarm: its start, its end, a camera's fault, a recognised load."""
    start: dict[str, float] = {"alarm_start_count": 1.0}
    end: dict[str, float] = {"alarm_end_count": 1.0}
    if alarm.kind == AlarmKind.CAMERA_FAULT:
        start["camera_fault_code"] = fault_code(alarm.reason, alarm.numbers)
        end["camera_fault_code"] = 0.0
    if alarm.kind in _LOADS:
        start["load_event_count"] = 1.0
        step = next((alarm.numbers[n] for n in _STEP_NUMBERS if n in alarm.numbers), None)
        if step is not None:
            start["load_step_w"] = float(step)
    origin = alarm.origin
    found = [_point(origin.site_id, alarm.source_id, alarm.started_at_ms, start, node_id=origin.node_id)]
    if alarm.phase is Phase.END:
        found.append(_point(origin.site_id, alarm.source_id, origin.captured_at_ms, end, node_id=origin.node_id))
    return found


def fault_code(reason: str, numbers: Mapping[str, float]) -> float:
    """1 to 9 after the codes of deployed platforms; 10 where the reason names none of them."""
    if "fault_code" in numbers:
        return float(numbers["fault_code"])
    named = next((fault for fault in VideoFault if fault.name.lower() in reason), None)
    return 10.0 if named is None else float(int(named.value))


def of_status(status: Status) -> list[Columns]:
    """A node's word about itself and its parts: health, and those figures that the catalogue knows."""
    online = float(status.state == "online")
    node = _point(
        status.site_id,
        status.node_id,
        status.reported_at_ms,
        {"node_online": online, "outbox_depth_count": float(status.outbox_depth)},
        node_id=status.node_id,
    )
    parts = [
        _point(
            status.site_id,
            part.part_id,
            status.reported_at_ms,
            {"part_ok": float(part.ok)} | {name: value for name, value in part.numbers.items() if name in BY_NAME},
            node_id=status.node_id,
        )
        for part in status.parts
    ]
    return [node, *parts]


def of_ingest(origins: Iterable[tuple[Origin, int]]) -> list[Columns]:
    """Lag of messages that were stored: (origin, received_at_ms) pairs, the largest of each node and second."""
    worst: dict[tuple[str, str, int], float] = {}
    for origin, received_at_ms in origins:
        key = (origin.site_id, origin.node_id, received_at_ms // 1000 * 1000)
        worst[key] = max(worst.get(key, 0.0), float(received_at_ms - origin.enqueued_at_ms))
    by_node: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for (site_id, node_id, at_ms), lag_ms in worst.items():
        by_node.setdefault((site_id, node_id), []).append((at_ms, lag_ms))
    return [
        Columns(
            site_id=site_id,
            node_id=node_id,
            source_id="ingest",
            at_ms=[at for at, _ in sorted(rows)],
            values={"ingest_lag_ms": [lag for _, lag in sorted(rows)]},
        )
        for (site_id, node_id), rows in by_node.items()
    ]


def of_workers(alive: Mapping[str, bool], at_ms: int) -> list[Columns]:
    """Each worker of the service, and whether it turned its wheel since the last call."""
    return [_point(SERVICE, worker, at_ms, {"worker_alive": float(turned)}) for worker, turned in alive.items()]
