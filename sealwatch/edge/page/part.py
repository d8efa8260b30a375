"""The page as a part of the agent: serves until it is told to stop, and notes what the installation has reached."""

from __future__ import annotations

import logging
import ssl
import threading
from pathlib import Path
from typing import Final

from sealwatch.base.clock import Clock
from sealwatch.base.settings import SettingsError
from sealwatch.contract.messages import PartHealth
from sealwatch.edge.config import PageSettings
from sealwatch.edge.page.access import Access, Keyring
from sealwatch.edge.page.desk import Desk
from sealwatch.edge.page.http import PageServer

logger = logging.getLogger(__name__)

_LOOK_EVERY_S: Final = 5.0


class PagePart:
    """The `Part` of the page."""

    part_id = "page"

    def __init__(self, settings: PageSettings, desk: Desk, folder: Path, clock: Clock) -> None:
        self._settings, self._desk, self._clock = settings, desk, clock
        self._keyring = Keyring(folder)
        self.port: int | None = None  # while it serves

    def run(self, stop: threading.Event) -> None:
        """Serve until `stop` is set. Raises OSError for a port that is taken, SettingsError for a certificate."""
        server = PageServer(
            (self._settings.host, self._settings.port),
            self._desk,
            Access(self._keyring, self._clock),
            tls=_tls(self._settings),
        )
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="page", daemon=True)
        thread.start()
        try:
            self.port = int(server.server_address[1])
            scheme = "https" if self._settings.certificate_file else "http"
            logger.info("the installer's page is at %s://%s:%d", scheme, self._settings.host, self.port)
            if not self._keyring.names():
                logger.warning("nobody can use the page yet: run sealwatch edge page password NAME --config FILE")
            while not stop.wait(_LOOK_EVERY_S):
                self._desk.look_around()
        finally:
            self.port = None
            server.shutdown()
            server.server_close()

    def health(self) -> PartHealth:
        """Works while it listens."""
        serving = self.port is not None
        return PartHealth(
            part_id=self.part_id,
            kind="page",
            ok=serving,
            reason="serving" if serving else "not_serving",
            evidence_at_ms=self._clock.wall_ms() if serving else None,
        )


def _tls(settings: PageSettings) -> ssl.SSLContext | None:
    if not settings.certificate_file:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.certificate_file, settings.key_file)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"page: {settings.certificate_file} and {settings.key_file} cannot be used: {error.strerror or error}"
        ) from None
    return context
