"""Commands about the node as a machine: how it is, start the agent again, start the machine again."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Sequence
from typing import Final

from sealwatch.contract.messages import Command, PartHealth
from sealwatch.edge.uplink.commands import Answer, Handler

_GRACE_S: Final = 3.0
"""For the answer to get out first."""
_REBOOT: Final = ("systemctl", "reboot")
_WAIT_S: Final = 20


def self_test(parts: Sequence[PartHealth]) -> Answer:
    """Whether every part has fresh evidence that it works; which have not. Nothing is opened a second time."""
    ailing = [f"{part.part_id}: {part.reason}" for part in parts if not part.ok]
    if ailing:
        return Answer(ok=False, reason="ailing", detail="; ".join(ailing))
    return Answer(ok=True, reason="well", detail=f"{len(parts)} parts")


def commands(
    *,
    health: Callable[[], Sequence[PartHealth]],
    restart: Callable[[], None],
    run: Callable[[Sequence[str]], str] | None = None,
) -> dict[str, Handler]:
    """``selftest``, ``restart`` (the agent), ``reboot`` (the machine). `run` carries out a program: "" or its error."""

    def restart_soon(_command: Command) -> Answer:
        timer = threading.Timer(_GRACE_S, restart)
        timer.daemon = True
        timer.start()
        return Answer(ok=True, reason="restarting")

    def reboot(_command: Command) -> Answer:
        error = (run or _run)(_REBOOT)
        if error:
            return Answer(ok=False, reason="not_permitted", detail=error)
        return Answer(ok=True, reason="rebooting")

    return {"selftest": lambda _command: self_test(health()), "restart": restart_soon, "reboot": reboot}


def _run(program: Sequence[str]) -> str:
    try:
        done = subprocess.run(program, capture_output=True, text=True, timeout=_WAIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{program[0]}: {error}"
    return "" if done.returncode == 0 else (done.stderr.strip() or f"{program[0]} ended with {done.returncode}")[:400]
