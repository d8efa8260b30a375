"""One file of footage, playable at any moment: fragmented MP4, written in one direction.

Why this form: every fragment (ISO/IEC 14496-12, `moof` + `mdat`) is complete in itself, so a file that a `kill -9` or
a power cut left behind plays up to its last whole second; browsers and phones play it without conversion; and because
nothing is ever written twice, the SHA-256 grows with the file and is there at the moment it is closed. MPEG-TS would
survive as well, but costs 2-5 % more and plays in no browser; Matroska plays in few.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, Final

import av
from av.packet import Packet

from sealwatch.edge.recorder.media import MediaPacket, OpenTemplate, Template
from sealwatch.evidence.digests import Digests, Running

FRAGMENT_S: Final = 1.0
_OPTIONS: Final = {
    "movflags": "frag_keyframe+empty_moov+default_base_moof",
    "frag_duration": str(int(FRAGMENT_S * 1e6)),
    "flush_packets": "1",
}
_BUFFER_BYTES: Final = 256 * 1024
_BLOCK_BYTES: Final = 64 * 1024
_SECTOR_BYTES: Final = 512  # a shorter run of zeros is picture data
_BOX_HEAD: Final = struct.Struct(">I4s")


class FootageError(Exception):
    """The disk did not take it. `reason`: disk_full | disk_read_only | disk_error."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def disk_reason(error: OSError) -> str:
    """The named reason of what the system says."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "disk_full"
    return "disk_read_only" if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM) else "disk_error"


def footage_error(path: Path, error: OSError) -> FootageError:
    """The sentence for a person: what, where, what to do."""
    reason = disk_reason(error)
    advice = {
        "disk_full": "free space on that disk, or lower max_gb in [recorder]",
        "disk_read_only": "the disk or card refuses writes: remount it, or replace the card if it wore out",
    }.get(reason, "check the disk or card and its cable")
    return FootageError(reason, f"footage {path}: cannot be written: {error.strerror or error}; {advice}")


class _HashedFile:
    """A file that only grows, and whose digests grow with it. Not seekable, so the muxer never goes back."""

    def __init__(self, path: Path, *, sm3: bool) -> None:
        self.path = path
        self.running = Running(sm3=sm3)
        self.failure: OSError | None = None
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)

    def write(self, data: bytes) -> int:
        view = memoryview(data)
        try:
            while view:
                done = os.write(self._descriptor, view)
                self.running.update(view[:done])
                view = view[done:]
        except OSError as error:
            self.failure = error
            raise
        return len(data)

    def sync(self) -> None:
        os.fsync(self._descriptor)

    def shut(self) -> None:
        os.close(self._descriptor)


class SegmentWriter:
    """Writes packets of one stream into a new file. The first packet must be a key frame."""

    def __init__(self, path: Path, template: Template, *, sm3: bool = False) -> None:
        """Raises FootageError."""
        self.path = path
        self.packets = 0
        self.failed = False
        self._offset: int | None = None
        self._last_dts: int | None = None
        self._length = Fraction(0)
        self._template: OpenTemplate = template.open()
        try:
            self._file = _HashedFile(path, sm3=sm3)
        except OSError as error:
            self._template.close()
            raise footage_error(path, error) from None
        self._container = av.open(self._file, mode="w", format="mp4", options=_OPTIONS, buffer_size=_BUFFER_BYTES)
        self._stream = self._container.add_stream_from_template(self._template.stream, opaque=True)

    @property
    def size_bytes(self) -> int:
        return self._file.running.size_bytes

    @property
    def length_s(self) -> float:
        """Seconds of footage by the stream's own time stamps."""
        return float(self._length)

    def write(self, packet: MediaPacket) -> None:
        """Append a packet. Raises FootageError; the file then holds everything up to its last whole fragment."""
        if self._offset is None:
            self._offset = packet.dts
        dts = packet.dts - self._offset
        if self._last_dts is not None and dts <= self._last_dts:
            dts = self._last_dts + 1  # cameras repeat stamps; a file must not
        self._last_dts = dts
        copy = Packet(packet.data)
        copy.dts, copy.pts = dts, max(dts, packet.pts - self._offset)
        copy.duration, copy.time_base = packet.duration, packet.time_base
        copy.is_keyframe = packet.key
        copy.stream = self._stream
        try:
            self._container.mux_one(copy)
        except (av.FFmpegError, OSError) as error:
            raise self._failure(error) from None
        self.packets += 1
        self._length = max(self._length, (dts + packet.duration) * packet.time_base)

    def sync(self) -> None:
        """Make what was written survive a power cut. Raises FootageError."""
        try:
            self._file.sync()
        except OSError as error:
            raise self._failure(error) from None

    def close(self) -> Digests:
        """Write the last fragment, make it durable, and say what the file holds. Raises FootageError."""
        try:
            self._container.close()
            self._file.sync()
            sync_folder(self.path.parent)
        except (av.FFmpegError, OSError) as error:
            raise self._failure(error) from None
        finally:
            self._release()
        return self._file.running.result()

    def abandon(self) -> None:
        """Let go of a file that can't be written any more; what is in it stays."""
        self.failed = True
        with contextlib.suppress(av.FFmpegError, OSError):  # it is why the file is abandoned
            self._container.close()
        self._release()

    def _release(self) -> None:
        self._file.shut()
        self._template.close()

    def _failure(self, error: Exception) -> FootageError:
        self.failed = True
        cause = self._file.failure or (error if isinstance(error, OSError) else None)
        if cause is None or isinstance(cause, av.FFmpegError):
            return FootageError("stream_error", f"footage {self.path}: the stream cannot be stored: {error}")
        return footage_error(self.path, cause)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _written_bytes(file: BinaryIO, size: int) -> int:
    """Length without a tail of zeros: after a power cut a file may have its length but not yet its last blocks."""
    end = size
    while end:
        start = max(0, end - _BLOCK_BYTES)
        file.seek(start)
        rest = file.read(end - start).rstrip(b"\0")
        if rest:
            end = start + len(rest)
            break
        end = start
    return end if size - end >= _SECTOR_BYTES else size


def whole_bytes(path: Path) -> int:
    """Length up to the last whole fragment; 0 where not even one is whole. Raises OSError."""
    position = whole = 0
    with path.open("rb") as file:
        size = _written_bytes(file, path.stat().st_size)
        while position + _BOX_HEAD.size <= size:
            file.seek(position)
            length, kind = _BOX_HEAD.unpack(file.read(_BOX_HEAD.size))
            if length == 1:
                length = int.from_bytes(file.read(8), "big")
            if length < _BOX_HEAD.size or position + length > size:
                break
            position += length
            if kind == b"mdat" or (kind == b"mfra" and whole):
                whole = position
    return whole


def trim(path: Path) -> int:
    """Cut a torn file back to its last whole fragment and make that durable; its length. Raises FootageError."""
    try:
        whole = whole_bytes(path)
        with path.open("r+b") as file:
            file.truncate(whole)
            os.fsync(file.fileno())
    except OSError as error:
        raise footage_error(path, error) from None
    return whole


def length_of(path: Path) -> tuple[float, int, str]:
    """Seconds, packets and codec of a file, from its packets alone. Raises ValueError where it does not play."""
    try:
        with av.open(str(path), mode="r") as container:
            stream = container.streams.video[0]
            codec = stream.codec_context.name
            count, end = 0, 0.0
            for packet in container.demux(stream):
                if packet.size == 0 or packet.dts is None or packet.time_base is None:
                    continue
                count += 1
                end = max(end, float((packet.dts + (packet.duration or 0)) * packet.time_base))
    except (av.FFmpegError, IndexError, OSError) as error:
        raise ValueError(f"{path}: does not play: {error}") from None
    return end, count, codec
