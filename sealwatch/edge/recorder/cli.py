"""`sealwatch edge pack`: evidence of this node as one file that proves itself."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

from sealwatch.base.clock import SystemClock
from sealwatch.base.errors import CommandFailed, UsageError
from sealwatch.edge import identity
from sealwatch.edge.config import data_dir, load_node
from sealwatch.edge.health.clock import ClockWatch
from sealwatch.edge.recorder import packing
from sealwatch.edge.recorder.build import FootageOpener
from sealwatch.edge.recorder.segment import FootageError


def configure_pack(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the node's configuration")
    parser.add_argument("--alarm", metavar="ID", help="the clips of this alarm")
    parser.add_argument("--camera", metavar="ID", help="footage of this camera, with --from and --to")
    parser.add_argument("--from", dest="start", metavar="TIME", help="ISO 8601; without an offset: UTC")
    parser.add_argument("--to", dest="end", metavar="TIME", help="ISO 8601; without an offset: UTC")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the pack, a .zip")
    parser.set_defaults(run=run_pack)


def run_pack(arguments: argparse.Namespace) -> int:
    """Write the pack and say how to verify it. The agent may run meanwhile."""
    stretch = (arguments.camera, arguments.start, arguments.end)
    if bool(arguments.alarm) == any(stretch) or (any(stretch) and not all(stretch)):
        raise UsageError("name either --alarm, or --camera with --from and --to")
    node = load_node(arguments.config)
    if node.recorder is None:
        raise UsageError(f"{arguments.config}: has no [recorder], so this node keeps no footage")
    folder, clock = data_dir(node, arguments.config), SystemClock()
    key = identity.load_or_create(folder)
    opener = FootageOpener(
        node,
        node.recorder,
        folder,
        key.key,
        boot_id=identity.new_boot_id(),
        clock=clock,
        clock_state=ClockWatch(clock),
    )
    if not opener.folder.is_dir():
        raise CommandFailed(f"{opener.folder}: there is no footage on this node yet")
    try:
        footage = opener()
        items = (
            packing.items_of_alarm(footage, arguments.alarm)
            if arguments.alarm
            else packing.items_between(footage, arguments.camera, _ms(arguments.start), _ms(arguments.end))
        )
        messages = packing.messages_of_alarm(footage, arguments.alarm) if arguments.alarm else {}
        size = packing.write_pack(footage, items, arguments.out, pack_id=f"pack-{clock.wall_ms()}", messages=messages)
    except FootageError as error:
        raise CommandFailed(str(error)) from None
    finally:
        opener.close()
    print(f"{arguments.out}: {size} bytes, {len(items)} item(s), {len(messages)} alarm message(s)")
    print(f"sealwatch evidence verify {arguments.out} --key {key.public_key_text}")
    return 0


def _ms(value: str) -> int:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise UsageError(f"{value}: not a time; write it as 2026-03-01T22:15:00+08:00") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
