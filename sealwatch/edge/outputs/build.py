"""From the configuration to output parts, and the commands that reach them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from sealwatch.base.clock import Clock
from sealwatch.contract.messages import Command
from sealwatch.edge.config import NodeSettings, OutputSettings
from sealwatch.edge.inputs import terminals
from sealwatch.edge.inputs.build import Wires
from sealwatch.edge.outputs.drivers import Driver, SoundDriver, TerminalDriver
from sealwatch.edge.outputs.journal import Journal
from sealwatch.edge.outputs.limits import Limits
from sealwatch.edge.outputs.part import OutputPart
from sealwatch.edge.uplink.commands import Answer

JOURNAL_FILE: Final = "outputs.jsonl"
SIREN_S: Final = 30.0


def driver_for(output: OutputSettings, wires: Wires) -> Driver:
    """What switches an output."""
    terminal = terminals.parse(output.at)
    if terminal.kind == "sound":
        return SoundDriver(terminal.channel)
    return TerminalDriver(wires.of(terminal), terminal.channel)


def limits_of(output: OutputSettings) -> Limits:
    """The limits that an output's configuration sets."""
    return Limits(max_s=output.max_s, pause_s=output.pause_s, quiet_hours=output.quiet_hours)


def output_parts(
    node: NodeSettings, wires: Wires, folder: Path, clock: Clock, *, permitted_work: Callable[[], bool]
) -> dict[str, OutputPart]:
    """A part for every output, by its id; their journal lies in `folder`."""
    journal = Journal(folder / JOURNAL_FILE)
    return {
        one.output_id: OutputPart(
            one.output_id,
            one.kind,
            driver_for(one, wires),
            limits_of(one),
            journal,
            clock,
            permitted_work=permitted_work,
        )
        for one in node.outputs
    }


class OutputCommands:
    """The commands `siren` (every siren) and `output` (one by its id). They ask and return; the parts switch."""

    def __init__(self, parts: Mapping[str, OutputPart]) -> None:
        self._parts = parts

    def siren(self, command: Command) -> Answer:
        """Arguments: `state` on (default) or off, `seconds`."""
        sirens = [part for part in self._parts.values() if part.kind == "siren"]
        if not sirens:
            return Answer(ok=False, reason="no_siren", detail="this node has no output of the kind siren")
        answers = [self._switch(part, command) for part in sirens]
        return next((answer for answer in answers if answer.ok), answers[0])

    def output(self, command: Command) -> Answer:
        """Arguments: `output`, `state` on (default) or off, `seconds`."""
        part = self._parts.get(command.arguments.get("output", ""))
        if part is None:
            there = ", ".join(self._parts) or "none"
            wanted = command.arguments.get("output", "")
            return Answer(ok=False, reason="unknown_output", detail=f"no output '{wanted}'; there are: {there}")
        return self._switch(part, command)

    def _switch(self, part: OutputPart, command: Command) -> Answer:
        state = command.arguments.get("state", "on")
        if state == "off":
            was_on = part.off(why=command.command_id)
            return Answer(ok=True, reason="switched_off" if was_on else "already_off", detail=part.part_id)
        try:
            seconds = float(command.arguments.get("seconds", SIREN_S))
        except ValueError:
            seconds = 0.0
        if state != "on" or not 0 < seconds <= 3600:
            return Answer(ok=False, reason="bad_argument", detail="state is on or off, seconds 1 to 3600")
        decision = part.ask(seconds, origin="person", why=command.command_id)
        return Answer(ok=decision.ok, reason=decision.reason, detail=f"{part.part_id}: {decision.seconds:.0f} s")
