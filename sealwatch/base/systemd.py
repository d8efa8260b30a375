"""Telling systemd how a service is: sd_notify(3) as a datagram, for units with ``Type=notify`` and ``WatchdogSec=``.

The protocol is lines ``NAME=value`` in one datagram to the socket named in ``NOTIFY_SOCKET`` (``@`` stands for the
abstract namespace). Outside of systemd nothing is said and nothing fails.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping

logger = logging.getLogger(__name__)


class Notifier:
    """Says to systemd what it is told to say. Callable from any thread."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address

    def ready(self) -> None:
        """The service has started."""
        self._say("READY=1")

    def alive(self, status: str) -> None:
        """There is fresh evidence of life; `status` is one line for ``systemctl status``."""
        self._say(f"WATCHDOG=1\nSTATUS={status}")

    def stopping(self) -> None:
        """The service begins to end."""
        self._say("STOPPING=1")

    def _say(self, text: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
                out.sendto(text.encode(), self._address)
        except OSError as error:  # a watchdog that is not heard restarts the service, which is what it is for
            logger.warning("systemd cannot be told %s: %s", text.partition("\n")[0], error.strerror or error)
