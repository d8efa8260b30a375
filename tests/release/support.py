"""Wheels for tests: this tree with another version, as pip itself takes it, and pip's own."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
_PIPS = ("/usr/share/python-wheels",)


def pip_wheel() -> Path | None:
    """The wheel of pip that comes with Python or with Debian's python3-venv."""
    import ensurepip

    folders = [Path(ensurepip.__file__).parent / "_bundled", *map(Path, _PIPS)]
    return next((wheel for folder in folders for wheel in sorted(folder.glob("pip-*.whl"))), None)


def own_wheel(folder: Path, version: str, *, changed: Mapping[str, str] | None = None) -> Path:
    """This tree as a wheel of `version`; `changed` replaces files by their path in the package."""
    files = {
        str(path.relative_to(ROOT)): path.read_bytes()
        for path in sorted((ROOT / "sealwatch").rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    init = files["sealwatch/__init__.py"].decode()
    line = next(line for line in init.splitlines() if line.startswith("__version__"))
    files["sealwatch/__init__.py"] = init.replace(line, f'__version__ = "{version}"').encode()
    files |= {path: text.encode() for path, text in (changed or {}).items()}
    entry = b"[console_scripts]\nsealwatch = sealwatch.cli:main\n"
    return make_wheel(folder, "sealwatch", version, files, entry_points=entry)


def outer_packages_wheel(folder: Path, site_packages: str) -> Path:
    """A wheel that lets a virtual environment see packages installed elsewhere: tests fetch nothing."""
    return make_wheel(folder, "outer_packages", "1", {"outer_packages.pth": f"{site_packages}\n".encode()})


def make_wheel(folder: Path, name: str, version: str, files: Mapping[str, bytes], *, entry_points: bytes = b"") -> Path:
    """A wheel by the binary distribution format, version 1.0 (PEP 427)."""
    info = f"{name}-{version}.dist-info"
    inside = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if entry_points:
        inside[f"{info}/entry_points.txt"] = entry_points
    record = "".join(f"{path},sha256={_digest(data)},{len(data)}\n" for path, data in inside.items())
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path, data in inside.items():
            archive.writestr(path, data)
        archive.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")
    return wheel


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
