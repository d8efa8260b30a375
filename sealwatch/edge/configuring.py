"""Configurations that the service pushes: judged, put in place whole or not at all, tried, and put back by themselves.

Beside ``node.toml`` lie ``node.toml.former``, the text before the newest one, and ``node.toml.trial``, where the trial
stands (`sealwatch.edge.trial`). The order of writing is such that at every moment the next start knows what to do:

  take      former <- what is in place; trial <- trying; node.toml <- pushed text; the agent starts again
  confirm   trial <- confirmed
  put back  trial <- putting_back; node.toml <- former; trial <- rolled_back; the agent starts again

Refusals
  reason: no_service_key | too_large | not_json | wrong_shape | unknown_key | bad_signature | not_for_this_node
          | not_newer | busy (another one, or an update, is on trial; taken after it)
          | not_kept (the disk or the rights refuse; it may come again);
          invalid | other_node | unpins_service: this version is never tried
"""

from __future__ import annotations

import hashlib
import logging
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from sealwatch.base.clock import Clock
from sealwatch.base.errors import UsageError
from sealwatch.base.files import Step, replace_file
from sealwatch.base.settings import SettingsError
from sealwatch.contract import wire
from sealwatch.contract.messages import NodeConfig, PartHealth, Reply, Sealed
from sealwatch.contract.wire import Refused, Trusted
from sealwatch.edge import trial
from sealwatch.edge.config import NodeSettings, parse_node
from sealwatch.edge.config import service_key as pinned_keys
from sealwatch.edge.trial import TrialState

logger = logging.getLogger(__name__)
PART_ID: Final = "configuration"
_SAME: Final = ("site_id", "node_id", "data_dir")


def _no_step(_name: str) -> None: ...


class TrialFiles:
    """The three files and the order in which they are written. Raises OSError."""

    def __init__(self, path: Path, step: Step = _no_step) -> None:
        """`step` is told each step before it is taken, such as ``former.write`` (see `sealwatch.base.files`)."""
        self.path = path.resolve()
        self._former = self.path.with_name(f"{self.path.name}.former")
        self._trial = self.path.with_name(f"{self.path.name}.trial")
        self._step = step

    def state(self) -> TrialState:
        """Where the trial stands; a file that can't be read counts as none: what is in place stays."""
        try:
            return msgspec.json.decode(self._trial.read_bytes(), type=TrialState)
        except FileNotFoundError:
            return TrialState()
        except (OSError, msgspec.DecodeError) as error:
            logger.warning("%s cannot be read (%s) and is not used", self._trial, error)
            return TrialState()

    def save(self, state: TrialState) -> None:
        self._write("trial", self._trial, msgspec.json.encode(state))

    def sha256(self) -> str:
        """Digest of what is in place."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    def put(self, state: TrialState, text: bytes) -> None:
        """Put a text in place, with `state` beside it."""
        self._write("former", self._former, self.path.read_bytes())
        self.save(state)
        self._write("config", self.path, text)

    def put_back(self, state: TrialState) -> TrialState:
        """The former text in place again; may be repeated."""
        self.save(state)
        self._write("config", self.path, self._former.read_bytes())
        back = trial.is_back(state)
        self.save(back)
        return back

    def _write(self, name: str, path: Path, data: bytes) -> None:
        mode = stat.S_IMODE(self.path.stat().st_mode)
        replace_file(path, data, mode=mode, step=lambda step: self._step(f"{name}.{step}"))


def settle(path: Path, step: Step = _no_step) -> None:
    """At the very start, before the file is read: count this start, or put the former text back. Never raises."""
    files = TrialFiles(path, step)
    try:
        before = files.state()
        state = trial.at_start(before, files.sha256()) if before.outcome == "trying" else before
        if state.outcome == "putting_back":
            files.put_back(state)
            logger.warning("configuration %d was put back: %s %s", state.version, state.reason, state.detail)
        elif state != before:
            files.save(state)
    except OSError as error:
        logger.warning("the trial of a configuration cannot be settled: %s", error)


def give_up(path: Path, error: UsageError) -> bool:
    """The agent cannot even be built: whether that was a configuration on trial, which is now put back."""
    files = TrialFiles(path)
    state = files.state()
    if state.outcome != "trying":
        return False
    try:
        files.put_back(trial.put_back(state, "does_not_start", str(error)))
    except OSError as cause:
        logger.warning("the former configuration cannot be put back: %s", cause)
        return False
    return True


class ConfigKeeper:
    """Takes pushed configurations while the agent runs, and watches the one on trial. One thread: the publisher's."""

    def __init__(
        self,
        path: Path,
        settings: NodeSettings,
        *,
        service_key: Trusted,
        clock: Clock,
        parts: Callable[[], Sequence[PartHealth]],
        connected: Callable[[], bool],
        restart: Callable[[], None],
        reply: Callable[[Reply], None],
        busy: Callable[[], bool] = lambda: False,
        step: Step = _no_step,
    ) -> None:
        """`parts` is the health that a trial is judged by; `restart` asks the agent to end and begin anew.

        While `busy` (an update is on trial) what comes waits.
        """
        self._files, self._settings, self._key = TrialFiles(path, step), settings, service_key
        self._clock, self._parts, self._connected = clock, parts, connected
        self._restart, self._reply, self._busy = restart, reply, busy
        self._began_s = clock.monotonic_s()
        self._state = self._files.state()
        self._drifted = self._drift()
        self._told = False
        self._waiting = b""

    @property
    def state(self) -> TrialState:
        return self._state

    def _drift(self) -> bool:
        """Whether the file is another one than the service's newest that holds."""
        if not self._state.sha256:
            return False
        try:
            return self._files.sha256() != self._state.sha256
        except OSError:
            return True

    def take(self, payload: bytes) -> str:
        """Judge what came on the channel; ``unchanged``, ``taken`` (the agent starts again) or the refusal's name."""
        try:
            config = self._believed(payload)
        except Refused as refused:
            if refused.reason == "busy":
                self._waiting = payload
            logger.warning("a configuration is refused: %s", refused)
            return refused.reason
        if config is None:
            return "unchanged"
        try:
            self._put(config, wire.decode(Sealed, payload).key_id)
        except OSError as error:
            logger.warning("the configuration cannot be written: %s; let the agent write its file and folder", error)
            self._answer(config.version, ok=False, reason="not_kept", detail=f"{self._files.path}: {error.strerror}")
            return "not_kept"
        return "taken" if self._state.outcome in {"trying", "confirmed"} else self._state.reason

    def _believed(self, payload: bytes) -> NodeConfig | None:
        if self._key is None:
            raise Refused("no_service_key", "no key of the service is pinned; set service_public_key in node.toml")
        config = wire.unseal(NodeConfig, payload, self._key)
        if (config.site_id, config.node_id) != (self._settings.site_id, self._settings.node_id):
            raise Refused("not_for_this_node", f"it is for {config.site_id}/{config.node_id}")
        if config.version == self._state.version:
            return None
        if config.version < self._state.version:
            raise Refused("not_newer", f"version {config.version} does not follow {self._state.version}")
        if self._state.outcome in {"trying", "putting_back"}:
            raise Refused("busy", f"version {self._state.version} is still on trial")
        if self._busy():
            raise Refused("busy", "an update is on trial")
        return config

    def _put(self, config: NodeConfig, sealed_by: str) -> None:
        refused = self._wrong(config, sealed_by)
        if refused is not None:
            self._keep(trial.refuse(self._state, config.version, *refused))
            self._tell()
            return
        text = config.toml.encode()
        sha256 = hashlib.sha256(text).hexdigest()
        state = trial.begin(self._state, config.version, sha256, self._parts())
        if sha256 == self._files.sha256():
            self._keep(trial.confirm(state))
            self._drifted = False
            self._tell()
            return
        self._files.put(state, text)
        self._state, self._drifted = state, False
        self._began_s = self._clock.monotonic_s()
        logger.info("configuration %d is in place; the agent starts again to try it", config.version)
        self._restart()

    def _wrong(self, config: NodeConfig, sealed_by: str) -> tuple[str, str] | None:
        try:
            wanted = parse_node(config.toml, name="node.toml")
        except SettingsError as error:
            return "invalid", str(error)
        differing = [name for name in _SAME if getattr(wanted, name) != getattr(self._settings, name)]
        if differing:
            return "other_node", f"{', '.join(differing)} cannot be changed from afar"
        if sealed_by not in (pinned_keys(wanted) or {}):
            return "unpins_service", "it does not pin the key that it is sealed with; nothing could be pushed any more"
        return None

    def _keep(self, state: TrialState) -> None:
        self._files.save(state)
        self._state = state

    def tick(self) -> None:
        """Look at a trial under way; say once what became of the newest version. Called at every turn."""
        if not self._told and self._connected():
            self._told = True
            self._tell()
        if self._state.outcome != "trying":
            if self._waiting and not self._busy():
                payload, self._waiting = self._waiting, b""
                self.take(payload)
            return
        running_s = self._clock.monotonic_s() - self._began_s
        verdict, detail = trial.judge(self._state, self._parts(), connected=self._connected(), running_s=running_s)
        try:
            if verdict == "confirm":
                self._keep(trial.confirm(self._state))
                logger.info("configuration %d is confirmed", self._state.version)
                self._tell()
            elif verdict == "put_back":
                self._state = self._files.put_back(trial.put_back(self._state, "unhealthy", detail))
                logger.warning("configuration %d is put back: %s", self._state.version, detail)
                self._restart()
        except OSError as error:
            logger.warning("the outcome of a configuration cannot be written: %s; tried again", error)

    def _tell(self) -> None:
        """The outcome of the newest version; the service keeps the first answer to each."""
        state = self._state
        if state.outcome in {"confirmed", "rolled_back", "refused"}:
            ok = state.outcome == "confirmed"
            reason = state.outcome if state.outcome != "refused" else state.reason
            self._answer(state.version, ok=ok, reason=reason, detail=state.detail)

    def _answer(self, version: int, *, ok: bool, reason: str, detail: str) -> None:
        self._reply(
            Reply(
                site_id=self._settings.site_id,
                node_id=self._settings.node_id,
                command_id=f"config-{version}",
                ok=ok,
                reason=reason,
                detail=detail[:500],
                replied_at_ms=self._clock.wall_ms(),
            )
        )

    def health(self) -> PartHealth:
        """Reasons: own (nothing was pushed), as_pushed, local_changes, trying, rolled_back, refused."""
        held = "local_changes" if self._drifted else "as_pushed" if self._state.sha256 else "own"
        reason = self._state.outcome if self._state.outcome in {"trying", "rolled_back", "refused"} else held
        return PartHealth(
            part_id=PART_ID,
            kind="configuration",
            ok=reason not in {"rolled_back", "refused"},
            reason=reason,
            evidence_at_ms=self._clock.wall_ms(),
            numbers={
                "version": float(self._state.version),
                "confirmed_version": float(self._state.confirmed_version),
                "local_changes": float(self._drifted),
            },
        )
