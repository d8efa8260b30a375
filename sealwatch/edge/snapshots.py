"""The command `snapshot`: what a camera shows now, although nothing has happened."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sealwatch.contract.messages import Command
from sealwatch.edge.ports import Part, PictureTaker
from sealwatch.edge.uplink.commands import Answer, Handler
from sealwatch.edge.uplink.sink import OutboxSink


def command(parts: Callable[[], Sequence[Part]], sink: OutboxSink) -> Handler:
    """Argument `camera` names which, else the first. Detail of the answer: the picture's SHA-256."""

    def take(command: Command) -> Answer:
        takers = {part.part_id: part for part in parts() if isinstance(part, PictureTaker)}
        wanted = command.arguments.get("camera") or next(iter(takers), "")
        taker = takers.get(wanted)
        if taker is None:
            there = ", ".join(takers) or "none"
            return Answer(ok=False, reason="unknown_camera", detail=f"no camera '{wanted}'; there are: {there}")
        jpeg = taker.picture()
        if jpeg is None:
            return Answer(ok=False, reason="no_picture", detail=f"camera {wanted} has no fresh picture")
        sha256 = sink.attach(reference_id=command.command_id, source_id=wanted, data=jpeg)
        return Answer(ok=True, reason="taken", detail=sha256)

    return take
