"""A node that is updated: the real keeper and the real start script, with an agent that is a line of shell."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwatch.base.clock import ManualClock
from sealwatch.contract import wire
from sealwatch.contract.messages import PartHealth, Reply
from sealwatch.contract.release import Kind, Offered, Release, ReleaseFile, UpdateOffer
from sealwatch.edge.update.fetch import FetchError, FileKeep
from sealwatch.edge.update.install import InstallError
from sealwatch.edge.update.keeper import UpdateKeeper
from sealwatch.edge.update.slots import FOLDER, SLOT_ENV, SLOTS_ENV, Slots, started_from
from sealwatch.edge.update.state import Here, Update

SERVICE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
RELEASES = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
START = Path(__file__).parents[3] / "deploy" / "systemd" / "sealwatch-start"
PLATFORM = "linux-aarch64-cp311"


class PulledError(BaseException):
    """The plug."""


def release(
    version: str, *, kind: Kind = "agent", platform: str = PLATFORM, min_agent: str = "0", files: dict[str, bytes]
) -> Release:
    return Release(
        kind=kind,
        version=version,
        platform=platform,
        min_agent=min_agent,
        issued_at_ms=1,
        files=[
            ReleaseFile(name=name, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
            for name, data in files.items()
        ],
    )


def sealed(release: Release, key: Ed25519PrivateKey = RELEASES) -> str:
    return wire.seal(key, release).decode()


def offer(version: int, *offered: tuple[int, str], key: Ed25519PrivateKey = SERVICE, node_id: str = "n1") -> bytes:
    return wire.seal(
        key,
        UpdateOffer(
            site_id="s1",
            node_id=node_id,
            version=version,
            issued_at_ms=1,
            offered=[Offered(attempt=attempt, release=text) for attempt, text in offered],
        ),
    )


class MemorySource:
    """The service's files; `down` is a link that is away, `asked` what was asked for."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.down = False
        self.asked: list[tuple[str, int, int]] = []

    def add(self, data: bytes) -> None:
        self.files[hashlib.sha256(data).hexdigest()] = data

    def piece(self, sha256: str, offset_bytes: int, most_bytes: int) -> bytes:
        self.asked.append((sha256, offset_bytes, most_bytes))
        if self.down:
            raise FetchError("unreachable", "no link")
        return self.files[sha256][offset_bytes : offset_bytes + most_bytes]


def install(release: Release, keep: FileKeep, _stopped: Callable[[], bool]) -> Callable[[Path], None]:
    """A slot whose agent is the file `agent` of the release."""

    def fill(slot: Path) -> None:
        for file in release.files:
            data = keep.path(file.sha256).read_bytes()
            if data == b"cannot be installed":
                raise InstallError("no such wheel")
            target = slot / "bin" / "sealwatch" if file.name == "agent" else slot / file.name
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(data)
            target.chmod(0o755)

    return fill


def agent(version: str) -> bytes:
    """An agent that only says who it is and from which slot; or, as `broken`, dies at once."""
    if version == "broken":
        return b"#!/bin/sh\nexit 3\n"
    return f'#!/bin/sh\necho "{version} $SEALWATCH_SLOT"\n'.encode()


@dataclass
class Node:
    """Started again whenever it ends, as systemd would; `parts` says how its parts are, by the version that runs."""

    folder: Path
    parts: Callable[[str], bool] = lambda _version: True
    clock: ManualClock = field(default_factory=ManualClock)
    source: MemorySource = field(default_factory=MemorySource)
    acknowledged: bool = True
    busy: str = ""
    daily_bytes: int = 10**9
    replies: list[Reply] = field(default_factory=list)
    told: list[tuple[str, str, str, str]] = field(default_factory=list)
    pull_before: str = ""
    steps: list[str] = field(default_factory=list)
    starts: int = 0
    trace: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.data = self.folder / "data"
        self.data.mkdir(exist_ok=True)
        factory = self.folder / "bin"
        factory.mkdir(exist_ok=True)
        (factory / "sealwatch").write_bytes(agent("1.0"))
        (factory / "sealwatch").chmod(0o755)
        if not (factory / "sealwatch-start").exists():
            (factory / "sealwatch-start").symlink_to(START)
        self.boot()

    @property
    def version(self) -> str:
        return self.running[0]

    def step(self, name: str) -> None:
        self.steps.append(name)
        if name == self.pull_before:
            self.pull_before = ""
            raise PulledError

    def started(self) -> tuple[str, str] | None:
        """What the start script starts: version and slot, or None where it dies."""
        command = [str(self.folder / "bin" / "sealwatch-start"), str(self.data / FOLDER), "edge", "run"]
        done = subprocess.run(command, capture_output=True, text=True, env={"PATH": os.environ["PATH"]}, check=False)
        self.starts += 1
        if done.returncode != 0:
            self.trace.append("died")
            return None
        version, slot = done.stdout.split()
        self.trace.append(version)
        return version, slot

    def boot(self) -> None:
        """Start until something runs."""
        for _ in range(10):
            found = self.started()
            if found is not None:
                break
        else:
            raise AssertionError("nothing runs any more")
        self.running = found
        self.wants_restart = False
        environment = {SLOTS_ENV: str(self.data / FOLDER), SLOT_ENV: found[1]}
        self.keeper = UpdateKeeper(
            self.data,
            site_id="s1",
            node_id="n1",
            here=Here(agent_version=found[0], platform=PLATFORM),
            running_slot=started_from(self.data, environment),
            service_key=SERVICE.public_key(),
            release_key=RELEASES.public_key(),
            source=self.source,
            daily_bytes=self.daily_bytes,
            clock=self.clock,
            parts=lambda: [PartHealth(part_id="cam-1", kind="camera", ok=self.parts(self.version), reason="no_signal")],
            acknowledged=lambda: self.acknowledged,
            not_quiet=lambda: self.busy,
            restart=lambda: setattr(self, "wants_restart", True),
            reply=self.replies.append,
            tell=lambda *what: self.told.append(what),
            install=install,
            step=self.step,
        )

    def run(self, seconds: float) -> None:
        """Let time pass, starting again whenever the node asks for it."""
        until_s = self.clock.monotonic_s() + seconds
        while self.clock.monotonic_s() < until_s:
            wait_s = self.keeper.step()
            if self.wants_restart:
                self.boot()
            self.clock.advance(max(0.01, min(wait_s, until_s - self.clock.monotonic_s())))

    def offered(self, number: int, version: str, body: bytes | None = None) -> None:
        data = agent(version) if body is None else body
        self.source.add(data)
        self.keeper.take(offer(number, (number, sealed(release(version, files={"agent": data})))))

    def update(self, kind: Kind = "agent") -> Update:
        return self.keeper.known.of(kind)

    def slots(self, kind: Kind = "agent") -> Slots:
        return Slots(self.data, kind)
