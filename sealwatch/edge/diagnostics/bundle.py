"""What goes into a bundle, and how it is kept small enough for a metered link: the log gives way first."""

from __future__ import annotations

import importlib.metadata
import io
import json
import logging
import platform
import sys
import time
import zipfile
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sealwatch import __version__
from sealwatch.edge.changes import LOG_FILE
from sealwatch.edge.diagnostics import redact

MOST_BYTES: Final = 140_000
"""Of the whole bundle: it travels as one message."""
LOG_LINES: Final = 2000
_CHANGES: Final = 50
_LIBRARIES: Final = (
    "av", "cryptography", "msgspec", "numpy", "onnxruntime", "opencv-python-headless", "paho-mqtt", "pymodbus",
)  # fmt: skip
_FILES: Final = 400
_LINE: Final = 500


class LogRing(logging.Handler):
    """The newest lines of this process's log, in memory: an agent's user may not read the machine's journal."""

    def __init__(self, lines: int = LOG_LINES) -> None:
        super().__init__()
        self._lines: deque[str] = deque(maxlen=lines)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._lines.append(self.format(record)[:_LINE])
        except Exception:  # noqa: BLE001 - as logging does it: a line that can't be formatted must not end anything
            self.handleError(record)

    def lines(self) -> list[str]:
        return list(self._lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of the node: `health` as the agent tells it, or what `check` found; `log` is oldest first."""

    site_id: str
    node_id: str
    now_ms: int
    boot_id: str
    health: Any
    outbox: Mapping[str, Any]
    updates: Mapping[str, Any]
    config: str
    log: Sequence[str]


def build(facts: Facts, data_folder: Path, secrets: Sequence[str], *, most_bytes: int = MOST_BYTES) -> bytes:
    """A zip of at most `most_bytes`, or ValueError where even without a log it is larger."""
    texts = {
        "about.json": _json(_about(facts)),
        "health.json": _json(facts.health),
        "outbox.json": _json(facts.outbox),
        "updates.json": _json(facts.updates),
        "node.toml": facts.config,
        "changes.jsonl": "\n".join(_tail(data_folder / LOG_FILE, _CHANGES)),
        "files.txt": "\n".join(_listing(data_folder)),
    }
    clean = {name: redact.text(value, secrets) for name, value in texts.items()}
    log = [redact.text(line, secrets) for line in "\n".join(facts.log).splitlines()]
    while True:
        data = _zip({**clean, "log.txt": redact.text("\n".join(log), secrets)}, facts.now_ms)
        if len(data) <= most_bytes:
            return data
        if not log:
            raise ValueError(f"the bundle has {len(data)} bytes without a log; at most {most_bytes} can be sent")
        log = log[len(log) // 2 + 1 :]


def _about(facts: Facts) -> dict[str, Any]:
    return {
        "site_id": facts.site_id,
        "node_id": facts.node_id,
        "boot_id": facts.boot_id,
        "made_at_ms": facts.now_ms,
        "agent": __version__,
        "python": platform.python_version(),
        "program": sys.executable,
        "machine": platform.platform(),
        "uptime_s": _first_number(Path("/proc/uptime")),
        "libraries": {name: version for name in _LIBRARIES if (version := _version(name))},
    }


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _first_number(path: Path) -> float | None:
    try:
        return float(path.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None


def _tail(path: Path, count: int) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()[-count:]
    except OSError:
        return []


def _listing(folder: Path) -> Iterable[str]:
    """Names and sizes, never contents; what is below the third level (segments, wheels) is only counted."""
    shown = []
    for path in sorted(folder.rglob("*")):
        depth = len(path.relative_to(folder).parts)
        if depth > 3 or path.is_symlink():
            continue
        try:
            about = path.stat()
        except OSError:
            continue
        shown.append(f"{about.st_size:>12} {about.st_mode & 0o777:o} {path.relative_to(folder)}{'/' * path.is_dir()}")
    return [*shown[:_FILES], *([f"and {len(shown) - _FILES} more"] if len(shown) > _FILES else [])]


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False)


def _zip(texts: Mapping[str, str], now_ms: int) -> bytes:
    out = io.BytesIO()
    moment = time.gmtime(max(now_ms, 315_532_800_000) / 1000)[:6]  # a zip knows no time before 1980
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, value in texts.items():
            archive.writestr(zipfile.ZipInfo(name, moment), value.encode(), zipfile.ZIP_DEFLATED, 9)
    return out.getvalue()
