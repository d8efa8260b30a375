"""The agent put together: outbox, uplink and the watchers of one node, and how they begin and end."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from sealwatch.base.clock import Clock, SystemClock
from sealwatch.base.settings import read_text
from sealwatch.base.systemd import Notifier
from sealwatch.contract.messages import PartHealth
from sealwatch.contract.topics import Channel
from sealwatch.edge import housekeeping, identity, life, optional, snapshots
from sealwatch.edge.arming import ArmedSink, Arming
from sealwatch.edge.changes import ChangeLog
from sealwatch.edge.config import VIEW_FOLDER, MachineSettings, NodeSettings, UpdateSettings, data_dir, service_key
from sealwatch.edge.configuring import ConfigKeeper
from sealwatch.edge.declared import DeclarationKeeper
from sealwatch.edge.diagnostics import command as diagnostics
from sealwatch.edge.diagnostics.bundle import Facts
from sealwatch.edge.health import faults, pulse
from sealwatch.edge.health.clock import ClockWatch
from sealwatch.edge.health.machine import Budgets
from sealwatch.edge.health.node import outbox_health, process_health
from sealwatch.edge.health.watch import MachineWatch
from sealwatch.edge.page.milestones import MilestoneKeeper, WitnessedSink
from sealwatch.edge.ports import ManySources, Part, Sink
from sealwatch.edge.supervisor import Supervisor
from sealwatch.edge.update.keeper import UpdateKeeper
from sealwatch.edge.update.slots import current_model
from sealwatch.edge.uplink.commands import Handler
from sealwatch.edge.uplink.entries import OUTBOX_FILE, Limits
from sealwatch.edge.uplink.outbox import Outbox
from sealwatch.edge.uplink.publisher import Link, Publisher
from sealwatch.edge.uplink.sink import OutboxSink
from sealwatch.edge.watchers import watchers

logger = logging.getLogger(__name__)

LOCK_FILE = "agent.lock"
STOP_WITHIN_S = 5.0
_UPLINK_STOP_S = 2.0
_RECORDERS_STOP_S = 0.8
_OUTPUTS_STOP_S = 0.8
_PAGE_STOP_S = 0.4
_JUDGE_EVERY_S = 1.0

PartsFactory = Callable[..., Sequence[Part]]
"""Makes the watchers from settings, sink, clock, the clock of the meters and, where footage is kept, `taps`."""


class Agent:
    """One node. `start` begins and returns, `stop` ends within `STOP_WITHIN_S`; `run` is both around the signals."""

    def __init__(
        self,
        settings: NodeSettings,
        path: Path,
        clock: Clock | None = None,
        power_clock: Clock | None = None,
        *,
        make_parts: PartsFactory = watchers,
        link: Callable[[Publisher], Link] | None = None,
        limits: Limits | None = None,
        log_lines: Callable[[], Sequence[str]] = list,
    ) -> None:
        """`path` is the configuration file, from which a relative data folder is meant. `log_lines` gives the newest.

        Raises UsageError for a folder or key that can't be used, or when another agent already works in the folder.
        """
        self.settings = settings
        self.clock = clock or SystemClock()
        self._limits = limits or Limits()
        self._folder = data_dir(settings, path)
        self.identity = identity.load_or_create(self._folder)
        self._lock = life.take_folder(self._folder / LOCK_FILE)
        self.clock_watch = ClockWatch(self.clock)
        self._machine = MachineWatch(
            self._folder,
            self.clock,
            certificate_file=settings.mqtt.certificate_file,
            budgets=_budgets(settings.machine),
        )
        self.outbox = Outbox(
            self._folder / OUTBOX_FILE, boot_id=identity.new_boot_id(), clock=self.clock, limits=self._limits
        )
        self.sink = OutboxSink(
            self.outbox,
            self.identity,
            site_id=settings.site_id,
            node_id=settings.node_id,
            clock=self.clock,
            clock_state=self.clock_watch,
        )
        pinned = service_key(settings)
        self.declared = DeclarationKeeper(
            self._folder,
            service_key=pinned,
            site_id=settings.site_id,
            node_id=settings.node_id,
            fallback=settings.declared_status,
        )
        self.arming = Arming(self._folder, self.sink, self.clock, self.declared)
        self._wires = optional.wires(settings, self.clock)
        self._outputs = optional.outputs(settings, self._wires, self._folder, self.clock, self.declared)
        self._recording = optional.recording(
            settings,
            self._folder,
            self.identity,
            self.sink,
            boot_id=self.outbox.boot_id,
            clock=self.clock,
            clock_state=self.clock_watch,
        )
        self.milestones = MilestoneKeeper(self._folder, self.clock)
        self._key_change = optional.key_change(self._folder, settings, self.identity, self.clock, self.restart)
        self.publisher = Publisher(
            self.outbox,
            site_id=settings.site_id,
            node_id=settings.node_id,
            mqtt=settings.mqtt,
            clock=self.clock,
            handlers=self._commands(path, log_lines),
            upkeep=self._upkeep,
            link=link,
            service_key=pinned,
            inboxes={
                Channel.DECLARATION: self.declared.take,
                Channel.CONFIG: self._take_config,
                Channel.UPDATE: self._take_offer,
            },
        )
        self.ended = threading.Event()
        self.restart_wanted = False
        self.updates: UpdateKeeper | None = None
        self.configuring = ConfigKeeper(
            path,
            settings,
            service_key=pinned,
            clock=self.clock,
            parts=self._part_health,
            connected=lambda: self.publisher.connected,
            restart=self.restart,
            reply=self.publisher.say,
            busy=lambda: self.updates is not None and self.updates.on_trial,
        )
        self.publisher.report_on(self.health)
        watch_sink: Sink = self.sink
        if make_parts is watchers:
            make_parts = functools.partial(
                watchers,
                raw_folder=self._folder / "meters",
                view_folder=self._folder / VIEW_FOLDER,
                wires=self._wires,
                declared=self.declared,
                model=current_model(self._folder),
                outputs=self._outputs,
            )
        if self._recording is not None:
            watch_sink = self._recording.sink
            self.sink.on_sealed = self._recording.chain.add
            make_parts = functools.partial(make_parts, taps=self._recording.taps)
        watch_sink = optional.acting(settings, watch_sink, self._outputs)
        watch_sink = WitnessedSink(ArmedSink(watch_sink, self.arming), self.milestones)
        self.parts = list(make_parts(settings, watch_sink, self.clock, power_clock or self.clock))
        self.changes = ChangeLog(self._folder, self.sink, self.clock)
        self._config_path = path
        if settings.update is not None:
            self.updates = self._prepare_updates(settings.update)
        page = optional.page(
            settings,
            path,
            self._folder,
            self.clock,
            parts=self.parts,
            health=self.health,
            alarms_wait=lambda: self.outbox.stats().depth > 0,
            milestones=self.milestones,
            changes=self.changes,
        )
        self._watching = Supervisor(self.parts, self.clock, on_failure=self._close_orphans)
        # On their own, because a recorder that fails must not end the alarms that the watchers hold open.
        self._keeping = Supervisor(self._recording.parts if self._recording is not None else [], self.clock)
        self._acting = Supervisor(list(self._outputs.values()), self.clock)
        self._serving = Supervisor(page, self.clock)
        self._sending = Supervisor(
            [
                self.publisher,
                *optional.renewal(self._folder, settings, self.identity, self.clock),
                *([self.updates] if self.updates is not None else []),
                *([self._key_change] if self._key_change is not None else []),
            ],
            self.clock,
        )
        self._faults = faults.FaultState()
        self._judge_at_s = 0.0
        self._turned_s: float | None = None

    def _prepare_updates(self, update: UpdateSettings) -> UpdateKeeper:
        from sealwatch.edge.update.build import build

        return build(
            self.settings,
            update,
            self._folder,
            self.identity,
            self.clock,
            changes=self.changes,
            parts=self._part_health,
            open_kinds=lambda: [alarm.kind for alarm in self.outbox.open_alarms()],
            configuration_on_trial=lambda: self.configuring.state.outcome in {"trying", "putting_back"},
            restart=self.restart,
            reply=self.publisher.say,
        )

    def _take_offer(self, payload: bytes) -> None:
        if self.updates is not None:
            self.updates.take(payload)

    def _take_config(self, payload: bytes) -> None:
        self.configuring.take(payload)

    def _commands(self, path: Path, log_lines: Callable[[], Sequence[str]]) -> dict[str, Handler]:
        def facts(config: str, updates: dict[str, Any]) -> Facts:
            return Facts(
                site_id=self.settings.site_id,
                node_id=self.settings.node_id,
                now_ms=self.clock.wall_ms(),
                boot_id=self.outbox.boot_id,
                health=msgspec.to_builtins(self.health()),
                outbox=dataclasses.asdict(self.outbox.stats()),
                updates=updates,
                config=config,
                log=log_lines(),
            )

        return {
            "diagnostics": diagnostics.command(self.settings, path, self._folder, self.sink, facts),
            "snapshot": snapshots.command(lambda: self.parts, self.sink),
            "arm": self.arming.arm,
            "disarm": self.arming.disarm,
            "answered": self.milestones.answered,
            **housekeeping.commands(health=self.health, restart=self.restart),
            **optional.output_commands(self._outputs),
            **({"change_key": self._key_change.command} if self._key_change is not None else {}),
            **({"clip": self._recording.clip} if self._recording is not None else {}),
        }

    def start(self) -> None:
        """Switch every output off, close what an earlier life left open, durably, and then begin to watch and send."""
        self._acting.start()
        self.sink.close_orphans()
        self.sink.report_notices()
        self._compare_configuration()
        self.arming.start()
        self._sending.start()
        self._keeping.start()
        self._watching.start()
        self._serving.start()
        logger.info(
            "node %s of site %s: %d watchers, key %s",
            self.settings.node_id,
            self.settings.site_id,
            len(self.parts),
            self.identity.public_key_text,
        )

    def _compare_configuration(self) -> None:
        """Tell of a configuration that was changed unseen: neither one on trial nor what the service itself pushed."""
        text = read_text(self._config_path)
        held = self.configuring.health().reason
        if held == "as_pushed":
            self.changes.accept(text)
        elif held != "trying":
            self.changes.compare(text)

    def stop(self) -> bool:
        """End: outputs are switched off; watchers, so that what they still say is stored; recorders; the uplink last.

        Whether every part has ended in time. What has not been delivered waits in the outbox for the next start.
        """
        late = self._serving.stop(_PAGE_STOP_S)
        late += self._acting.stop(_OUTPUTS_STOP_S)
        late += self._watching.stop(STOP_WITHIN_S - _UPLINK_STOP_S - _RECORDERS_STOP_S - _OUTPUTS_STOP_S - _PAGE_STOP_S)
        late_recorders = self._keeping.stop(_RECORDERS_STOP_S)
        late += late_recorders
        if self._recording is not None and not late_recorders:
            self._recording.opener.close()
        if self._wires is not None and not late:
            self._wires.close()
        self.sink.flush()
        late += self._sending.stop(_UPLINK_STOP_S)
        for part_id in late:
            logger.warning("part %s did not end in time and is left behind", part_id)
        self._machine.keep()
        self.outbox.close()
        os.close(self._lock)
        return not late

    def restart(self) -> None:
        """Ask for the end of this life and another one; whoever called `run` sees to it. From any thread."""
        self.restart_wanted = True
        self.ended.set()

    def run(self, notifier: Notifier | None = None) -> int:
        """Work until SIGTERM, SIGINT or `restart`; the exit code. Call it on the main thread."""
        return life.live(self, self.ended, notifier or Notifier())

    def pulse(self) -> str:
        """Whether the agent turns (see `health.pulse`)."""
        return pulse.judge(
            now_s=self.clock.monotonic_s(),
            uplink_running_since_s=self._sending.running_since_s(self.publisher.part_id),
            uplink_turned_s=self._turned_s,
            unguarded=[p for s in (self._watching, self._keeping, self._acting, self._sending) for p in s.unguarded()],
        )

    def _part_health(self) -> list[PartHealth]:
        """Every part that runs on a thread of its own."""
        supervisors = (self._watching, self._keeping, self._acting, self._serving, self._sending)
        return [h for one in supervisors for h in one.health()]

    def health(self) -> list[PartHealth]:
        """Evidence of every part, of the uplink, the outbox, the clock and this process."""
        now_ms = self.clock.wall_ms()
        try:
            free_bytes: int | None = shutil.disk_usage(self._folder).free
        except OSError:
            free_bytes = None
        return [
            *self._part_health(),
            outbox_health(self.outbox.stats(), free_bytes=free_bytes, limits=self._limits, now_ms=now_ms),
            self.clock_watch.health(),
            self.configuring.health(),
            *self._machine.health(),
            process_health(now_ms=now_ms),
        ]

    def _close_orphans(self, part_id: str) -> None:
        """End what a part that has failed left open, under whichever name."""
        part = next(part for part in self.parts if part.part_id == part_id)
        for source_id in part.source_ids if isinstance(part, ManySources) else [part_id]:
            self.sink.close_orphans(source_id)

    def _upkeep(self) -> float | None:
        """What is due besides sending: commit measurements that wait, judge faults of the node."""
        due_s = self.sink.flush_due()
        self.configuring.tick()
        self.arming.tick()
        now_s = self.clock.monotonic_s()
        if now_s >= self._judge_at_s:
            self._judge_at_s = now_s + _JUDGE_EVERY_S
            self._faults, drafts = faults.step(
                self._faults, self.health(), now_s, self.clock.wall_ms(), boot_id=self.outbox.boot_id
            )
            for draft in drafts:
                self.sink.alarm(draft)
        self._turned_s = self.clock.monotonic_s()
        return self._judge_at_s if due_s is None else min(due_s, self._judge_at_s)


def _budgets(settings: MachineSettings) -> Budgets:
    written_gb, data_mb = settings.daily_write_gb, settings.monthly_data_mb
    return Budgets(
        daily_write_bytes=None if written_gb is None else written_gb * 1e9,
        monthly_data_bytes=None if data_mb is None else data_mb * 1e6,
    )
