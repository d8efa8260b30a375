"""A file system that forgets, at a power cut, whatever nobody had synced: FUSE over an ordinary folder.

What is written goes through to the folder, as it would into the page cache; beside it an undo log keeps what each
block of 4 KiB held when its file was last synced. `fsync` and `fdatasync` empty the log of that file. Names (create,
remove, rename, make folder) are kept in order, as the journals of ext4 and XFS keep them, and any sync makes those
before it last. At the cut every block that is still in the log is, by lot, kept, taken back, or torn at a sector of
512 bytes; a length is the old or the new one; and a random tail of the names is undone. So data may last without its
neighbours and in any order, which is worse than most cards.

Not covered: a drive that says "synced" and lies, and one that damages what was synced long ago.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

BLOCK: Final = 4096
SECTOR: Final = 512
MOUNT_WITHIN_S: Final = 10.0


def why_not() -> str:
    """Why such a disk can't be mounted here; empty where it can."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse is not here or not ours"
    if shutil.which("fusermount3") is None:
        return "the package fuse3 is not installed"
    try:
        import mfusepy  # noqa: F401 - only whether it is there
    except (ImportError, OSError, AttributeError) as error:
        return f"mfusepy cannot be used: {error}"
    return ""


@dataclass
class _Undo:
    """How to bring a file back to its last sync. `blocks`: what they held, b'' where there was nothing."""

    descriptor: int
    synced_bytes: int
    blocks: dict[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Loss:
    """What one cut took."""

    blocks: int
    torn: int
    names: int


class ForgetfulDisk:
    """The operations, on paths below `folder`. Callable from any thread."""

    use_ns = True

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._lock = threading.RLock()
        self._undo: dict[int, _Undo] = {}
        self._names: list[Callable[[], object]] = []
        self._grave = f"{self._folder}.removed"
        self._buried = 0
        self._off = False
        Path(self._grave).mkdir(exist_ok=True)

    def real(self, path: str) -> str:
        """Where a path lies in the folder below; nothing is answered any more once the power is off."""
        if self._off:
            raise OSError(errno.EIO, "the power is off")
        return self._folder + path

    # -- data ----------------------------------------------------------------------------------------------------

    def _dirty(self, descriptor: int) -> _Undo:
        status = os.fstat(descriptor)
        found = self._undo.get(status.st_ino)
        if found is None:
            again = os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR)
            found = self._undo[status.st_ino] = _Undo(again, status.st_size)
        return found

    def _keep(self, undo: _Undo, first: int, last: int) -> None:
        for number in range(first, last):
            if number not in undo.blocks:
                room = max(0, min(BLOCK, undo.synced_bytes - number * BLOCK))
                undo.blocks[number] = os.pread(undo.descriptor, room, number * BLOCK)

    def write(self, _path: str, data: bytes, offset: int, fh: int) -> int:
        with self._lock:
            self.real("")
            undo = self._dirty(fh)
            self._keep(undo, offset // BLOCK, -(-(offset + len(data)) // BLOCK))
            return os.pwrite(fh, data, offset)

    def truncate(self, path: str, length: int, fh: int | None = None) -> None:
        with self._lock:
            descriptor = os.open(self.real(path), os.O_RDWR) if fh is None else fh
            try:
                undo = self._dirty(descriptor)
                self._keep(undo, length // BLOCK, -(-undo.synced_bytes // BLOCK))
                os.ftruncate(descriptor, length)
            finally:
                if fh is None:
                    os.close(descriptor)

    def fsync(self, _path: str, _datasync: int, fh: int) -> None:
        with self._lock:
            self.real("")
            found = self._undo.pop(os.fstat(fh).st_ino, None)
            if found is not None:
                os.close(found.descriptor)
            self._names.clear()

    def fsyncdir(self, _path: str, _datasync: int, _fh: int) -> None:
        with self._lock:
            self.real("")
            self._names.clear()

    # -- names ---------------------------------------------------------------------------------------------------

    def _bury(self, real: str) -> Callable[[], object]:
        self._buried += 1
        grave = f"{self._grave}/{self._buried}"
        os.rename(real, grave)  # noqa: PTH104 - plain strings all through
        return lambda: os.rename(grave, real)  # noqa: PTH104 - as above

    def create(self, path: str, mode: int, _fi: Any = None) -> int:
        with self._lock:
            real = self.real(path)
            descriptor = os.open(real, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
            self._names.append(lambda: os.unlink(real))  # noqa: PTH108 - as above
            return descriptor

    def mkdir(self, path: str, mode: int) -> None:
        with self._lock:
            real = self.real(path)
            os.mkdir(real, mode)  # noqa: PTH102 - as above
            self._names.append(lambda: os.rmdir(real))  # noqa: PTH106 - as above

    def unlink(self, path: str) -> None:
        with self._lock:
            self._names.append(self._bury(self.real(path)))

    def rmdir(self, path: str) -> None:
        with self._lock:
            real = self.real(path)
            os.rmdir(real)  # noqa: PTH106 - as above
            self._names.append(lambda: os.mkdir(real))  # noqa: PTH102 - as above

    def rename(self, old: str, new: str, _flags: int = 0) -> None:
        with self._lock:
            before, after = self.real(old), self.real(new)
            back = self._bury(after) if os.path.isfile(after) else None  # noqa: PTH113 - as above
            os.rename(before, after)  # noqa: PTH104 - as above

            def undo() -> None:
                os.rename(after, before)  # noqa: PTH104 - as above
                if back is not None:
                    back()

            self._names.append(undo)

    def link(self, target: str, source: str) -> None:
        with self._lock:
            real = self.real(target)
            os.link(self.real(source), real)
            self._names.append(lambda: os.unlink(real))  # noqa: PTH108 - as above

    # -- the rest passes through -----------------------------------------------------------------------------------

    def open(self, path: str, flags: int) -> int:
        descriptor = os.open(self.real(path), os.O_RDWR)
        if flags & os.O_TRUNC:
            self.truncate(path, 0, descriptor)
        return descriptor

    def read(self, _path: str, size: int, offset: int, fh: int) -> bytes:
        return os.pread(fh, size, offset)

    def release(self, _path: str, fh: int) -> None:
        os.close(fh)

    def getattr(self, path: str, fh: int | None = None) -> dict[str, int]:
        status = os.lstat(self.real(path)) if fh is None else os.fstat(fh)
        names = ("st_atime_ns", "st_ctime_ns", "st_mtime_ns", "st_gid", "st_mode", "st_nlink", "st_size", "st_uid")
        return {name.removesuffix("_ns"): getattr(status, name) for name in names}

    def readdir(self, path: str, _fh: int) -> list[str]:
        return [".", "..", *os.listdir(self.real(path))]  # noqa: PTH208 - as above

    def statfs(self, path: str) -> dict[str, int]:
        status = os.statvfs(self.real(path))
        return {name: getattr(status, name) for name in dir(status) if name.startswith("f_") and name != "f_fsid"}

    def chmod(self, path: str, mode: int) -> None:
        os.chmod(self.real(path), mode)  # noqa: PTH101 - as above

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> None:
        os.utime(self.real(path), ns=times or (time.time_ns(), time.time_ns()))

    # -- the cut -------------------------------------------------------------------------------------------------

    def cut(self, dice: random.Random) -> Loss:
        """Take back what was not synced; from now on every call fails."""
        with self._lock:
            self._off = True
            lost = torn = 0
            for undo in self._undo.values():
                one, two = _forget(undo, dice)
                lost, torn = lost + one, torn + two
                os.close(undo.descriptor)
            tail = dice.randint(0, len(self._names))
            for undone in reversed(self._names[len(self._names) - tail :]):
                undone()
            return Loss(lost, torn, tail)


def _forget(undo: _Undo, dice: random.Random) -> tuple[int, int]:
    """Bring one file to a state in which a cut may leave it; blocks lost and torn."""
    descriptor, now_bytes = undo.descriptor, os.fstat(undo.descriptor).st_size
    size = dice.choice([undo.synced_bytes, now_bytes])
    lost = torn = 0
    for number, before in sorted(undo.blocks.items()):
        at = number * BLOCK
        old = before.ljust(BLOCK, b"\0")
        fate = "lost" if at >= now_bytes else dice.choice(["kept", "kept", "lost", "lost", "torn"])
        if fate == "lost":
            os.pwrite(descriptor, old, at)
            lost += 1
        elif fate == "torn":
            for sector in range(0, BLOCK, SECTOR):
                if dice.random() < 0.5:
                    os.pwrite(descriptor, old[sector : sector + SECTOR], at + sector)
            torn += 1
    os.ftruncate(descriptor, size)
    return lost, torn


class Mounted:
    """The disk in a process of its own, at `mount`, over `folder`."""

    def __init__(self, folder: Path, mount: Path) -> None:
        """Fork before there are threads. Raises OSError where it does not come up."""
        self._mount = mount
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._commands)
            os.close(self._answers)
            _serve(folder, mount, commands, answers)
        os.close(commands)
        os.close(answers)
        until_s = time.monotonic() + MOUNT_WITHIN_S
        while not mount.is_mount():
            if time.monotonic() > until_s or os.waitpid(self._pid, os.WNOHANG)[0]:
                raise OSError(f"{mount}: the disk does not come up")
            time.sleep(0.005)

    def cut(self, seed: int) -> Loss:
        """Power off. Whoever works on the disk must have been killed."""
        os.write(self._commands, f"{seed}\n".encode())
        counts = [int(one) for one in os.read(self._answers, 200).split()]
        self.unmount()
        return Loss(*counts)

    def unmount(self) -> None:
        """Switch off in peace."""
        subprocess.run(["fusermount3", "-u", "-z", str(self._mount)], check=True)
        os.waitpid(self._pid, 0)
        os.close(self._commands)
        os.close(self._answers)


def _serve(folder: Path, mount: Path, commands: int, answers: int) -> None:
    import mfusepy

    disk = ForgetfulDisk(folder)

    def listen() -> None:
        said = os.read(commands, 100)
        if said:
            loss = disk.cut(random.Random(int(said)))
            os.write(answers, f"{loss.blocks} {loss.torn} {loss.names}".encode())

    threading.Thread(target=listen, daemon=True).start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mfusepy.FUSE(disk, str(mount), foreground=True, nothreads=True, default_permissions=True)
    finally:
        os._exit(0)
