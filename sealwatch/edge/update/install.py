"""Filling a slot: a virtual environment from wheels that are here already, or a model beside its manifest."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from sealwatch.contract.release import Release
from sealwatch.edge.update.fetch import FileKeep

_WITHIN_S: Final = 1800  # the slowest card and the largest release
_TOLD: Final = 400
_LOOK_S: Final = 0.3


Stopped = Callable[[], bool]


class InstallStoppedError(Exception):
    """The agent ends; what is half done is begun anew."""


class InstallError(Exception):
    """What came is right and cannot be installed here; the message is the installer's own."""


def builder(release: Release, keep: FileKeep, stopped: Stopped) -> Callable[[Path], None]:
    """What fills a slot with this release. The function raises InstallError, InstallStoppedError and OSError."""
    return lambda slot: _agent(release, keep, slot, stopped) if release.kind == "agent" else _model(release, keep, slot)


def _agent(release: Release, keep: FileKeep, slot: Path, stopped: Stopped) -> None:
    _run([sys.executable, "-m", "venv", "--without-pip", str(slot)], stopped)
    with tempfile.TemporaryDirectory(dir=slot) as folder:
        wheels = []
        for file in release.files:  # a wheel's name tells pip what is in it
            wheel = Path(folder) / file.name
            os.link(keep.path(file.sha256), wheel)
            wheels.append(wheel)
        pip = next((wheel for wheel in wheels if wheel.name.startswith("pip-")), None)
        if pip is None:
            raise InstallError("the release brings no pip to install it with")
        python = str(slot / "bin" / "python")
        # Exactly the wheels that were signed: no index, nothing resolved, nothing built.
        options = ["--no-index", "--no-deps", "--only-binary=:all:", "--no-cache-dir", "--disable-pip-version-check"]
        others = [str(wheel) for wheel in wheels if wheel is not pip]
        _run([python, str(pip / "pip"), "install", "--quiet", *options, *others], stopped)
    said = _run([str(slot / "bin" / "sealwatch"), "--version"], stopped).split()
    if said[-1:] != [release.version]:
        raise InstallError(f"the release is {release.version}, its agent says {' '.join(said)}")


def _model(release: Release, keep: FileKeep, slot: Path) -> None:
    for file in release.files:
        shutil.copyfile(keep.path(file.sha256), slot / file.name)


def _run(command: Sequence[str], stopped: Stopped) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
    until_s = time.monotonic() + _WITHIN_S
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, env=clean
    ) as process:
        while True:
            try:
                said, _ = process.communicate(timeout=_LOOK_S)
                break
            except subprocess.TimeoutExpired:
                over = time.monotonic() > until_s
                if over or stopped():
                    process.kill()
                if over:
                    raise InstallError(f"{command[0]} was not done within {_WITHIN_S} s") from None
                if stopped():
                    raise InstallStoppedError from None
    if process.returncode != 0:
        raise InstallError(said.strip()[-_TOLD:] or f"{command[0]} ended with {process.returncode}")
    return said
