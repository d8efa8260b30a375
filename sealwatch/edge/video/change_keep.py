"""The references of a camera's surroundings on disk: learnt once, kept for years, renewed only by a person.

A file is up to about 2 MB and is written when a part of the day was learnt, about forty times in a camera's life.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from sealwatch.base.files import replace_file
from sealwatch.edge.video.change_map import PARTS_OF_DAY, Reference, Surroundings
from sealwatch.edge.video.views import ViewError

_VERSION: Final = 1
_DIGEST_BYTES: Final = 32
_MOST_BYTES: Final = 32_000_000


class SurroundingsStore(Protocol):
    """Where the references of one camera outlive the program."""

    def load(self) -> Surroundings | None:
        """What was kept last, or None where there is nothing. Raises ViewError."""
        ...

    def save(self, surroundings: Surroundings) -> None:
        """Keep them in place of the last. Raises ViewError."""
        ...

    def renewal_wanted(self) -> bool:
        """Whether a person has taken the kept references away, so that they are learnt anew."""
        ...


class MemorySurroundings:
    """The in-process twin."""

    def __init__(self, kept: Surroundings | None = None) -> None:
        self.kept = kept
        self.taken_away = False

    def load(self) -> Surroundings | None:
        return self.kept

    def save(self, surroundings: Surroundings) -> None:
        self.kept, self.taken_away = surroundings, False

    def renewal_wanted(self) -> bool:
        return self.taken_away


class FileSurroundings:
    """A file below the node's data folder; removing it is how a person renews the reference."""

    def __init__(self, folder: Path, camera_id: str) -> None:
        self._path = surroundings_file(folder, camera_id)
        self._there = False

    def load(self) -> Surroundings | None:
        try:
            if self._path.stat().st_size > _MOST_BYTES:
                raise ViewError(f"{self._path}: too large for references", reason="surroundings_damaged")
            data = self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ViewError(
                f"{self._path}: {error.strerror}; check the disk and its rights", reason="surroundings_unreadable"
            ) from None
        found = decode(data, str(self._path))
        self._there = True
        return found

    def save(self, surroundings: Surroundings) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._path, encode(surroundings))
        except OSError as error:
            raise ViewError(
                f"{self._path}: {error.strerror}; free space or check the disk", reason="surroundings_unwritable"
            ) from None
        self._there = True

    def renewal_wanted(self) -> bool:
        if not self._there or self._path.exists():
            return False
        self._there = False
        return True


def surroundings_file(folder: Path, camera_id: str) -> Path:
    """Where the references of a camera lie."""
    return folder / f"{camera_id}.surroundings"


def encode(surroundings: Surroundings) -> bytes:
    """The references as bytes, behind their SHA-256: a worn card alters files."""
    parts: dict[str, Any] = {"version": np.int64(_VERSION), "revision": np.int64(surroundings.revision)}
    for number, reference in surroundings.references.items():
        parts[f"log_{number}"] = reference.log.astype(np.float16)
        parts[f"restless_{number}"] = np.packbits(reference.restless)
        parts[f"learnt_{number}"] = np.int64(reference.learnt)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **parts)
    data = buffer.getvalue()
    return hashlib.sha256(data).digest() + data


def decode(data: bytes, name: str = "surroundings") -> Surroundings:
    """The references in `data`. Raises ViewError for bytes that are none; `name` is the file in its sentence."""
    digest, data = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
    try:
        if hashlib.sha256(data).digest() != digest:
            raise ValueError("altered")
        with np.load(io.BytesIO(data), allow_pickle=False) as kept:
            if int(kept["version"]) != _VERSION:
                raise ValueError("another version")
            references = {}
            for number in range(PARTS_OF_DAY):
                if f"log_{number}" in kept.files:
                    log = kept[f"log_{number}"].astype(np.float32)
                    bits = np.unpackbits(kept[f"restless_{number}"], count=log.size)
                    references[number] = Reference(log, bits.reshape(log.shape), int(kept[f"learnt_{number}"]))
            return Surroundings(references, int(kept["revision"]))
    except (ValueError, KeyError, TypeError, OSError, zipfile.BadZipFile) as error:
        raise ViewError(
            f"{name}: the references of the surroundings are damaged ({type(error).__name__}); they are learnt anew, "
            "look at the place before you trust them",
            reason="surroundings_damaged",
        ) from None
