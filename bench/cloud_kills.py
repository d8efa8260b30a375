"""Store, broker and database killed again and again under load: what was promised, what arrived.

The short form of this is a test (`tests/scenarios/test_kills_under_load.py`). Counts do not depend on the machine's
speed.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pytest

from tests.scenarios.under_load import NODES, POINTS, TURNS_PER_S, County, Losses
from tests.servers import influx1_or_skip, postgres_or_skip, victoria_or_skip
from tests.support import mosquitto_or_skip

ROUNDS = 6


def measure(engine: str) -> Losses:
    """One county with one store."""
    store = influx1_or_skip() if engine == "influxdb" else victoria_or_skip()
    with (
        tempfile.TemporaryDirectory() as folder,
        store,
        postgres_or_skip() as postgres,
        mosquitto_or_skip() as broker,
    ):
        engine_ = "influxdb" if engine == "influxdb" else "victoria"
        return County(Path(folder), engine_, store, broker, postgres).run(ROUNDS)


def main() -> int:
    """Print the table; 1 where something was lost, or a server is not installed."""
    print("## Servers killed under load: store, Mosquitto and PostgreSQL in turn, by SIGKILL\n")
    points_a_second = NODES * TURNS_PER_S * POINTS
    print(
        f"{NODES} real agents with their outboxes give {points_a_second:,} points and {NODES * 4} alarms a second all "
        "the while; each server is away for a second each time.\n"
    )
    print("| store | kills | alarms / lost | points / lost | un-acknowledged in the end | drained after |")
    print("|---|---|---|---|---|---|")
    failed = False
    for engine in ("influxdb", "victoria"):
        try:
            found = measure(engine)
        except pytest.skip.Exception as missing:
            print(f"{missing}", file=sys.stderr)
            return 1
        lost = found.alarms - found.alarms_stored, found.points - found.points_stored
        failed |= lost != (0, 0) or found.waiting != 0
        print(
            f"| {engine} | {sum(found.kills.values())} | {found.alarms:,} / {lost[0]} | {found.points:,} / {lost[1]} "
            f"| {found.waiting} | {found.drained_s:.0f} s |",
            flush=True,
        )
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
