"""The edge agent as the demo runs it: the agent of the field with a meter clock that catches up (decision 0006)."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from sealwatch.base.clock import CatchUpClock, SystemClock
from sealwatch.edge.agent import Agent
from sealwatch.edge.config import load_node


def main() -> int:
    """Run until a signal says stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--start-s", type=float, required=True, help="monotonic second at which the clock started")
    parser.add_argument("--behind-s", type=float, required=True)
    parser.add_argument("--speed", type=float, required=True)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    clock = CatchUpClock(SystemClock(), behind_s=options.behind_s, speed=options.speed, start_s=options.start_s)
    return Agent(load_node(options.config), options.config, power_clock=clock).run()


if __name__ == "__main__":
    sys.exit(main())
