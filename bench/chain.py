"""The whole chain on this machine: from a frame and a reading to a page, and what each program keeps in memory."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

RUNS = 3
_COUNTS = ("sent", "stored", "waiting", "lost", "duplicated")


def run_once(folder: Path) -> dict[str, Any]:
    """One run of the demo's story; its summary."""
    command = [sys.executable, "-m", "sealwatch", "demo", "--once", "--json", "--port", "0", "--dir", str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def milliseconds(values: list[float]) -> str:
    """The figures of all runs, smallest first."""
    return " / ".join(f"{value:.0f}" for value in sorted(values)) if values else "-"


def main() -> None:
    """Print the section."""
    summaries = []
    with tempfile.TemporaryDirectory(prefix="sealwatch-bench-") as folder:
        summaries = [run_once(Path(folder) / str(number)) for number in range(RUNS)]
    print(f"## Chain: {RUNS} runs of `sealwatch demo --once --json`\n")
    print("| alarm | frame or reading to commit, ms | commit to service, ms | commit to page, ms | frame to page, ms |")
    print("|---|---|---|---|---|")
    for kind in sorted({kind for summary in summaries for kind in summary["alarms"]}):
        alarms = [alarm for summary in summaries for alarm in summary["alarms"].get(kind, [])]
        columns = ("frame_to_commit_ms", "commit_to_service_ms", "commit_to_page_ms", "frame_to_page_ms")
        cells = (milliseconds([a[name] for a in alarms if a[name] is not None]) for name in columns)
        print(f"| {kind} | {' | '.join(cells)} |")
    print("\nThe frame is the one on which the decision fell. Limits: frame to page 2,000 ms, commit to page 100 ms.")
    print("A dash: the alarm joined an incident that had been paged already.\n")
    print("| | |\n|---|---|")
    for name, label in (("agent", "agent, one camera with detector, one meter"), ("service", "service")):
        print(f"| resident memory, {label} | {milliseconds([s['resident_mb'][name] for s in summaries])} MiB |")
    totals = {name: sum(s["messages"][name] for s in summaries) for name in _COUNTS}
    print("| messages | " + ", ".join(f"{count} {name}" for name, count in totals.items()) + " |")


if __name__ == "__main__":
    main()
