"""What a node has only where its configuration asks for it; the rooms behind are imported only then."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sealwatch.base.clock import Clock
from sealwatch.contract.messages import PartHealth
from sealwatch.edge.changes import ChangeLog
from sealwatch.edge.config import NodeSettings
from sealwatch.edge.declared import Declared
from sealwatch.edge.enrolment.papers import Papers
from sealwatch.edge.enrolment.rekey import KeyChange, ask_service
from sealwatch.edge.enrolment.renewal import Renewal
from sealwatch.edge.health.clock import ClockWatch
from sealwatch.edge.identity import Identity
from sealwatch.edge.page.milestones import MilestoneKeeper
from sealwatch.edge.ports import Part, Sink
from sealwatch.edge.uplink.commands import Handler

if TYPE_CHECKING:
    from sealwatch.edge.inputs.build import Wires
    from sealwatch.edge.outputs.part import OutputPart
    from sealwatch.edge.recorder.build import Recording


def renewal(folder: Path, settings: NodeSettings, identity: Identity, clock: Clock) -> list[Part]:
    """The part that renews the certificate, where this node was enrolled."""
    papers = Papers(folder)
    origin = papers.origin()
    if origin is None:
        return []
    pinned = [key for key in (settings.service_public_key, settings.next_service_public_key) if key]
    return [
        Renewal(
            papers,
            origin,
            node_id=settings.node_id,
            key=identity.key,
            clock=clock,
            service_public_keys=pinned,
        )
    ]


def key_change(
    folder: Path, settings: NodeSettings, identity: Identity, clock: Clock, restart: Callable[[], None]
) -> KeyChange | None:
    """The part that changes the signing key, where this node was enrolled."""
    origin = Papers(folder).origin()
    if origin is None:
        return None
    pinned = [key for key in (settings.service_public_key, settings.next_service_public_key) if key]
    ask = ask_service(
        origin.cloud_url,
        node_id=settings.node_id,
        service_public_keys=pinned or [origin.service_public_key],
        ca_file=origin.https_ca_file,
    )
    return KeyChange(folder, identity.key, ask, clock, restart=restart)


def recording(
    settings: NodeSettings,
    folder: Path,
    identity: Identity,
    sink: Sink,
    *,
    boot_id: str,
    clock: Clock,
    clock_state: ClockWatch,
) -> Recording | None:
    """Recorders and taps for the cameras, where footage is kept. Raises UsageError, CommandFailed."""
    if settings.recorder is None or not settings.cameras:
        return None
    from sealwatch.edge.recorder.build import Recording

    return Recording(
        settings,
        settings.recorder,
        folder,
        identity.key,
        sink,
        boot_id=boot_id,
        clock=clock,
        clock_state=clock_state,
    )


def wires(settings: NodeSettings, clock: Clock) -> Wires | None:
    """The wires of inputs and outputs. Raises UsageError for a profile that is not known."""
    if not (settings.inputs or settings.outputs or settings.io_modules):
        return None
    from sealwatch.edge.inputs.build import Wires

    return Wires(settings, clock)


def outputs(
    settings: NodeSettings, wires: Wires | None, folder: Path, clock: Clock, declared: Declared
) -> dict[str, OutputPart]:
    """A part for each output, by its id."""
    if wires is None:
        return {}
    from sealwatch.edge.outputs.build import output_parts
    from sealwatch.edge.outputs.limits import work_permitted

    def permitted_work() -> bool:
        return work_permitted(declared.current().permits, clock.wall_ms())

    return output_parts(settings, wires, folder, clock, permitted_work=permitted_work)


def output_commands(parts: Mapping[str, OutputPart]) -> dict[str, Handler]:
    """``siren`` and ``output``, where there is something to switch."""
    if not parts:
        return {}
    from sealwatch.edge.outputs.build import OutputCommands

    commands = OutputCommands(parts)
    return {"siren": commands.siren, "output": commands.output}


def acting(settings: NodeSettings, sink: Sink, parts: Mapping[str, OutputPart]) -> Sink:
    """The sink that switches outputs at alarms before it passes them on, where there are actions."""
    if not settings.actions:
        return sink
    from sealwatch.edge.outputs.actions import ActingSink

    return ActingSink(sink, settings.actions, parts)


def page(
    settings: NodeSettings,
    path: Path,
    folder: Path,
    clock: Clock,
    *,
    parts: Sequence[Part],
    health: Callable[[], Sequence[PartHealth]],
    alarms_wait: Callable[[], bool],
    milestones: MilestoneKeeper,
    changes: ChangeLog,
) -> list[Part]:
    """The installer's page, where the configuration asks for it."""
    if settings.page is None:
        return []
    from sealwatch.edge.page.desk import Desk, Eyes
    from sealwatch.edge.page.part import PagePart

    desk = Desk(
        settings,
        path,
        eyes={part.part_id: part for part in parts if isinstance(part, Eyes)},
        health=health,
        alarms_wait=alarms_wait,
        milestones=milestones,
        changes=changes,
        clock=clock,
    )
    return [PagePart(settings.page, desk, folder, clock)]
