"""A pager in a process of its own, for tests that kill it."""

from __future__ import annotations

import time

from sealwatch.base.clock import SystemClock
from sealwatch.cloud.auth.links import LinkSigner
from sealwatch.cloud.db.engine import open_database
from sealwatch.cloud.paging.pager import Pager
from sealwatch.cloud.paging.webhook import WebhookChannel
from sealwatch.cloud.ports import ChangeBus

_LOOK_S = 0.01


def work(database_url: str, name: str) -> None:
    """Page what is due until killed. A new page is seen within 10 ms, as if this process had taken its alarm."""
    changes = ChangeBus()
    pager = Pager(
        open_database(database_url),
        channels={"webhook": WebhookChannel("secret")},
        links=LinkSigner(b"0123456789abcdef", "https://seal.example"),
        clock=SystemClock(),
        changes=changes,
        worker=name,
    )
    pager.take_over()
    pager.start()
    while True:
        time.sleep(_LOOK_S)
        changes.announce()
