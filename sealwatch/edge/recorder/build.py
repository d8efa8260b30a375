"""The recording side of a node put together: one footage folder, a recorder and a tap for each camera, and the sink."""

from __future__ import annotations

import logging
import ssl
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwatch.base.clock import Clock
from sealwatch.base.errors import UsageError
from sealwatch.contract.codes import ClockQuality
from sealwatch.edge.config import NodeSettings, RecorderSettings
from sealwatch.edge.ports import Part, Sink
from sealwatch.edge.recorder import ring
from sealwatch.edge.recorder.asked import ClipCommand
from sealwatch.edge.recorder.clips import ClipRules
from sealwatch.edge.recorder.footage import INDEX_FILE, Footage
from sealwatch.edge.recorder.recorder import CameraRecorder, RecorderRules
from sealwatch.edge.recorder.sealing import Sealer, Sent, as_sent
from sealwatch.edge.recorder.segment import FootageError, footage_error
from sealwatch.edge.recorder.series import PowerSeries
from sealwatch.edge.recorder.store import Store
from sealwatch.edge.recorder.tap import QueueTap
from sealwatch.edge.recorder.telling import RecordingSink
from sealwatch.edge.recorder.upload import HttpsCarrier, Uploader
from sealwatch.evidence.documents import ClockState
from sealwatch.evidence.sm2 import Sm2Signer

logger = logging.getLogger(__name__)

MOST_WAITING: Final = 10_000
_GB = 1_000_000_000


class WallClockState(Protocol):
    """What the node knows about its wall clock."""

    @property
    def quality(self) -> ClockQuality: ...

    @property
    def offset_ms(self) -> float | None: ...


class FootageOpener:
    """Opens the footage folder when it is first wanted and can be had; all recorders then share it."""

    def __init__(
        self,
        node: NodeSettings,
        settings: RecorderSettings,
        data_dir: Path,
        key: Ed25519PrivateKey,
        *,
        boot_id: str,
        clock: Clock,
        clock_state: Callable[[], WallClockState],
    ) -> None:
        """Raises CommandFailed for an SM2 key that can't be used."""
        self._node, self._settings, self._key = node, settings, key
        self.folder = data_dir / settings.folder
        self._boot_id, self._clock, self._clock_state = boot_id, clock, clock_state
        self._second = Sm2Signer(data_dir / settings.sm2_key_file) if settings.sm2_key_file else None
        self._lock = threading.Lock()
        self._footage: Footage | None = None

    def __call__(self) -> Footage:
        """The footage. Raises FootageError while the disk refuses."""
        with self._lock:
            if self._footage is None:
                self._footage = self._open()
            return self._footage

    def close(self) -> None:
        """Close the index."""
        with self._lock:
            if self._footage is not None:
                self._footage.store.close()
                self._footage = None

    def _open(self) -> Footage:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise footage_error(self.folder, error) from None
        store = Store(self.folder / INDEX_FILE, now_ms=self._clock.wall_ms())
        sealer = Sealer(
            store,
            self._key,
            site_id=self._node.site_id,
            node_id=self._node.node_id,
            boot_id=self._boot_id,
            clock=self._clock,
            clock_state=self._state,
            second=self._second,
        )
        return Footage(self.folder, store, sealer, self._clock, sm3=self._settings.sm3)

    def _state(self) -> ClockState:
        state = self._clock_state()
        return ClockState(quality=state.quality, offset_ms=state.offset_ms)


class SentChain:
    """Gives every alarm and picture that was signed its link in the chain of footage. Callable from any thread.

    While the footage disk refuses, what was sent waits in memory for its link (`MOST_WAITING` of them): the alarm
    itself is in the outbox and never waits for this.
    """

    def __init__(self, opener: Callable[[], Footage]) -> None:
        self._opener = opener
        self._waiting: deque[Sent] = deque(maxlen=MOST_WAITING)
        self._lock = threading.Lock()

    def add(self, kind: str, payload: bytes) -> None:
        """Chain it, and what still waits before it."""
        with self._lock:
            self._waiting.append(as_sent(kind, payload))
            waiting = list(self._waiting)
            try:
                self._opener().sealer.record(waiting)
            except FootageError as error:
                logger.debug("not chained yet: %s", error)  # the recorders tell of the disk
                return
            self._waiting.clear()


class Recording:
    """Everything that records. The watchers get `sink` instead of the inner one, and `taps` for their cameras."""

    def __init__(
        self,
        node: NodeSettings,
        settings: RecorderSettings,
        data_dir: Path,
        key: Ed25519PrivateKey,
        inner: Sink,
        *,
        boot_id: str,
        clock: Clock,
        clock_state: Callable[[], WallClockState],
    ) -> None:
        """Raises CommandFailed for an SM2 key that can't be used."""
        self.opener = FootageOpener(
            node, settings, data_dir, key, boot_id=boot_id, clock=clock, clock_state=clock_state
        )
        power = PowerSeries()
        days = {c.camera_id: settings.target_days if c.footage_days is None else c.footage_days for c in node.cameras}
        limits = ring.Limits(
            max_bytes=int(settings.max_gb * _GB),
            max_days=settings.max_days,
            min_free_bytes=int(settings.keep_free_gb * _GB),
            target_days=days,
        )
        clip = ClipRules(pre_s=settings.pre_s, post_s=settings.post_s, max_s=settings.clip_max_s)
        self.recorders = [
            CameraRecorder(
                camera_id,
                self.opener,
                inner,
                clock,
                RecorderRules(
                    mode=settings.mode,
                    segment_s=settings.segment_s,
                    target_days=target_days,
                    clip=clip,
                    limits=limits,
                    clips_bytes=int(settings.clips_gb * _GB),
                ),
                power=power,
            )
            for camera_id, target_days in days.items()
            if target_days > 0
        ]
        self.uploader = _uploader(node, self.opener, key, clock)
        self.parts: list[Part] = [*self.recorders, *([self.uploader] if self.uploader is not None else [])]
        self.chain = SentChain(self.opener)
        self.clip = ClipCommand(self.opener, [recorder.camera_id for recorder in self.recorders], clock, power)
        self.taps: dict[str, QueueTap] = {r.camera_id: r.tap for r in self.recorders}
        self.sink = RecordingSink(inner, self.recorders, power)


def _uploader(node: NodeSettings, opener: FootageOpener, key: Ed25519PrivateKey, clock: Clock) -> Uploader | None:
    settings = node.upload
    if settings is None:
        return None
    context = None
    if settings.url.startswith("https:"):
        try:
            context = ssl.create_default_context(cafile=settings.ca_file or None)
            if settings.certificate_file:
                context.load_cert_chain(settings.certificate_file, settings.key_file or None)
        except OSError as error:  # ssl.SSLError is one
            raise UsageError(f"[upload]: ca_file, certificate_file or key_file cannot be used: {error}") from None
    carrier = HttpsCarrier(settings.url, node_id=node.node_id, key=key, context=context)
    daily_bytes = None if settings.daily_mb is None else int(settings.daily_mb * 1_000_000)
    return Uploader(opener, carrier, clock, daily_bytes=daily_bytes)
