"""From the configuration to the part that carries updates out."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from pathlib import Path

from sealwatch import __version__
from sealwatch.base.clock import Clock
from sealwatch.base.errors import UsageError
from sealwatch.contract.codes import Level
from sealwatch.contract.messages import PartHealth, Reply
from sealwatch.contract.release import Kind, this_platform
from sealwatch.edge.changes import ChangeLog
from sealwatch.edge.config import NodeSettings, UpdateSettings, release_key, service_key
from sealwatch.edge.identity import Identity
from sealwatch.edge.update.fetch import HttpsSource
from sealwatch.edge.update.keeper import UpdateKeeper
from sealwatch.edge.update.slots import started_from
from sealwatch.edge.update.state import Here, not_quiet


def build(
    settings: NodeSettings,
    update: UpdateSettings,
    folder: Path,
    identity: Identity,
    clock: Clock,
    *,
    changes: ChangeLog,
    parts: Callable[[], Sequence[PartHealth]],
    open_kinds: Callable[[], Sequence[str]],
    configuration_on_trial: Callable[[], bool],
    restart: Callable[[], None],
    reply: Callable[[Reply], None],
) -> UpdateKeeper:
    """`parts` is the health that a trial is judged by, `open_kinds` the kinds of the alarms that are open.

    Raises UsageError for certificate files that can't be used.
    """
    pinned = release_key(settings)
    assert pinned is not None  # noqa: S101 - [update] cannot be without it

    def acknowledged() -> bool:
        return any(part.kind == "uplink" and part.evidence_at_ms is not None for part in parts())

    def tell(what: str, kind: Kind, before: str, after: str) -> None:
        changes.record(
            what,
            level=Level.BLUE if what != "update_put_back" else Level.YELLOW,
            subject=kind,
            before=before,
            after=after,
        )

    return UpdateKeeper(
        folder,
        site_id=settings.site_id,
        node_id=settings.node_id,
        here=Here(agent_version=__version__, platform=this_platform()),
        running_slot=started_from(folder),
        service_key=service_key(settings),
        release_key=pinned,
        source=HttpsSource(update.url, node_id=settings.node_id, key=identity.key, context=_tls(update)),
        daily_bytes=int(update.daily_mb * 1_000_000),
        clock=clock,
        parts=parts,
        acknowledged=acknowledged,
        not_quiet=lambda: not_quiet(open_kinds(), configuration_on_trial=configuration_on_trial()),
        restart=restart,
        reply=reply,
        tell=tell,
    )


def _tls(update: UpdateSettings) -> ssl.SSLContext | None:
    if not update.url.startswith("https:"):
        return None
    try:
        context = ssl.create_default_context(cafile=update.ca_file or None)
        if update.certificate_file:
            context.load_cert_chain(update.certificate_file, update.key_file or None)
    except OSError as error:  # ssl.SSLError is one
        raise UsageError(f"[update]: ca_file, certificate_file or key_file cannot be used: {error}") from None
    return context
