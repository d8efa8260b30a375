"""What outputs did and why, one JSON object a line, on the disk before the next thing happens."""

from __future__ import annotations

import json
import logging
import os
import threading
from pathlib import Path
from typing import Final

MAX_BYTES: Final = 1_000_000
_logger = logging.getLogger(__name__)


class Journal:
    """One file of a node; the one before it is kept as ``.1``. Callable from any thread."""

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self._path, self._max_bytes = path, max_bytes
        self._lock = threading.Lock()
        self._failing = False

    def note(self, *, at_ms: int, output: str, event: str, **values: str | float) -> None:
        """Add a line. A disk that refuses is told in the log and keeps no siren from sounding."""
        line = json.dumps({"at_ms": at_ms, "output": output, "event": event, **values}, ensure_ascii=False) + "\n"
        with self._lock:
            try:
                self._append(line.encode())
                self._failing = False
            except OSError as error:
                if not self._failing:
                    _logger.warning("%s: cannot be written: %s", self._path, error.strerror)
                self._failing = True
        _logger.info("output %s: %s", output, line.strip())

    def _append(self, line: bytes) -> None:
        descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            if size > self._max_bytes:
                self._path.replace(f"{self._path}.1")
                os.close(descriptor)
                descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
                size = 0
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                line = b"\n" + line  # the power went in the middle of the line before
            os.write(descriptor, line)
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
