"""`sealwatch edge diagnostics`: the bundle by hand, for a node that nobody reaches from afar."""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import time
from pathlib import Path
from typing import Final

from sealwatch.base import text
from sealwatch.base.errors import CommandFailed, UsageError
from sealwatch.edge import probes
from sealwatch.edge.check import as_json, check_node
from sealwatch.edge.config import data_dir, load_node
from sealwatch.edge.diagnostics import bundle, redact
from sealwatch.edge.diagnostics.bundle import Facts
from sealwatch.edge.diagnostics.command import config_text, updates

MOST_BYTES: Final = 2_000_000
_JOURNAL: Final = ("journalctl", "--unit=sealwatch-edge", "--lines=2000", "--no-pager", "--output=short-iso")
_WAIT_S: Final = 20


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the node's configuration")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the bundle, a .zip")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.out.exists():
        raise UsageError(f"{arguments.out} is there already; name a new file")
    node = load_node(arguments.config)
    folder = data_dir(node, arguments.config)
    facts = Facts(
        site_id=node.site_id,
        node_id=node.node_id,
        now_ms=time.time_ns() // 1_000_000,
        boot_id="",
        health=json.loads(as_json(check_node(node, arguments.config))),
        outbox=dataclasses.asdict(probes.outbox(node, arguments.config)),
        updates=updates(folder),
        config=config_text(arguments.config),
        log=_journal(),
    )
    data = bundle.build(facts, folder, redact.known_secrets(node), most_bytes=MOST_BYTES)
    try:
        arguments.out.write_bytes(data)
    except OSError as error:
        raise CommandFailed(f"{arguments.out}: {error.strerror}") from None
    print(text.say(text.terminal_language(), "diagnostics.written", file=arguments.out, size=len(data)))
    return 0


def _journal() -> list[str]:
    try:
        done = subprocess.run(_JOURNAL, capture_output=True, text=True, timeout=_WAIT_S, check=False, errors="replace")
    except (OSError, subprocess.TimeoutExpired) as error:
        return [f"the journal cannot be read: {error}"]
    return (done.stdout or done.stderr).splitlines()
