"""Files that are either the old one or the new one, whenever the power goes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

Step = Callable[[str], None]
"""Told the name of each step just before it is taken: where a test pulls the plug."""


def _no_step(_name: str) -> None: ...


def replace_file(path: Path, data: bytes, *, mode: int = 0o600, step: Step = _no_step) -> None:
    """Put `data` into `path`: written beside it, synced, renamed over it, the folder synced. Raises OSError.

    A draft that an earlier attempt left behind is overwritten. Steps: ``write``, ``rename``, ``sync_folder``.
    """
    draft = path.with_name(f".{path.name}.draft")
    step("write")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    step("rename")
    draft.replace(path)
    step("sync_folder")
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make names in a folder durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def on_read_only_disk(folder: Path) -> bool:
    """Whether the file system of `folder` is mounted read-only; a folder that is not there is on none."""
    try:
        return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
    except OSError:
        return False
