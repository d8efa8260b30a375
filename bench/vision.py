"""What the eyes can do, measured: labelled recordings, disturbances, and CPU time beside Debian's `motion`.

``python -m bench.vision [--data DIR] [--clip FILE] [--parts labels,varied,doors,disturbances,speed] [--json]``

`--data` is the folder of evaluation recordings (default: $SEALWATCH_SHARED_DATA, else ../shared/data); `--clip` any
recording with people, such as Debian's ``vtest.avi``, for the comparison of speed. Parts without input are left out,
and say so.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from bench import vision_clips, vision_doors, vision_speed, vision_varied
from sealwatch.base.errors import CommandFailed, UsageError
from sealwatch.demo import clip
from sealwatch.edge.cli_replay import load_detector

_PARTS = ("labels", "varied", "doors", "disturbances", "speed")


def main() -> int:
    """Run the parts and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = os.environ.get("SEALWATCH_SHARED_DATA", str(Path(__file__).resolve().parents[2] / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=Path(default))
    parser.add_argument("--clip", type=Path, default=clip.cached_clip(), help="recording for the comparison of speed")
    parser.add_argument("--parts", default=",".join(_PARTS))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    detector = load_detector(None)
    found: dict[str, Any] = {}
    for part in arguments.parts.split(","):
        if part == "labels":
            found[part] = vision_clips.labels(arguments.data, detector)
        elif part == "varied":
            found[part] = vision_varied.varied(arguments.data, detector)
        elif part == "doors":
            found[part] = vision_doors.doors(arguments.data, detector)
        elif part == "disturbances":
            found[part] = vision_clips.disturbances(arguments.data, detector)
        elif part == "speed":
            found[part] = vision_speed.speed(arguments.data, arguments.clip, detector)
        else:
            raise UsageError(f"part '{part}' is not known; there are: {', '.join(_PARTS)}")
        if not arguments.json:
            print(f"\n## {part}\n")
            print(_table(found[part]))
    if arguments.json:
        print(json.dumps(found, ensure_ascii=False, indent=1))
    return 0


def _table(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "left out: its recordings are not here"
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(str(row.get(name, "")) for name in names) + " |" for row in rows]
    return "\n".join(lines)


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except (UsageError, CommandFailed) as error:
        print(f"bench: {error}", file=sys.stderr)
        raise SystemExit(1) from None
