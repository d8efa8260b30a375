"""Run the measurements one after another, each in a process of its own, and print what docs/benchmarks.md keeps.

python -m bench                 all of them
python -m bench outbox chain    these
python -m bench --write         all of them, into docs/benchmarks.md
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

FOLDER = Path(__file__).parent
TARGET = FOLDER.parent / "docs" / "benchmarks.md"
NAMES = ("chain", "vision", "power", "meter_line", "outbox", "recorder", "ingest", "telemetry")
_LIBRARIES = ("av", "opencv-python-headless", "onnxruntime", "paho-mqtt", "SQLAlchemy")


def machine() -> str:
    """One line about where the figures come from."""
    model = platform.processor() or platform.machine()
    for row in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if row.startswith("model name"):
            model = row.split(":", 1)[1].strip()
            break
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    libraries = ", ".join(f"{name} {metadata.version(name)}" for name in _LIBRARIES)
    return (
        f"{model}, {os.cpu_count()} cores (virtual, shared with other work), {memory_gib:.0f} GiB, "
        f"Python {platform.python_version()}, {libraries}"
    )


def main() -> int:
    """Run what was asked for; 1 where a measurement failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of: {', '.join(NAMES)}")
    parser.add_argument("--write", action="store_true", help=f"keep the result in {TARGET.relative_to(FOLDER.parent)}")
    options = parser.parse_args()
    unknown = set(options.names) - set(NAMES)
    if unknown:
        parser.error(f"there is no measurement {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    today = dt.datetime.now(tz=dt.UTC).date().isoformat()
    sections = [
        f"# Benchmarks\n\nWritten by `python -m bench --write` on {today}. Machine: {machine()}.",
        "Nothing here was run on a Raspberry Pi.",
    ]
    failed = False
    for name in options.names or NAMES:
        print(f"== {name}", file=sys.stderr, flush=True)
        done = subprocess.run(
            [sys.executable, "-m", f"bench.{name}"], stdout=subprocess.PIPE, text=True, cwd=FOLDER.parent
        )
        failed |= done.returncode != 0
        text = done.stdout.strip() if done.returncode == 0 else f"## {name}\n\nfailed with exit code {done.returncode}"
        sections.append(text)
        print(text + "\n", flush=True)
    if options.write and not failed:
        TARGET.write_text("\n\n".join(sections) + "\n", encoding="utf-8")
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
