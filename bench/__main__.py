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
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

FOLDER = Path(__file__).parent
TARGET = FOLDER.parent / "docs" / "benchmarks.md"
NAMES = (
    "chain",
    "vision",
    "power",
    "meter_line",
    "sampler",
    "outbox",
    "recorder",
    "ingest",
    "cloud_ingest",
    "telemetry",
    "kills",
    "cloud_kills",
    "paging",
    "cloud_fleet",
)
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


def kept(text: str) -> dict[str, str]:
    """The sections of a written document by the name of their measurement."""
    parts = re.split(r"^<!-- (\w+) -->$", text, flags=re.MULTILINE)
    return {name: body.strip() for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def document(sections: dict[str, str]) -> str:
    """The whole document, in the order of `NAMES`; after them what was measured by other means."""
    order = [*(name for name in NAMES if name in sections), *(name for name in sections if name not in NAMES)]
    head = (
        "# Benchmarks\n\nWritten by `python -m bench --write`; each section names its day and machine. "
        "Nothing here was run on a Raspberry Pi."
    )
    return "\n\n".join([head, *(f"<!-- {name} -->\n{sections[name]}" for name in order)]) + "\n"


def main() -> int:
    """Run what was asked for; 1 where a measurement failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of: {', '.join(NAMES)}")
    parser.add_argument("--write", action="store_true", help=f"keep the result in {TARGET.relative_to(FOLDER.parent)}")
    options = parser.parse_args()
    unknown = set(options.names) - set(NAMES)
    if unknown:
        parser.error(f"there is no measurement {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    origin = f"*{dt.datetime.now(tz=dt.UTC).date().isoformat()}, {machine()}*"
    failed = False
    for name in options.names or NAMES:
        print(f"== {name}", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", f"bench.{name}"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=FOLDER.parent)
        if done.returncode != 0:
            print(f"{name} failed with exit code {done.returncode}", file=sys.stderr, flush=True)
            failed = True
            continue
        print(done.stdout.strip() + "\n", flush=True)
        if options.write:
            sections = kept(TARGET.read_text(encoding="utf-8")) if TARGET.exists() else {}
            TARGET.write_text(document(sections | {name: f"{done.stdout.strip()}\n\n{origin}"}), encoding="utf-8")
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
