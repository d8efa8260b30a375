"""A pack on disk: a plain zip that any tool opens, or a folder.

The zip is written in one fixed form (APPNOTE.TXT 6.3: stored, no extra fields, one date), so that every byte of it has
one possible value: whatever differs was changed after packing. Video does not shrink, so nothing is lost by storing.
"""

from __future__ import annotations

import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from sealwatch.base.errors import CommandFailed, UsageError
from sealwatch.evidence.digests import CHUNK_BYTES
from sealwatch.evidence.findings import Finding

_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END = struct.Struct("<4sHHHHIIH")
_VERSION, _FLAGS, _STORED, _TIME, _DATE = 20, 0, 0, 0, (1980 - 1980) << 9 | 1 << 5 | 1
_UNIX, _MODE = 3 << 8, (stat.S_IFREG | 0o644) << 16
MAX_PACK_BYTES = 0xFFFF_FFFF  # without the 64-bit extension, which not every viewer knows
MAX_MEMBERS = 0xFFFF
ZIP = "zip"  # what findings about the container itself are about


@dataclass(frozen=True, slots=True)
class Entry:
    """One member: its name, where its bytes are, and the checksum the zip states (None in a folder)."""

    name: str
    size_bytes: int
    offset: int = 0
    crc32: int | None = None


class Container(Protocol):
    """A pack that can be read."""

    @property
    def entries(self) -> Sequence[Entry]: ...

    @property
    def ordered(self) -> bool:
        """Whether the order of `entries` means anything."""
        ...

    def chunks(self, entry: Entry) -> Iterator[bytes]: ...

    def findings(self) -> Sequence[Finding]:
        """What is wrong with the container itself."""
        ...

    def close(self) -> None: ...


class Content(Protocol):
    """Something to put into a pack: it can be read twice (checksum first, then data)."""

    @property
    def name(self) -> str: ...

    def chunks(self) -> Iterator[bytes]: ...


def _local(name: bytes, size: int, crc: int) -> bytes:
    head = _LOCAL.pack(b"PK\3\4", _VERSION, _FLAGS, _STORED, _TIME, _DATE, crc, size, size, len(name), 0)
    return head + name


def _tail(entries: Sequence[Entry], offset: int) -> bytes:
    central = b"".join(
        _CENTRAL.pack(
            b"PK\1\2",
            _UNIX | _VERSION,
            _VERSION,
            _FLAGS,
            _STORED,
            _TIME,
            _DATE,
            entry.crc32 or 0,
            entry.size_bytes,
            entry.size_bytes,
            len(entry.name.encode()),
            0,
            0,
            0,
            0,
            _MODE,
            entry.offset - _LOCAL.size - len(entry.name.encode()),
        )
        + entry.name.encode()
        for entry in entries
    )
    count = len(entries)
    return central + _END.pack(b"PK\5\6", 0, 0, count, count, len(central), offset, 0)


def write_zip(file: BinaryIO, contents: Iterable[Content]) -> int:
    """Write a pack in its one form; returns its size in bytes. Raises CommandFailed past 4 GiB, OSError."""
    entries: list[Entry] = []
    position = 0
    for content in contents:
        crc = size = 0
        for chunk in content.chunks():
            crc, size = zlib.crc32(chunk, crc), size + len(chunk)
        head = _local(content.name.encode(), size, crc)
        if position + len(head) + size > MAX_PACK_BYTES - 16 * 1024 * 1024 or len(entries) >= MAX_MEMBERS:
            raise CommandFailed("the pack would pass 4 GiB or 65535 files; ask for a shorter time range")
        file.write(head)
        for chunk in content.chunks():
            file.write(chunk)
        entries.append(Entry(content.name, size, position + len(head), crc))
        position += len(head) + size
    tail = _tail(entries, position)
    file.write(tail)
    return position + len(tail)


def open_container(path: Path) -> Container:
    """A folder or a zip. Raises UsageError where there is nothing to read."""
    try:
        return FolderContainer(path) if path.is_dir() else ZipContainer(path.open("rb"))
    except FileNotFoundError:
        raise UsageError(f"{path}: no such pack; name a .zip or a folder") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}; check its permissions") from None


class ZipContainer:
    """A zip, read strictly; where it is not in the one form, as far as an ordinary zip reader gets."""

    ordered = True

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = file.seek(0, os.SEEK_END)
        self.entries: Sequence[Entry] = ()
        self._findings: list[Finding] = []
        self._read()

    def findings(self) -> Sequence[Finding]:
        return self._findings

    def close(self) -> None:
        self._file.close()

    def chunks(self, entry: Entry) -> Iterator[bytes]:
        left = entry.size_bytes
        position = entry.offset
        while left:
            self._file.seek(position)
            chunk = self._file.read(min(left, CHUNK_BYTES))
            if not chunk:
                return
            yield chunk
            position += len(chunk)
            left -= len(chunk)

    def _bytes(self, offset: int, count: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(count)

    def _read(self) -> None:
        entries, position = self._walk()
        expected = _tail(entries, position)
        actual = self._bytes(position, len(expected) + 1)
        if actual == expected:
            self.entries = entries
            return
        if expected.startswith(actual) and position + len(actual) == self._size:
            self._findings.append(Finding("truncated_pack", ZIP, {"offset": self._size}))
            self.entries = entries
            return
        differs = next((i for i, (a, b) in enumerate(zip(actual, expected, strict=False)) if a != b), len(expected))
        found = Finding("altered_container", ZIP, {"offset": position + differs})
        in_member = actual[:4] not in (b"PK\1\2", b"PK\5\6")
        if in_member and not self._has_end():
            found = Finding("truncated_pack", ZIP, {"offset": self._size})
        self._findings.append(found)
        self.entries = (self._lenient() if in_member else None) or entries

    def _walk(self) -> tuple[list[Entry], int]:
        """Members from the front for as long as each header is in the one form, and where that ends."""
        entries: list[Entry] = []
        position = 0
        while True:
            head = self._bytes(position, _LOCAL.size)
            if len(head) < _LOCAL.size or head[:4] != b"PK\3\4":
                return entries, position
            fields = _LOCAL.unpack(head)
            crc, size, name_length = fields[6], fields[7], fields[9]
            name = self._bytes(position + _LOCAL.size, name_length)
            start = position + _LOCAL.size + name_length
            if head + name != _local(name, size, crc) or start + size > self._size:
                return entries, position
            try:
                entries.append(Entry(name.decode("ascii"), size, start, crc))
            except UnicodeDecodeError:
                return entries, position
            position = start + size

    def _has_end(self) -> bool:
        return self._bytes(max(0, self._size - _END.size), _END.size)[:4] == b"PK\5\6"

    def _lenient(self) -> list[Entry] | None:
        """Members as an ordinary zip reader sees them, so that a pack that was repacked is still explained."""
        entries = []
        try:
            with zipfile.ZipFile(self._file) as archive:
                infos = archive.infolist()
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error):
            return None
        for info in infos:
            head = self._bytes(info.header_offset, _LOCAL.size)
            if info.compress_type != zipfile.ZIP_STORED or len(head) < _LOCAL.size:
                continue
            fields = _LOCAL.unpack(head)
            start = info.header_offset + _LOCAL.size + fields[9] + fields[10]
            if start + info.file_size <= self._size:
                entries.append(Entry(info.filename, info.file_size, start, info.CRC))
        return entries


class FolderContainer:
    """A folder with the members as files. It has no order; links out of it are not followed."""

    ordered = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._findings: list[Finding] = []
        self.entries: Sequence[Entry] = self._list()

    def findings(self) -> Sequence[Finding]:
        return self._findings

    def close(self) -> None:
        """Nothing is held open."""

    def chunks(self, entry: Entry) -> Iterator[bytes]:
        with (self._folder / entry.name).open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk

    def _list(self) -> list[Entry]:
        entries = []
        for path in sorted(self._folder.rglob("*")):
            name = path.relative_to(self._folder).as_posix()
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                self._findings.append(Finding("inserted_item", name))
            elif path.is_file():
                entries.append(Entry(name, path.stat().st_size))
        return entries
