"""Keeps the judgement of the machine fresh, and counts of bytes on disk: the I/O around `machine` and `ledger`."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from sealwatch.base.clock import Clock
from sealwatch.base.files import replace_file
from sealwatch.contract.messages import PartHealth
from sealwatch.edge.health import ledger, machine, sysfs
from sealwatch.edge.health.ledger import Counters, Ledger
from sealwatch.edge.health.machine import Budgets, MachineState, Readings, Use

logger = logging.getLogger(__name__)

LEDGER_FILE: Final = "machine.json"
LOOK_EVERY_S: Final = 10.0
KEEP_EVERY_S: Final = 3600.0
"""The counters go on in the kernel: what an hour's file misses is made up for by the next look, unless power is cut."""


class MachineWatch:
    """Callable from any thread; asks the machine at most once in `LOOK_EVERY_S`."""

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        *,
        certificate_file: str = "",
        budgets: Budgets | None = None,
        readings: Callable[[int], Readings] | None = None,
        counters: Callable[[], Counters] | None = None,
    ) -> None:
        """`folder` is the node's data folder: its disk is the one that is judged."""
        self._path, self._clock, self._budgets = folder / LEDGER_FILE, clock, budgets or Budgets()
        self._readings = readings or (
            lambda wall_ms: sysfs.readings(folder, certificate_file=certificate_file, wall_ms=wall_ms)
        )
        self._counters = counters or (lambda: sysfs.counters(folder))
        self._lock = threading.Lock()
        self._state, self._parts = MachineState(), list[PartHealth]()
        self._ledger = self._load()
        self._look_at_s = self._keep_at_s = float("-inf")

    def health(self) -> list[PartHealth]:
        """What was last judged, at most `LOOK_EVERY_S` old."""
        with self._lock:
            now_s = self._clock.monotonic_s()
            if now_s >= self._look_at_s:
                self._look_at_s = now_s + LOOK_EVERY_S
                self._look(now_s, self._clock.wall_ms())
            return list(self._parts)

    def keep(self) -> None:
        """Write the ledger: at the end, so that nothing counted is lost."""
        with self._lock:
            self._keep(self._clock.monotonic_s())

    def _look(self, now_s: float, wall_ms: int) -> None:
        counted = self._counters()
        self._ledger = ledger.step(self._ledger, counted, wall_ms)
        used = Use(
            written_today=None if counted.written is None else self._ledger.written,
            written_last_day=self._ledger.last_written,
            sent_month=self._ledger.sent if counted.interfaces else None,
            received_month=self._ledger.received if counted.interfaces else None,
        )
        self._state, self._parts = machine.judge(
            self._state, self._readings(wall_ms), used, self._budgets, now_s, wall_ms
        )
        if now_s >= self._keep_at_s:
            self._keep(now_s)

    def _keep(self, now_s: float) -> None:
        self._keep_at_s = now_s + KEEP_EVERY_S
        with contextlib.suppress(OSError):  # a disk that refuses has its own item (`outbox`)
            replace_file(self._path, msgspec.json.encode(self._ledger))

    def _load(self) -> Ledger:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Ledger)
        except FileNotFoundError:
            return Ledger()
        except (OSError, msgspec.DecodeError) as error:
            logger.warning("%s cannot be read (%s); counting of bytes begins anew", self._path, error)
            return Ledger()
