"""Every metric by name: unit, where it comes from, what it means. The table in `docs/telemetry.md` is made from here.

Tags are the same everywhere: `county`, `site_id`, `node_id`, `source_id`. What `source_id` names is said by `source`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Metric:
    """One name. `source`: what its `source_id` names; `written_by`: node (samples) or service (its own facts)."""

    name: str
    unit: str
    source: str
    written_by: str
    meaning: str


def _phases(stem: str, tail: str, unit: str, what: str) -> tuple[Metric, ...]:
    return tuple(
        Metric(f"{stem}_{phase}{tail}", unit, "meter", "node", f"{what}, phase {phase.upper()}") for phase in "abc"
    )


CATALOGUE: Final[tuple[Metric, ...]] = (
    Metric("active_power_w", "W", "meter", "node", "Active power, all phases; negative when fed back"),
    *_phases("active_power", "_w", "W", "Active power"),
    Metric("reactive_power_var", "var", "meter", "node", "Reactive power, all phases"),
    *_phases("voltage", "_v", "V", "Voltage"),
    *_phases("current", "_a", "A", "Current"),
    Metric("power_factor", "1", "meter", "node", "Power factor, all phases"),
    *_phases("power_factor", "", "1", "Power factor"),
    Metric("frequency_hz", "Hz", "meter", "node", "Mains frequency"),
    Metric("forward_energy_wh", "Wh", "meter", "node", "Energy drawn since the meter was made (a counter)"),
    Metric("reverse_energy_wh", "Wh", "meter", "node", "Energy fed back since the meter was made (a counter)"),
    *(
        Metric(f"forward_energy_{phase}_wh", "Wh", "meter", "node", f"Energy drawn, phase {phase.upper()} (a counter)")
        for phase in "abc"
    ),
    Metric("load_step_w", "W", "meter", "service", "Size of a load step that was recognised, when it was recognised"),
    Metric("load_event_count", "1", "meter", "service", "1 for each recognised load event (step, hoist-like cycle)"),
    Metric("person_in_count", "1", "camera", "node", "People who went in during the interval"),
    Metric("person_out_count", "1", "camera", "node", "People who came out during the interval"),
    Metric("vehicle_in_count", "1", "camera", "node", "Vehicles that went in during the interval"),
    Metric("vehicle_out_count", "1", "camera", "node", "Vehicles that left during the interval"),
    Metric("motion_ratio", "1", "camera", "node", "Share of the picture that moved, mean of the interval"),
    Metric("motion_ratio_max", "1", "camera", "node", "Share of the picture that moved, largest of the interval"),
    Metric("picture_rate_hz", "Hz", "camera", "node", "Pictures analysed in a second"),
    Metric("seal_change_score", "1", "camera", "node", "How far the surroundings differ from the reference, 0 to 1"),
    Metric("camera_fault_code", "code", "camera", "service", "Fault 1 to 9 from its start on; 0 when it ended"),
    Metric("alarm_start_count", "1", "alarm source", "service", "1 when an alarm started"),
    Metric("alarm_end_count", "1", "alarm source", "service", "1 when an alarm ended"),
    Metric("incident_opened_count", "1", "incident", "service", "1 when an incident opened"),
    Metric("incident_acknowledged_count", "1", "incident", "service", "1 when a named person answered"),
    Metric("incident_closed_count", "1", "incident", "service", "1 when a person closed it"),
    Metric("incident_open_level", "level", "incident", "service", "4 red to 1 blue while open; 0 when closed"),
    Metric("page_attempt_count", "1", "person", "service", "1 for each page handed to a channel"),
    Metric("page_failed_count", "1", "person", "service", "1 for each page that its channel did not take"),
    Metric("page_answer_time_s", "s", "person", "service", "From the page to the answer of the named person"),
    Metric("node_online", "1", "node", "service", "1 while the node reports, 0 after its last will"),
    Metric("part_ok", "1", "part", "service", "1 while the part proves that it works (camera, meter, disk, clock)"),
    Metric("outbox_depth_count", "1", "node", "service", "Messages that wait on the node for the service"),
    Metric("disk_free_ratio", "1", "part", "service", "Share of the node's disk that is free"),
    Metric("storage_days", "d", "part", "service", "Days of footage on the recorder"),
    Metric("cpu_temperature_c", "°C", "part", "service", "Temperature of the node's processor"),
    Metric("clock_offset_ms", "ms", "node", "service", "Offset of the node's clock from its time source"),
    Metric("certificate_days_left", "d", "part", "service", "Days until the node's certificate ends"),
    Metric("link_signal_dbm", "dBm", "part", "service", "Signal of the mobile uplink"),
    Metric("link_round_trip_ms", "ms", "part", "service", "Round trip from the node to the broker"),
    Metric("uplink_bytes", "B", "part", "service", "Bytes sent over the uplink since the month began"),
    Metric("ingest_lag_ms", "ms", "node", "service", "From the node's durable copy to the service's commit"),
    Metric(
        "worker_alive",
        "1",
        "worker",
        "service",
        "Each minute: 1 where a worker of the service turned its wheel, 0 where it hangs",
    ),
)
BY_NAME: Final[dict[str, Metric]] = {metric.name: metric for metric in CATALOGUE}


def table() -> str:
    """The table of the documentation, as Markdown."""
    rows = ["| metric | unit | `source_id` names the | written by | meaning |", "|---|---|---|---|---|"]
    rows += [f"| `{m.name}` | {m.unit} | {m.source} | {m.written_by} | {m.meaning} |" for m in CATALOGUE]
    return "\n".join(rows) + "\n"
