"""What `sealwatch edge check` tries, one function each: look once, with time limits, and name what was found."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import ssl
import statistics
import threading
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sealwatch.base import mqtt
from sealwatch.base.clock import SystemClock
from sealwatch.base.errors import UsageError
from sealwatch.base.settings import SettingsError
from sealwatch.edge import identity
from sealwatch.edge.config import CameraSettings, MeterSettings, NodeSettings, data_dir
from sealwatch.edge.health.clock import ClockWatch
from sealwatch.edge.ports import MeterError, SourceError
from sealwatch.edge.uplink.entries import OUTBOX_FILE, Limits

BROKER_TIMEOUT_S: Final = 3.0
METER_TIMEOUT_S: Final = 1.5
_SYNCS: Final = 5
_SLOW_SYNC_MS: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a probe saw. `values` fill the sentence of `reason`."""

    ok: bool
    reason: str
    values: dict[str, str] = field(default_factory=dict)


def camera(settings: CameraSettings) -> Found:
    """Open the camera and take its first picture."""
    from sealwatch.edge.video.source import open_source

    began_s = time.monotonic()
    try:
        frame = next(iter(open_source(settings, SystemClock()).frames(threading.Event())), None)
    except SourceError as error:
        return Found(ok=False, reason=error.reason, values={"detail": str(error)})
    except SettingsError as error:
        return Found(ok=False, reason="secret_missing", values={"detail": str(error)})
    if frame is None:
        return Found(ok=False, reason="no_video")
    height, width = frame.grey.shape[:2]
    values = {"width": str(width), "height": str(height), "seconds": f"{time.monotonic() - began_s:.1f}"}
    return Found(ok=True, reason="picture", values=values)


class MeterLines:
    """The lines of the node's meters, each shared by those behind the same converter."""

    def __init__(self) -> None:
        self._making = threading.Lock()
        self._lines: object | None = None

    def read(self, settings: MeterSettings) -> Found:
        """Ask a meter for its active power."""
        from sealwatch.edge.power.bus import Lines

        with self._making:
            if self._lines is None:
                self._lines = Lines()
            lines = self._lines
            assert isinstance(lines, Lines)  # noqa: S101 - the line above; the import is late on purpose
        try:
            bus = lines.bus(settings, answer_timeout_s=METER_TIMEOUT_S)
        except UsageError as error:
            return Found(ok=False, reason="settings", values={"detail": str(error)})
        try:
            power_w = bus.read(settings.address, ["active_power_w"])["active_power_w"]
        except MeterError as error:
            values = {"detail": error.detail, "address": settings.address, "url": settings.url}
            return Found(ok=False, reason=error.reason, values=values)
        except KeyError:
            return Found(ok=False, reason="garbage", values={"detail": "no active power in the answer"})
        finally:
            bus.close()
        return Found(ok=True, reason="reading", values={"kilowatts": f"{power_w / 1000:.2f}"})


def model() -> Found:
    """Load the detector and run it once."""
    import numpy as np

    from sealwatch.models.errors import ModelError, ModelMissingError
    from sealwatch.models.runtime import Detector

    try:
        detector = Detector.load(threads=1)
        began_s = time.monotonic()
        detector.detect(np.full((360, 640, 3), 114, np.uint8))
    except ModelMissingError as error:
        return Found(ok=False, reason="missing", values={"detail": str(error)})
    except (ModelError, SettingsError) as error:
        return Found(ok=False, reason="damaged", values={"detail": str(error)})
    values = {"model": detector.variant.file, "milliseconds": f"{(time.monotonic() - began_s) * 1000:.0f}"}
    return Found(ok=True, reason="ready", values=values)


def disk(node: NodeSettings, path: Path) -> Found:
    """Write and sync in the data folder, as the outbox does for every alarm, and look at the room left."""
    folder = data_dir(node, path)
    trial = folder / f".check-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        times_ms = _sync_times_ms(trial)
        free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    except OSError as error:
        return Found(ok=False, reason="cannot_write", values={"folder": str(folder), "detail": error.strerror or ""})
    finally:
        with contextlib.suppress(OSError):
            trial.unlink()
    sync_ms = statistics.median(times_ms)
    values = {
        "folder": str(folder),
        "milliseconds": f"{sync_ms:.1f}",
        "free_gb": f"{free / 1e9:.1f}",
        "free_mb": f"{free / 1e6:.0f}",
    }
    if free < 4 * Limits().reserve_bytes:
        return Found(ok=False, reason="nearly_full", values=values)
    return Found(ok=sync_ms < _SLOW_SYNC_MS, reason="good" if sync_ms < _SLOW_SYNC_MS else "slow", values=values)


def _sync_times_ms(trial: Path) -> list[float]:
    times_ms = []
    descriptor = os.open(trial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        for _ in range(_SYNCS):
            began_s = time.monotonic()
            os.write(descriptor, bytes(4096))
            os.fsync(descriptor)
            times_ms.append((time.monotonic() - began_s) * 1000)
    finally:
        os.close(descriptor)
    return times_ms


def outbox(node: NodeSettings, path: Path) -> Found:
    """What waits for the service, read without disturbing an agent at work."""
    file = data_dir(node, path) / OUTBOX_FILE
    if not file.exists():
        return Found(ok=True, reason="none_yet")
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=2.0)) as db:
            waiting, oldest_ms = db.execute("SELECT count(*), min(created_at_ms) FROM message").fetchone()
            refused = db.execute(
                "SELECT count(*), max(refused_reason) FROM message WHERE refused_reason <> ''"
            ).fetchone()
    except sqlite3.Error as error:
        return Found(ok=False, reason="unreadable", values={"detail": str(error), "file": str(file)})
    values = {"waiting": str(waiting), "refused": str(refused[0]), "why": refused[1] or ""}
    if oldest_ms is not None:
        values["since"] = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(oldest_ms / 1000))
    if refused[0]:
        return Found(ok=False, reason="refused", values=values)
    return Found(ok=True, reason="waiting" if waiting else "empty", values=values)


def key(node: NodeSettings, path: Path) -> Found:
    """The key that the service must know."""
    try:
        own = identity.load_or_create(data_dir(node, path))
    except UsageError as error:
        return Found(ok=False, reason="unusable", values={"detail": str(error)})
    return Found(ok=True, reason="ready", values={"public_key": own.public_key_text})


def clock() -> Found:
    """Whether somebody disciplines the wall clock."""
    own = SystemClock()
    watch = ClockWatch(own)
    state = watch()
    offset = "" if state.offset_ms is None else f"{state.offset_ms:.1f}"
    now = time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(own.wall_ms() / 1000))
    return Found(ok=watch.health().ok, reason=state.reason, values={"now": now, "offset_ms": offset})


def broker(node: NodeSettings) -> Found:
    """Reach the broker step by step: name, port, TLS, MQTT 5 with the node's own right to enter."""
    values = {"url": node.mqtt.url}
    try:
        host, port = mqtt.address(node.mqtt)
        context = mqtt.tls_context(node.mqtt)
        session = mqtt.Session(node.mqtt, client_id=f"{node.site_id}.{node.node_id}.check", session_expiry_s=0)
    except SettingsError as error:
        return Found(ok=False, reason="settings", values={**values, "detail": str(error)})
    reason = _reach(host, port, context, values)
    if reason:
        return Found(ok=False, reason=reason, values=values)
    began_s = time.monotonic()
    session.start()
    try:
        if session.wait_connected(BROKER_TIMEOUT_S):
            values["milliseconds"] = f"{(time.monotonic() - began_s) * 1000:.0f}"
            return Found(ok=True, reason="connected", values=values)
    finally:
        session.stop()
    values["detail"] = session.refusal
    return Found(ok=False, reason="not_let_in" if session.refusal else "no_mqtt", values=values)


def _reach(host: str, port: int, context: ssl.SSLContext | None, values: dict[str, str]) -> str:
    """The named reason why the broker's port can't be spoken to, or empty."""
    try:
        plain = socket.create_connection((host, port), BROKER_TIMEOUT_S)
    except socket.gaierror:
        return "no_name"
    except ConnectionRefusedError:
        return "refused"
    except OSError as error:
        values["detail"] = error.strerror or str(error)
        return "unreachable"
    with plain:
        try:
            if context is not None:
                context.wrap_socket(plain, server_hostname=host).close()
        except ssl.SSLCertVerificationError as error:
            values["detail"] = error.verify_message
            return "untrusted"
        except OSError as error:  # SSLError is one; a port without TLS hangs up or is silent
            values["detail"] = error.strerror or str(error)
            return "tls_failed"
    return ""
