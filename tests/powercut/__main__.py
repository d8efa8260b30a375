"""Kills and power cuts over a scripted day, and what must hold afterwards.

    python -m tests.powercut                         1,000 cuts over 24 hours (about half an hour)
    python -m tests.powercut --cuts 30 --hours 0.75  the same pace, shorter

Every other life ends in `kill -9` alone, the others in `kill -9` and a power cut (`disk.py`). The agent is the real
one, with its outbox, recorder and MQTT session; the broker and the whole cloud service run beside it as processes.
Exit code 1 where something was lost, doubled or can't be verified.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.powercut import disk
from tests.powercut.day import Day


def main() -> int:
    """Run it and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuts", type=int, default=1000, help="how often the plug is pulled (1000)")
    parser.add_argument("--hours", type=float, default=24.0, help="how much of a day is played (24)")
    parser.add_argument("--seed", type=int, default=1, help="another run of the same kind (1)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave everything in this empty folder")
    options = parser.parse_args()
    reason = disk.why_not()
    if reason:
        print(f"a disk that forgets cannot be mounted: {reason}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="sealwatch-cuts-") as scratch:
        folder = options.keep or Path(scratch)
        day = Day(folder, cuts=options.cuts, hours=options.hours, seed=options.seed)
        outcome = day.play()
    print(outcome.table())
    return 0 if outcome.holds else 1


if __name__ == "__main__":
    raise SystemExit(main())
