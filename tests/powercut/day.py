"""The day: lives of the agent one after another on a disk that forgets, and the reckoning at the end."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from sealwatch.base.broker import free_port
from sealwatch.contract import signing
from sealwatch.edge import identity
from sealwatch.edge.uplink.entries import OUTBOX_FILE
from tests.edge.recorder.support import encode
from tests.powercut import evidence
from tests.powercut.disk import Loss, Mounted
from tests.powercut.life import CAMERA, METER, DayClock, live

SITE: Final = "410100000001"
NODE: Final = "node-1"
LIFE_S: Final = (0.1, 1.1)  # real seconds between two cuts
SETTLE_S: Final = 120.0
_BROKER: Final = """\
import sys, time
from sealwatch.base.broker import EmbeddedBroker
with EmbeddedBroker(int(sys.argv[1])):
    while True:
        time.sleep(3600)
"""
_MUST_BE_ZERO: Final = (
    "alarms_lost",
    "alarms_doubled",
    "alarms_left_open",
    "numbers_missing",
    "evidence_broken",
    "evidence_unlisted",
    "chain_broken",
    "packs_broken",
)


@dataclass(frozen=True)
class Outcome:
    """What came out. `_MUST_BE_ZERO` names what must not have happened."""

    kills: int
    power_cuts: int
    blocks_taken_back: int
    blocks_torn: int
    names_undone: int
    alarms_promised: int
    alarms_lost: int
    alarms_doubled: int
    alarms_left_open: int
    messages_stored: int
    numbers_missing: int
    evidence_files: int
    evidence_broken: int
    evidence_unlisted: int
    chain_links: int
    chain_broken: int
    packs_verified: int
    packs_broken: int

    @property
    def holds(self) -> bool:
        """Whether the node kept its word."""
        return not any(getattr(self, name) for name in _MUST_BE_ZERO)

    def table(self) -> str:
        """For people, as Markdown."""
        rows = [f"| {f.name.replace('_', ' ')} | {getattr(self, f.name):,} |" for f in fields(self)]
        return "\n".join(["| | |", "|---|---|", *rows])


class Day:
    """Plays it once."""

    def __init__(self, folder: Path, *, cuts: int, hours: float, seed: int) -> None:
        self._folder, self._cuts, self._dice = folder, cuts, random.Random(seed)
        self._disk, self._mount, self._cloud = folder / "disk", folder / "node", folder / "cloud"
        for made in (self._disk, self._mount, self._cloud):
            made.mkdir(parents=True)
        self._journal = folder / "journal.txt"
        self._port = free_port()
        self._speed = hours * 3600 / (cuts * sum(LIFE_S) / 2)
        self._hours = hours
        self._film = encode(folder / "film.ts", seconds=120, size=(64, 48))
        self.identity = identity.load_or_create(self._disk)
        self._config = self._write_node()
        self._cloud_config = self._write_cloud()

    def _write_node(self) -> Path:
        path = self._folder / "node.toml"
        path.write_text(
            f'site_id = "{SITE}"\nnode_id = "{NODE}"\ndata_dir = "{self._mount}"\n'
            f'[mqtt]\nurl = "mqtt://127.0.0.1:{self._port}"\n'
            "[recorder]\nsegment_s = 60\nmax_gb = 0.1\nkeep_free_gb = 0\nclip_max_s = 120\n"
            f'[[cameras]]\ncamera_id = "{CAMERA}"\nsource = "rtsp://127.0.0.1/none"\n'
            f'[[meters]]\nmeter_id = "{METER}"\nurl = "serial:/dev/null"\naddress = "1"\n',
            encoding="utf-8",
        )
        return path

    def _write_cloud(self) -> Path:
        path = self._folder / "cloud.toml"
        path.write_text(
            f'data_dir = "{self._cloud}"\ningest_group = ""\n[mqtt]\nurl = "mqtt://127.0.0.1:{self._port}"\n'
            f'[web]\nport = {free_port()}\n[webhook]\nsecret = "env:SEALWATCH_CUTS_SECRET"\n'
            f'[[sites]]\nsite_id = "{SITE}"\nname_zh = "一号井"\nname_en = "Shaft 1"\ndeclared_status = "power_cut"\n'
            f'[[nodes]]\nnode_id = "{NODE}"\nsite_id = "{SITE}"\n'
            f'public_key = "{signing.public_key_text(self.identity.key.public_key())}"\n',
            encoding="utf-8",
        )
        return path

    def play(self) -> Outcome:
        """Every life, then one in peace, then the reckoning."""
        with self._program([sys.executable, "-c", _BROKER, str(self._port)], "broker") as broker:
            serve = [sys.executable, "-m", "sealwatch", "cloud", "serve", "--config", str(self._cloud_config)]
            with self._program(serve, "service") as service:
                try:
                    losses = self._lives()
                finally:
                    service.send_signal(signal.SIGTERM)
                    service.wait(20)
                    broker.kill()
        return self._reckon(losses)

    def _program(self, command: list[str], name: str) -> subprocess.Popen[bytes]:
        with (self._folder / f"{name}.log").open("wb") as log:
            environment = {**os.environ, "SEALWATCH_CUTS_SECRET": "of-this-run"}
            return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment)

    def _lives(self) -> list[Loss | None]:
        began_s = boot_s = time.monotonic()
        midnight_ms = time.time_ns() // 1_000_000 - int(self._hours * 3_600_000)
        losses: list[Loss | None] = []
        mounted = Mounted(self._disk, self._mount)
        try:
            for life in range(self._cuts):
                clock = DayClock(self._speed, began_s, boot_s, midnight_ms)
                pid = self._born(clock, life)
                time.sleep(self._dice.uniform(*LIFE_S))
                os.kill(pid, signal.SIGKILL)
                if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != -signal.SIGKILL:
                    raise RuntimeError(f"the agent ended by itself; see {self._journal.with_suffix('.log')}")
                if life % 2 == 0:
                    losses.append(None)
                    continue
                losses.append(mounted.cut(self._dice.randrange(2**32)))
                boot_s = time.monotonic()
                mounted = Mounted(self._disk, self._mount)
            # From here on in real time: what waits must arrive within minutes that people would wait.
            self._settle(DayClock(1.0, time.monotonic(), time.monotonic(), time.time_ns() // 1_000_000))
        finally:
            mounted.unmount()
        return losses

    def _born(self, clock: DayClock, life: int, *, alarms: bool = True) -> int:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = live(self._config, self._film, self._journal, clock, life, alarms=alarms)
            finally:
                os._exit(code)
        return pid

    def _settle(self, clock: DayClock) -> None:
        pid = self._born(clock, self._cuts, alarms=False)
        until_s = time.monotonic() + SETTLE_S
        time.sleep(2.0)
        while self._waiting() and time.monotonic() < until_s:
            time.sleep(0.5)
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)

    def _waiting(self) -> int:
        with closing(sqlite3.connect(f"file:{self._mount / OUTBOX_FILE}?mode=ro", uri=True, timeout=10)) as db:
            return int(db.execute("SELECT count(*) FROM message WHERE channel <> 'samples'").fetchone()[0])

    # -- the reckoning -------------------------------------------------------------------------------------------

    def _reckon(self, losses: list[Loss | None]) -> Outcome:
        promised = Counter(
            tuple(row.split()[1:3]) for row in self._journal.read_text().splitlines() if row.startswith("done ")
        )
        with closing(sqlite3.connect(self._cloud / "cloud.sqlite")) as db:
            stored = Counter(db.execute("SELECT alarm_id, phase FROM alarm_transitions"))
            received = set(db.execute("SELECT boot_id, seq FROM received WHERE channel IN ('alarm', 'snapshot')"))
            left_open = db.execute("SELECT count(*) FROM alarms WHERE phase <> 'end' AND alarm_id LIKE 'day-%'")
            still_open = int(left_open.fetchone()[0])
        with closing(sqlite3.connect(self._disk / OUTBOX_FILE)) as db:
            held = set(db.execute("SELECT boot_id, seq FROM message WHERE channel IN ('alarm', 'snapshot')"))
            tally = "SELECT sum(value) FROM tally WHERE name IN ('numbered_alarm', 'numbered_snapshot')"
            numbered = int(db.execute(tally).fetchone()[0] or 0)
        cut = [loss for loss in losses if loss is not None]
        return Outcome(
            kills=len(losses) - len(cut),
            power_cuts=len(cut),
            blocks_taken_back=sum(loss.blocks for loss in cut),
            blocks_torn=sum(loss.torn for loss in cut),
            names_undone=sum(loss.names for loss in cut),
            alarms_promised=len(promised),
            alarms_lost=sum(1 for key in promised if key not in stored),
            alarms_doubled=sum(1 for (alarm_id, _), n in stored.items() if n > 1 and alarm_id.startswith("day-")),
            alarms_left_open=still_open,
            messages_stored=len(received),
            numbers_missing=numbered - len(received | held),
            **evidence.reckon(self._disk / "footage", self.identity.key, site_id=SITE, node_id=NODE),
        )
