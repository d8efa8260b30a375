"""One life of the agent: alone in its folder, around the signals, with the machine's watchdog fed while it turns."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Final, Protocol

from sealwatch.base.clock import Clock
from sealwatch.base.errors import UsageError
from sealwatch.base.systemd import Notifier
from sealwatch.contract.messages import PartHealth
from sealwatch.edge.health import pulse

logger = logging.getLogger(__name__)
BEAT_EVERY_S: Final = 5.0


class Living(Protocol):
    """What `live` needs of an agent."""

    clock: Clock
    restart_wanted: bool

    def start(self) -> None: ...
    def stop(self) -> bool: ...
    def restart(self) -> None: ...
    def health(self) -> Sequence[PartHealth]: ...
    def pulse(self) -> str: ...


def take_folder(lock_file: Path) -> int:
    """A lock that ends with this process, whatever ends it; two agents on one outbox would send everything twice.

    Raises UsageError while another agent holds it.
    """
    descriptor = os.open(lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise UsageError(
            f"{lock_file.parent}: another agent already works with this data folder; "
            "stop it, or give this node its own data_dir"
        ) from None
    return descriptor


def live(agent: Living, ended: threading.Event, systemd: Notifier) -> int:
    """Work until SIGTERM, SIGINT or `ended`; the exit code. Call it on the main thread.

    systemd's watchdog hears of life only while `pulse` finds it and every part has told its health.
    """
    told = threading.Event()

    def end(number: int, _frame: FrameType | None) -> None:
        if told.is_set():
            os._exit(128 + number)  # asked twice: somebody does not want to wait
        told.set()
        agent.restart_wanted = False
        ended.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        agent.start()
        systemd.ready()
        _beat(agent, ended, systemd)
        logger.info("starting again" if agent.restart_wanted else "stopping")
        if not agent.restart_wanted:
            systemd.stopping()
        clean = agent.stop()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if not clean and not agent.restart_wanted:
        logging.shutdown()
        os._exit(0)  # a thread that hangs inside a library would keep the process alive or break its end
    return 0


def _beat(agent: Living, ended: threading.Event, systemd: Notifier) -> None:
    before, began_s = "turning", agent.clock.monotonic_s()
    while True:
        parts = agent.health()
        verdict = agent.pulse()
        if verdict == "turning":
            systemd.alive(f"{sum(part.ok for part in parts)} of {len(parts)} parts well")
        elif before == "turning":
            logger.error("the agent no longer turns (%s); its watchdog will start it again", verdict)
        before = verdict
        if pulse.restart_mends(parts, lived_s=agent.clock.monotonic_s() - began_s):
            logger.error("the footage index is damaged; the agent starts again and builds it from the files")
            agent.restart()
        if ended.wait(BEAT_EVERY_S):
            return
