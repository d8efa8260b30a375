"""What the live sampler costs beyond an agent that already has numpy: processor time and memory.

    python -m bench.sampler [--seconds N]

The meter runs in a process of its own; the agent's part is measured.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import numpy as np

from sealwatch.base.clock import SystemClock
from sealwatch.contract.codes import DeclaredStatus
from sealwatch.edge.config import MeterSettings
from sealwatch.edge.declared import FixedDeclared
from sealwatch.edge.ports import MemorySink


def resident_mb() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 1e6


def main() -> int:
    """Print one Markdown section."""
    parser = argparse.ArgumentParser(description="Cost of the live sampler.")
    parser.add_argument("--seconds", type=float, default=60.0)
    arguments = parser.parse_args()
    command = [sys.executable, "-m", "sealwatch", "simulate", "meter", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        said = server.stdout.readline() if server.stdout else ""
        url = next(word.rstrip(",") for word in said.split() if word.startswith("tcp://"))
        np.median(msgspec.json.decode(b"[1, 2]"))  # what the agent has loaded anyway
        before_mb = resident_mb()
        from sealwatch.edge.power.watcher import MeterWatcher

        settings = MeterSettings(meter_id="m", url=url, address="1")
        watcher = MeterWatcher(
            settings, declared=FixedDeclared(DeclaredStatus.POWER_CUT), sink=MemorySink(), clock=SystemClock()
        )
        stop = threading.Event()
        begun_s = time.process_time()
        thread = threading.Thread(target=watcher.run, args=(stop,))
        thread.start()
        time.sleep(arguments.seconds)
        used_s = time.process_time() - begun_s
        after_mb = resident_mb()
        stop.set()
        thread.join()
        server.terminate()
    print("## Sampler: one DL/T 645 meter at 1 Hz\n")
    print("| | wanted | measured |\n|---|---|---|")
    print(f"| share of one core | <= 1 % | {used_s / arguments.seconds:.2%} |")
    print(f"| resident memory beyond numpy | <= 30 MB | {after_mb - before_mb:.1f} MB |")
    print(f"\n{watcher.health().numbers['answers']:.0f} readings in {arguments.seconds:.0f} s.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
