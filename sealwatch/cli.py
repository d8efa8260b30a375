"""The one console script. Each room adds its commands; a room that is not installed says how to get it.

Exit codes: 0 done, 1 the job failed and the output says why, 2 the call or its configuration is wrong, 130 stopped.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from sealwatch import __version__
from sealwatch.base.errors import CommandFailed, UsageError

# Command -> (module with `configure(parser)`, help, extra that provides it). The module is imported only when called.
_COMMANDS: dict[str, tuple[str, str, str]] = {
    "demo": ("sealwatch.demo.cli", "the whole chain on this machine", "demo"),
    "edge": ("sealwatch.edge.cli", "the agent at the shaft", "edge"),
    "cloud": ("sealwatch.cloud.cli", "the county's service", "cloud"),
    "doctor": ("sealwatch.cloud.doctor.cli", "how a running service is, and what to do about it", "cloud"),
    "telemetry": ("sealwatch.cloud.telemetry.cli", "set up and keep the store of measurements", "cloud"),
    "grafana": ("sealwatch.cloud.grafana.cli", "dashboards: render them, install them", "grafana"),
    "evidence": ("sealwatch.evidence.cli", "verify evidence packs offline", "edge"),
    "release": ("sealwatch.release.cli", "make and sign what nodes install: agent and model", "edge"),
    "models": ("sealwatch.models.cli", "fetch, convert and evaluate detection models", "models"),
    "simulate": ("sealwatch.simulator.cli", "a believable mine: meters and cameras", "edge"),
}


def build_parser(chosen: str | None) -> argparse.ArgumentParser:
    """The parser; only the chosen room's module is imported."""
    parser = argparse.ArgumentParser(
        prog="sealwatch", description="SealWatch (封哨): the electronic seal for idle mines."
    )
    parser.add_argument("--version", action="version", version=f"sealwatch {__version__}")
    rooms = parser.add_subparsers(dest="room", required=True, metavar="COMMAND")
    for name, (module, summary, extra) in _COMMANDS.items():
        room = rooms.add_parser(name, help=summary, description=summary)
        if name != chosen:
            continue
        try:
            importlib.import_module(module).configure(room)
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] == "sealwatch":
                raise
            raise UsageError(
                f"'sealwatch {name}' needs the package '{error.name}', which is not installed; "
                f"run: pip install 'sealwatch[{extra}]'"
            ) from None
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Every room's command is a function `run(arguments) -> int` set as the parser's default."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    chosen = next((a for a in arguments if not a.startswith("-")), None)
    try:
        parsed = build_parser(chosen).parse_args(arguments)
        return int(parsed.run(parsed))
    except UsageError as error:
        print(f"sealwatch: {error}", file=sys.stderr)
        return 2
    except CommandFailed as error:
        print(f"sealwatch: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    raise SystemExit(main())
