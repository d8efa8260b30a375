"""Run the measurements one after another, each in a process of its own, and print what docs/benchmarks.md keeps.

python -m bench                 all of them
python -m bench outbox chain    these
python -m bench --write         all of them, into docs/benchmarks.md
python -m bench --within 12 …   whatever is not done after 12 minutes is ended
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import re
import signal
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

FOLDER = Path(__file__).parent
TARGET = FOLDER.parent / "docs" / "benchmarks.md"
NAMES = (
    "chain",
    "vision",
    "agent",
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


def _run(command: list[str], until_s: float | None) -> tuple[str, str]:
    """What a measurement printed, and why it counts as failed ("" where it does not); its servers end with it."""
    left_s = None if until_s is None else max(0.0, until_s - time.monotonic())
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=FOLDER.parent, start_new_session=True)
    try:
        said = child.communicate(timeout=left_s)[0]
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        return child.communicate()[0].strip(), "was not done in time"
    return said.strip(), f"failed with exit code {child.returncode}" if child.returncode else ""


def main() -> int:
    """Run what was asked for; 1 where a measurement failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of: {', '.join(NAMES)}")
    parser.add_argument("--write", action="store_true", help=f"keep the result in {TARGET.relative_to(FOLDER.parent)}")
    parser.add_argument("--within", type=float, metavar="MINUTES", help="end what is not done by then, as failed")
    options = parser.parse_args()
    until_s = None if options.within is None else time.monotonic() + options.within * 60
    unknown = set(options.names) - set(NAMES)
    if unknown:
        parser.error(f"there is no measurement {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    origin = f"*{dt.datetime.now(tz=dt.UTC).date().isoformat()}, {machine()}*"
    failed = False
    for name in options.names or NAMES:
        print(f"== {name}", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", f"bench.{name}"]
        said, ended = _run(command, until_s)
        if ended:
            print(f"{name} {ended}\n{said}", file=sys.stderr, flush=True)
            failed = True
            continue
        print(said + "\n", flush=True)
        if options.write:
            sections = kept(TARGET.read_text(encoding="utf-8")) if TARGET.exists() else {}
            TARGET.write_text(document(sections | {name: f"{said}\n\n{origin}"}), encoding="utf-8")
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
