"""The part that carries updates out: takes offers, fetches, fills a slot, switches in a quiet moment, judges the trial.

``update/state.json`` is written before each thing that it announces, so that whatever moment the plug is pulled at,
the next start knows what to do (`_settle`):

  switch     state <- trying; trial <- former slot; current -> new slot; the agent starts again
  confirm    state <- confirmed; trial removed
  put back   state <- putting_back; current -> former slot; trial removed; state <- rolled_back; the agent starts again
"""

from __future__ import annotations

import logging
import queue
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec.structs import replace

from sealwatch.base.backoff import full_jitter_s
from sealwatch.base.clock import Clock
from sealwatch.base.files import Step, replace_file
from sealwatch.contract import wire
from sealwatch.contract.messages import PartHealth, Reply
from sealwatch.contract.release import KINDS, Kind, Release, ReleaseFile, UpdateOffer
from sealwatch.contract.wire import Refused, Trusted
from sealwatch.edge.update import state as state_
from sealwatch.edge.update.fetch import PIECE_BYTES, FetchError, FileKeep, Source
from sealwatch.edge.update.files import ASKED_FILE, STATE_FILE, load, may_go_back
from sealwatch.edge.update.install import InstallError, InstallStoppedError, builder
from sealwatch.edge.update.slots import Slot, Slots, as_slot
from sealwatch.edge.update.state import Here, Known, Update

logger = logging.getLogger(__name__)
PART_ID: Final = "update"
IDLE_S: Final = 10.0
ROOM_TIMES: Final = 4  # an unpacked agent takes about three times its wheels
Install = Callable[[Release, FileKeep, Callable[[], bool]], Callable[[Path], None]]


class UpdateKeeper:
    """One part, one thread; `take` may be called from any. `step` does what is due and says how long to wait."""

    part_id = PART_ID

    def __init__(
        self,
        data_folder: Path,
        *,
        site_id: str,
        node_id: str,
        here: Here,
        running_slot: str | None,
        service_key: Trusted,
        release_key: Ed25519PublicKey,
        source: Source,
        daily_bytes: int,
        clock: Clock,
        parts: Callable[[], Sequence[PartHealth]],
        acknowledged: Callable[[], bool],
        not_quiet: Callable[[], str],
        restart: Callable[[], None],
        reply: Callable[[Reply], None],
        tell: Callable[[str, Kind, str, str], None],
        install: Install = builder,
        step: Step = lambda _name: None,
    ) -> None:
        """`running_slot` is None where ``sealwatch-start`` did not start this agent: then nothing is installed.

        `tell` records a switch, a confirmation or a way back: what, kind, version before, version after.
        """
        self._folder = data_folder / "update"
        self._file, self._asked = self._folder / STATE_FILE, self._folder / ASKED_FILE
        self._site_id, self._node_id, self._here, self._running_slot = site_id, node_id, here, running_slot
        self._service_key, self._release_key = service_key, release_key
        self._source, self._daily_bytes, self._clock = source, daily_bytes, clock
        self._parts, self._acknowledged, self._not_quiet = parts, acknowledged, not_quiet
        self._restart, self._reply, self._tell, self._install = restart, reply, tell, install
        self._keep = FileKeep(data_folder)
        self._slots = {kind: Slots(data_folder, kind, step) for kind in KINDS}
        self._plug = step
        self._inbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._wake, self._stop = threading.Event(), threading.Event()
        self._known = load(data_folder)
        self._reason, self._attempts, self._ended = "idle", 0, False
        self._began_s = clock.monotonic_s()
        self._settle()

    @property
    def known(self) -> Known:
        return self._known

    @property
    def on_trial(self) -> bool:
        """Whether an update has yet to prove itself: no moment for a new configuration."""
        return any(self._known.of(kind).outcome in {"trying", "putting_back"} for kind in KINDS)

    def take(self, payload: bytes) -> None:
        """An offer has come. From any thread."""
        self._inbox.put(payload)
        self._wake.set()

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set."""
        self._stop = stop
        for kind in KINDS:
            update = self._known.of(kind)
            if update.outcome == "trying":  # an alarm, so that there is something for the service to acknowledge
                self._tell("update_begins", kind, update.former_version or "0", update.version)
            self._answer(kind)
        while not stop.is_set():
            wait_s = self.step()
            until_s = self._clock.monotonic_s() + wait_s
            while not stop.is_set() and not self._wake.is_set() and self._clock.monotonic_s() < until_s:
                stop.wait(min(0.5, wait_s))
            self._wake.clear()

    def step(self) -> float:
        """What is due; seconds until the next step."""
        if self._ended:  # the agent is about to start again
            return IDLE_S
        try:
            self._hear()
            for kind in KINDS:
                update = self._known.of(kind)
                if update.outcome in {"trying", "putting_back"}:
                    return self._judge(kind)
            for kind in KINDS:
                if self._known.of(kind).outcome == "fetching":
                    return self._advance(kind)
        except FetchError as error:
            self._note(error.reason, str(error))
            self._attempts += 1
            return full_jitter_s(self._attempts - 1, base_s=5.0, cap_s=900.0)
        except OSError as error:
            self._note("disk_error", f"updates: {error}; tried again")
            return 60.0
        self._reason = "idle"
        return IDLE_S

    # -- what was heard -------------------------------------------------------------------------------------------

    def _hear(self) -> None:
        asked = self._take_asked()
        if asked in {"rollback agent", "rollback model"}:
            self._go_back_on_purpose("agent" if asked.endswith("agent") else "model")
        elif asked == "now":
            for kind in KINDS:
                self._save(self._known.put(kind, replace(self._known.of(kind), at_once=True)))
        while not self._inbox.empty():
            payload = self._inbox.get()
            before = self._known
            try:
                offer = self._believed(payload)
                after = state_.take_offer(before, offer, self._here, self._release_key)
            except Refused as refused:
                if refused.reason == "busy":
                    self._inbox.put(payload)
                    return
                logger.warning("an offer of updates is refused: %s", refused)
                continue
            if after == before:
                continue
            self._save(after)
            for kind in KINDS:
                if after.of(kind) != before.of(kind):
                    found = after.of(kind)
                    logger.info("update of the %s to %s: %s %s", kind, found.version, found.outcome, found.reason)
                    self._answer(kind)

    def _believed(self, payload: bytes) -> UpdateOffer:
        if self._service_key is None:
            raise Refused("no_service_key", "no key of the service is pinned; set service_public_key in node.toml")
        offer = wire.unseal(UpdateOffer, payload, self._service_key)
        if (offer.site_id, offer.node_id) != (self._site_id, self._node_id):
            raise Refused("not_for_this_node", f"it is for {offer.site_id}/{offer.node_id}")
        return offer

    def _take_asked(self) -> str:
        try:
            asked = self._asked.read_text().strip()
            self._asked.unlink()
        except FileNotFoundError:
            return ""
        return asked

    # -- fetch, fill, switch --------------------------------------------------------------------------------------

    def _advance(self, kind: Kind) -> float:
        update, slots = self._known.of(kind), self._slots[kind]
        if self._running_slot is None:
            self._note("not_started_from_slots", "this agent was not started by sealwatch-start; nothing is installed")
            return IDLE_S
        release = wire.unseal(Release, update.release.encode(), self._release_key)
        lacking = [file for file in release.files if not self._keep.has(file)]
        if lacking:
            return self._fetch(update, release, lacking)
        slot = slots.other()
        if slots.complete(slot) != update.sha256:
            self._fill(kind, release, slot)
            return 0.0
        self._reason = self._not_quiet() or "switching"
        if self._reason != "switching":
            return IDLE_S
        self._switch(kind, slot)
        return IDLE_S

    def _fetch(self, update: Update, release: Release, lacking: Sequence[ReleaseFile]) -> float:
        wanted_bytes = state_.sizes(release, {file.sha256: file not in lacking for file in release.files})
        if shutil.disk_usage(self._folder).free < ROOM_TIMES * sum(file.size_bytes for file in release.files):
            self._note("no_room", f"{wanted_bytes} bytes are still to come and the disk has too little room for them")
            return 600.0
        file = lacking[0]
        offset = self._keep.offset_bytes(file)
        if offset >= file.size_bytes:  # torn by a power cut
            offset = 0
        left = PIECE_BYTES if update.at_once else self._daily_bytes - self._received_today()
        if left <= 0:
            self._reason = "budget_spent"
            return 300.0
        most = min(PIECE_BYTES, left, file.size_bytes - offset)
        self._count(most)  # counted before: a SIM card charges for what is lost as well
        data = self._source.piece(file.sha256, offset, most)
        self._reason, self._attempts = "fetching", 0
        try:
            if self._keep.add(file, offset, data):
                logger.info("%s has come, %d bytes", file.name, file.size_bytes)
        except ValueError as error:
            self._note("altered", str(error))
            return 60.0
        return 0.0

    def _fill(self, kind: Kind, release: Release, slot: Slot) -> None:
        self._reason = "installing"
        update = self._known.of(kind)
        try:
            self._slots[kind].fill(slot, update.sha256, self._install(release, self._keep, self._stop.is_set))
        except InstallStoppedError:
            return
        except InstallError as error:
            self._set(kind, replace(update, outcome="refused", reason="not_installable", detail=str(error)[:500]))
            self._answer(kind)

    def _switch(self, kind: Kind, slot: Slot) -> None:
        slots, update = self._slots[kind], self._known.of(kind)
        in_use = self._here.agent_version if kind == "agent" else update.in_use_version
        self._plug(f"{kind}.trying")
        self._set(kind, state_.begin(update, slot, slots.current(), self._parts(), in_use))
        slots.switch(slot)
        self._end()

    # -- the trial ------------------------------------------------------------------------------------------------

    def _judge(self, kind: Kind) -> float:
        update = self._known.of(kind)
        if update.outcome == "putting_back":
            self._back(kind)
            return IDLE_S
        self._reason = "trying"
        if kind == "agent" and self._running_slot != update.slot:
            self._go_back(
                kind, "not_running", f"slot {update.slot} is in use and the agent of {self._running_slot} runs"
            )
            return IDLE_S
        running_s = self._clock.monotonic_s() - self._began_s
        parts = [part for part in self._parts() if part.part_id != PART_ID]
        verdict, detail = state_.judge(update, parts, acknowledged=self._acknowledged(), running_s=running_s)
        if verdict == "confirm":
            before = update.former_version
            self._plug(f"{kind}.confirmed")
            self._set(kind, state_.confirm(update))
            self._slots[kind].confirm()
            logger.info("update of the %s to %s is confirmed", kind, update.version)
            self._tell("update_confirmed", kind, before or "0", update.version)
            self._answer(kind)
            self._tidy()
        elif verdict == "put_back":
            self._go_back(kind, "unhealthy", detail)
        return 1.0

    def _go_back(self, kind: Kind, reason: str, detail: str) -> None:
        self._plug(f"{kind}.putting_back")
        self._set(kind, state_.put_back(self._known.of(kind), reason, detail))
        self._back(kind)

    def _go_back_on_purpose(self, kind: Kind) -> None:
        if may_go_back(self._known.of(kind), self._slots[kind]):
            self._go_back(kind, "asked", "a person on the node asked for it")
        else:
            logger.warning("there is no former %s to go back to", kind)

    def _back(self, kind: Kind) -> None:
        update = self._known.of(kind)
        self._slots[kind].put_back(as_slot(update.former))
        self._came_back(kind)
        self._end()

    def _came_back(self, kind: Kind) -> None:
        update = self._known.of(kind)
        self._plug(f"{kind}.rolled_back")
        self._set(kind, state_.is_back(update))
        logger.warning("update of the %s to %s was put back: %s %s", kind, update.version, update.reason, update.detail)
        self._tell("update_put_back", kind, update.version, update.former_version or "0")

    # -- the start ------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Bring what is known and what the slots say together: the plug may have been pulled between any two steps."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for kind in KINDS:
                self._settle_one(kind)
        except OSError as error:
            logger.warning("updates cannot be settled: %s", error)

    def _settle_one(self, kind: Kind) -> None:
        update, slots = self._known.of(kind), self._slots[kind]
        standing = slots.standing()
        in_use = update.slot != "" and slots.current() == update.slot
        found = state_.at_start(update, standing, in_use=in_use)
        if found == "gave_up":
            detail = "it was started three times without having proved itself"
            self._set(kind, state_.put_back(update, "does_not_start", detail))
            self._came_back(kind)
        elif found == "never_switched":
            self._set(kind, replace(update, outcome="fetching"))
        elif found == "is_back":
            slots.confirm()
            self._came_back(kind)
        elif found == "is_confirmed":
            slots.confirm()
        elif found == "unknown_trial":
            logger.warning("nothing is known of the %s on trial; the former one is used again", kind)
            slots.put_back(slots.former())
            self._end()
        if standing == "gave_up":
            slots.forget_gave_up()

    # -- small things ---------------------------------------------------------------------------------------------

    def _end(self) -> None:
        self._ended = True
        self._restart()

    def _tidy(self) -> None:
        wanted: set[str] = set()
        for kind in KINDS:
            if text := self._known.of(kind).release:
                wanted |= {file.sha256 for file in wire.unseal(Release, text.encode(), self._release_key).files}
        self._keep.keep_only(wanted)

    def _received_today(self) -> int:
        return self._known.received_bytes if self._known.day == self._today() else 0

    def _count(self, size: int) -> None:
        self._save(replace(self._known, received_bytes=self._received_today() + size, day=self._today()))

    def _today(self) -> str:
        return time.strftime("%Y-%m-%d", time.gmtime(self._clock.wall_ms() / 1000 + 8 * 3600))

    def _set(self, kind: Kind, update: Update) -> None:
        self._save(self._known.put(kind, update))

    def _save(self, known: Known) -> None:
        if known != self._known:
            replace_file(self._file, msgspec.json.encode(known))
            self._known = known

    def _note(self, reason: str, detail: str) -> None:
        if reason != self._reason:
            logger.warning("%s", detail)
        self._reason = reason

    def _answer(self, kind: Kind) -> None:
        """What came of the newest attempt, once; the service keeps the first answer to each."""
        update = self._known.of(kind)
        if update.attempt == 0 or update.outcome not in state_.FINAL:
            return
        self._reply(
            Reply(
                site_id=self._site_id,
                node_id=self._node_id,
                command_id=f"update-{kind}-{update.attempt}",
                ok=update.outcome == "confirmed",
                reason=update.reason if update.outcome == "refused" else update.outcome,
                detail=f"{update.version} {update.detail}".strip()[:500],
                replied_at_ms=self._clock.wall_ms(),
            )
        )

    def health(self) -> PartHealth:
        """Reasons: what is being done (fetching, installing, alarm_open, budget_spent, trying …) or what came of it."""
        outcomes = {self._known.of(kind).outcome for kind in KINDS}
        settled = "rolled_back" if "rolled_back" in outcomes else "refused" if "refused" in outcomes else "up_to_date"
        reason = settled if self._reason == "idle" else self._reason
        well = {"up_to_date", "fetching", "installing", "switching", "trying", "budget_spent", "alarm_open"}
        return PartHealth(
            part_id=PART_ID,
            kind="update",
            ok=reason in well | {"configuration_on_trial"},
            reason=reason,
            evidence_at_ms=self._clock.wall_ms(),
            numbers={"offer": float(self._known.offer), "received_today_bytes": float(self._received_today())},
        )
