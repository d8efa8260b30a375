"""What a backup holds: every file with its size and SHA-256, so that a damaged one is known before it is needed."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from sealwatch.base.errors import UsageError

FILE: Final = "manifest.json"
DATA: Final = "data"
DUMP: Final = "database.dump"
_CHUNK_BYTES: Final = 1 << 20


class Entry(Struct, frozen=True, kw_only=True):
    """One file, by its path below the backup's folder."""

    path: Annotated[str, Meta(pattern=r"^(?!/)(?!.*\.\.)[^\0]+$")]
    size_bytes: int
    sha256: str


class Manifest(Struct, frozen=True, kw_only=True):
    """Written last: a folder with a manifest is a whole backup."""

    v: Literal[1] = 1
    made_at_ms: int
    version: str
    database: Literal["sqlite", "postgresql"]
    schema: str
    files: list[Entry]
    altered: list[str] = []  # evidence that was altered at the service before it was copied

    @property
    def size_bytes(self) -> int:
        return sum(entry.size_bytes for entry in self.files)


def digest(path: Path) -> str:
    """SHA-256 of a file. Raises OSError."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            found.update(chunk)
    return found.hexdigest()


def entry(root: Path, path: Path) -> Entry:
    """A file of the backup below `root` as the manifest names it. Raises OSError."""
    return Entry(path=path.relative_to(root).as_posix(), size_bytes=path.stat().st_size, sha256=digest(path))


def read(folder: Path) -> Manifest:
    """The manifest of a whole backup. Raises UsageError where there is none that can be read."""
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise UsageError(f"{folder}: no backup (it has no {FILE}); name the folder of one backup") from None
    except (OSError, msgspec.DecodeError) as error:
        raise UsageError(f"{folder / FILE}: cannot be read ({error}); take another backup") from None


def damaged(folder: Path, manifest: Manifest) -> list[tuple[str, str]]:
    """(path, named reason) of every file that is not what it was: missing, wrong_size, altered, unreadable."""
    found = []
    for one in manifest.files:
        path = folder / one.path
        try:
            if path.stat().st_size != one.size_bytes:
                found.append((one.path, "wrong_size"))
            elif digest(path) != one.sha256:
                found.append((one.path, "altered"))
        except FileNotFoundError:
            found.append((one.path, "missing"))
        except OSError:
            found.append((one.path, "unreadable"))
    return found
