"""A camera's reference picture on disk, so that what was done to the camera while the node was off is found.

A view is kept as its anchors (`faults`): edge strengths in half precision and a few numbers, about 30 KB an anchor. It
is written when it is first known, when an anchor was added (day, night, season) and once a day, never more often than
every quarter of an hour, so that memory cards last.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from sealwatch.edge.video.condition import Condition, described

WRITE_EVERY_S: Final = 900.0
WRITE_ANYWAY_S: Final = 86_400.0  # focus is followed slowly, without a new anchor
_VERSION: Final = 1
_NUMBERS: Final = ("mean", "spread", "bright_share", "dark_share", "sharpness")
_DIGEST_BYTES: Final = 32  # of SHA-256, before everything else: a worn card alters files
_MOST_BYTES: Final = 8_000_000
_LARGEST_PX: Final = 1024  # an anchor's side; larger ones are no anchors


class ViewError(Exception):
    """A reference that cannot be read or written: one sentence with what to do. `reason` is a stable name."""

    def __init__(self, detail: str, *, reason: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Anchor:
    """A picture of the view, and by how much (parts of the width) the view was displaced when it was taken."""

    condition: Condition
    x: float
    y: float


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a camera showed when all was well. `size` is (rows, columns) of its pictures; at least one anchor."""

    size: tuple[int, int]
    anchors: tuple[Anchor, ...]
    sharpness: float
    plain_sharpness: float


class ViewStore(Protocol):
    """Where the view of one camera outlives the program."""

    def load(self) -> View | None:
        """The view kept last, or None where there is none. Raises ViewError."""
        ...

    def save(self, view: View) -> None:
        """Keep `view` in place of the last. Raises ViewError."""
        ...


class MemoryViews:
    """The in-process twin; without a store a view lives as long as the program."""

    def __init__(self, view: View | None = None) -> None:
        self.view = view
        self.saves = 0

    def load(self) -> View | None:
        return self.view

    def save(self, view: View) -> None:
        self.view = view
        self.saves += 1


class FileViews:
    """A file below the node's data folder. It belongs to one `source`: another camera's address starts afresh."""

    def __init__(self, folder: Path, camera_id: str, source: str) -> None:
        self._path = view_file(folder, camera_id)
        self._source = hashlib.sha256(source.encode()).hexdigest()
        self._there = False

    def load(self) -> View | None:
        try:
            if self._path.stat().st_size > _MOST_BYTES:
                raise ViewError(f"{self._path}: too large for a reference picture", reason="view_damaged")
            data = self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ViewError(
                f"{self._path}: {error.strerror}; check the disk and its rights", reason="view_unreadable"
            ) from None
        try:
            view, source = decode(data)
        except ViewError as error:
            raise ViewError(f"{self._path}: {error}", reason=error.reason) from None
        self._there = source == self._source
        return view if self._there else None

    def save(self, view: View) -> None:
        """As `ViewStore.save`, whole or not at all. A file that was removed by hand meanwhile is not written again."""
        if self._there and not self._path.exists():
            return
        fresh = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with fresh.open("wb") as file:
                file.write(encode(view, self._source))
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
        except OSError as error:
            with contextlib.suppress(OSError):
                fresh.unlink()
            raise ViewError(
                f"{self._path}: {error.strerror}; free space or check the disk", reason="view_unwritable"
            ) from None
        self._there = True


def view_file(folder: Path, camera_id: str) -> Path:
    """Where the reference of a camera lies."""
    return folder / f"{camera_id}.view"


def encode(view: View, source: str) -> bytes:
    """`view` as bytes, with the name of the `source` it belongs to."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        version=np.int64(_VERSION),
        source=np.frombuffer(source.encode(), np.uint8),
        size=np.array(view.size, np.int64),
        sharpness=np.array([view.sharpness, view.plain_sharpness]),
        places=np.array([(a.x, a.y) for a in view.anchors]),
        numbers=np.array([[getattr(a.condition, name) for name in _NUMBERS] for a in view.anchors]),
        edges=np.stack([a.condition.edges for a in view.anchors]).astype(np.float16),
    )
    data = buffer.getvalue()
    return hashlib.sha256(data).digest() + data


def decode(data: bytes) -> tuple[View, str]:
    """A view and its source. Raises ViewError for bytes that are none."""
    digest, data = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
    try:
        if hashlib.sha256(data).digest() != digest:
            raise ValueError("altered")
        with np.load(io.BytesIO(data), allow_pickle=False) as kept:
            parts: dict[str, Any] = {name: kept[name] for name in kept.files}
        return _view(parts), parts["source"].astype(np.uint8).tobytes().decode()
    except (ValueError, KeyError, TypeError, OSError, zipfile.BadZipFile) as error:
        raise ViewError(
            f"the reference picture is damaged ({type(error).__name__}); it is learnt anew, check the camera's aim",
            reason="view_damaged",
        ) from None


def _view(parts: dict[str, Any]) -> View:
    edges, numbers, places = parts["edges"].astype(np.float32), parts["numbers"], parts["places"]
    rows, columns = (int(side) for side in parts["size"])
    if int(parts["version"]) != _VERSION or edges.ndim != 3 or not len(edges) == len(numbers) == len(places) > 0:
        raise ValueError("another version")
    if min(edges.shape[1:]) < 8 or max(edges.shape[1:]) > _LARGEST_PX:
        raise ValueError("no picture")
    if not all(np.isfinite(part).all() for part in (edges, numbers, places, parts["sharpness"])):
        raise ValueError("not a number")
    anchors = [
        Anchor(described(edge, **dict(zip(_NUMBERS, map(float, row), strict=True))), float(x), float(y))
        for edge, row, (x, y) in zip(edges, numbers, places, strict=True)
    ]
    sharpness, plain_sharpness = (float(value) for value in parts["sharpness"])
    return View(size=(rows, columns), anchors=tuple(anchors), sharpness=sharpness, plain_sharpness=plain_sharpness)


@dataclass(frozen=True, slots=True)
class Keeping:
    """What of a view has been kept: its revision, and when (monotonic seconds)."""

    revision: int = 0
    at_s: float = float("-inf")


def due(keeping: Keeping, revision: int, now_s: float) -> str:
    """Why the view is to be written now: ``first``, ``anchor_added``, ``daily``; empty while it is not."""
    if revision == 0:
        return ""
    if keeping.revision == 0:
        return "first"
    if revision != keeping.revision and now_s - keeping.at_s >= WRITE_EVERY_S:
        return "anchor_added"
    return "daily" if now_s - keeping.at_s >= WRITE_ANYWAY_S else ""
