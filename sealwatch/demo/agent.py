"""The edge agent as the demo runs it: the agent of the field with a meter clock that catches up (decision 0006)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sealwatch.base.clock import CatchUpClock, SystemClock


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--start-s", type=float, required=True, help="monotonic second at which the clock started")
    parser.add_argument("--behind-s", type=float, required=True)
    parser.add_argument("--speed", type=float, required=True)
    options = parser.parse_args()
    clock = CatchUpClock(SystemClock(), behind_s=options.behind_s, speed=options.speed, start_s=options.start_s)
    return run_agent(options.config, clock)


def run_agent(config: Path, power_clock: CatchUpClock) -> int:
    """Run until a signal says stop."""
    from sealwatch.edge.agent import run

    return run(config, power_clock=power_clock)


if __name__ == "__main__":
    sys.exit(main())
