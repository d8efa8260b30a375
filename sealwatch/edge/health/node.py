"""Health of the machine under the agent: where it stores, and what it uses."""

from __future__ import annotations

import os
from pathlib import Path

from sealwatch.contract.messages import PartHealth
from sealwatch.edge.uplink.entries import Limits, Stats


def outbox_health(stats: Stats, *, free_bytes: int | None, limits: Limits, now_ms: int) -> PartHealth:
    """Works while the disk takes what is written; reasons: storing, nearly_full, or the disk's own trouble."""
    reason = stats.trouble or "storing"
    if not stats.trouble and free_bytes is not None and free_bytes < limits.reserve_bytes:
        reason = "nearly_full"
    numbers = {
        "waiting": float(stats.depth),
        "in_memory": float(stats.in_memory),
        "samples_thinned": float(stats.samples_thinned),
        "snapshots_dropped": float(stats.snapshots_dropped),
    }
    if free_bytes is not None:
        numbers["free_mb"] = round(free_bytes / 1e6)
    return PartHealth(
        part_id="outbox",
        kind="outbox",
        ok=reason == "storing",
        reason=reason,
        evidence_at_ms=now_ms if reason == "storing" else None,
        numbers=numbers,
    )


def process_health(*, now_ms: int, statm: Path = Path("/proc/self/statm")) -> PartHealth:
    """Resident memory of this process, as the kernel counts it."""
    numbers = {}
    try:
        numbers["resident_mb"] = round(int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)
    except (OSError, ValueError, IndexError):
        return PartHealth(part_id="agent", kind="agent", ok=True, reason="running", evidence_at_ms=now_ms)
    return PartHealth(part_id="agent", kind="agent", ok=True, reason="running", evidence_at_ms=now_ms, numbers=numbers)
