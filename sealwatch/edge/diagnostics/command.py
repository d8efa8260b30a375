"""The command `diagnostics`: a bundle made on the node and sent like a picture, under the command's id."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from sealwatch.base.settings import SettingsError, read_text
from sealwatch.contract.messages import Command
from sealwatch.edge.config import NodeSettings
from sealwatch.edge.diagnostics import bundle, redact
from sealwatch.edge.diagnostics.bundle import Facts
from sealwatch.edge.update.files import load
from sealwatch.edge.uplink.commands import Answer, Handler
from sealwatch.edge.uplink.sink import OutboxSink

MEDIA_TYPE = "application/zip"


def command(
    settings: NodeSettings,
    config: Path,
    data_folder: Path,
    sink: OutboxSink,
    facts: Callable[[str, dict[str, Any]], Facts],
) -> Handler:
    """`facts` adds to the configuration's text and the state of updates what the agent knows. Detail: the SHA-256."""

    def make(command: Command) -> Answer:
        known = facts(config_text(config), updates(data_folder))
        try:
            data = bundle.build(known, data_folder, redact.known_secrets(settings))
        except ValueError as error:
            return Answer(ok=False, reason="too_large", detail=str(error))
        sha256 = sink.attach(reference_id=command.command_id, source_id="node", data=data, media_type=MEDIA_TYPE)
        return Answer(ok=True, reason="sent", detail=sha256)

    return make


def config_text(path: Path) -> str:
    """The text in place, or why it can't be read."""
    try:
        return read_text(path)
    except SettingsError as error:
        return f"# {error}"


def updates(data_folder: Path) -> dict[str, Any]:
    """How updates stand, without the releases' own texts."""
    known: dict[str, Any] = msgspec.to_builtins(load(data_folder))
    for kind in ("agent", "model"):
        known[kind].pop("release", None)
    return known
