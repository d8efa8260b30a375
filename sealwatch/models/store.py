"""The folder that built models live in, and how a file gets there whole or not at all.

Layout::

    <folder>/nanodet-g-416x416.onnx          a built variant
    <folder>/nanodet-g-416x416.onnx.json     how it was built, with its checksum
    <folder>/source/<package>-<version>/     the few source files kept, so that rebuilding needs no network
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sealwatch.models.manifest import Manifest, ModelSpec, SourceSpec, Variant, packaged

ENVIRONMENT_VARIABLE = "SEALWATCH_MODEL_DIR"
PART_SUFFIX = ".part"


def folder() -> Path:
    """The model store: $SEALWATCH_MODEL_DIR, else $XDG_CACHE_HOME/sealwatch/models, else ~/.cache/sealwatch/models."""
    chosen = os.environ.get(ENVIRONMENT_VARIABLE)
    if chosen:
        return Path(chosen)
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "sealwatch" / "models"


def source_folder(store: Path, source: SourceSpec) -> Path:
    """Where the kept files of a source package lie."""
    return store / "source" / f"{source.package.lstrip('@').replace('/', '-')}-{source.version}"


def best_built(store: Path, manifest: Manifest | None = None) -> tuple[ModelSpec, Variant] | None:
    """The first variant, in the manifest's order of preference, whose file is in the store."""
    for model in (manifest or packaged()).model:
        for variant in model.variant:
            if (store / variant.file).is_file():
                return model, variant
    return None


def sha256_of(path: Path) -> str:
    """Checksum of a file as 64 hexadecimal digits. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """A path to write to that becomes `target` when the block ends well, and vanishes when it does not.

    Content is on the disk before the name is, so a power cut leaves the old file, the new one or none, never a torn
    one.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=PART_SUFFIX)
    os.close(handle)
    part = Path(name)
    try:
        yield part
        part.chmod(0o644)
        _sync(part)
        part.replace(target)
        _sync(target.parent)
    finally:
        with suppress(FileNotFoundError):
            part.unlink()


def write_whole(target: Path, content: bytes) -> None:
    """Write `content` to `target`, whole or not at all. Raises OSError."""
    with whole_file(target) as part:
        part.write_bytes(content)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
