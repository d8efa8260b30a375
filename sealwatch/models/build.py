"""From the manifest to files in the model store: which variants are there, and making those that are not."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import msgspec
from msgspec import Struct

from sealwatch.base.errors import CommandFailed
from sealwatch.models import store
from sealwatch.models.errors import ModelError
from sealwatch.models.manifest import ModelSpec, Precision, Variant

BUILDER = 1
"""Raised whenever the same source gives another file; files of an older builder are built again."""


class State(StrEnum):
    """What the store holds of a variant."""

    READY = "ready"
    MISSING = "missing"
    DAMAGED = "damaged"
    OUTDATED = "outdated"


class Record(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a file was built; lies beside it."""

    sha256: str
    builder: int
    source: str
    calibration: str = ""
    calibration_pictures: int = 0


def record_path(model_store: Path, variant: Variant) -> Path:
    return model_store / f"{variant.file}.json"


def read_record(model_store: Path, variant: Variant) -> Record | None:
    """How the variant was built, or None where there is no usable note of it."""
    try:
        return msgspec.json.decode(record_path(model_store, variant).read_bytes(), type=Record)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def state_of(model_store: Path, variant: Variant) -> State:
    """Whether the variant can be used as it is. Raises OSError."""
    file = model_store / variant.file
    if not file.is_file():
        return State.MISSING
    record = read_record(model_store, variant)
    if record is None or record.sha256 != store.sha256_of(file):
        return State.DAMAGED
    return State.READY if record.builder == BUILDER else State.OUTDATED


def full_precision(model: ModelSpec, variant: Variant) -> Variant:
    """The variant that an INT8 one is made from: the same input size in fp32. Raises ModelError."""
    for other in model.variant:
        same_size = (other.width_px, other.height_px) == (variant.width_px, variant.height_px)
        if same_size and other.precision is Precision.FP32:
            return other
    raise ModelError(f"model {model.name}: {variant.file} has no fp32 variant of its size to be made from")


def put(
    model_store: Path, model: ModelSpec, variant: Variant, make: Callable[[Path], None], **calibration: object
) -> None:
    """Let `make` write the variant's file, prove that it runs, and put it into the store with its record.

    Raises ModelError where the file that was made does not work; the store is then as it was.
    """
    from sealwatch.models.runtime import check

    if model.source is None:
        raise CommandFailed(f"model {model.name} has no source to build it from")
    with store.whole_file(model_store / variant.file) as part:
        make(part)
        check(part, model, variant)
        record = msgspec.convert(
            {"sha256": store.sha256_of(part), "builder": BUILDER, "source": model.source.requirement} | calibration,
            Record,
        )
        # The record first: a record without its file reads as "missing", a file without its record as "damaged".
        store.write_whole(record_path(model_store, variant), msgspec.json.format(msgspec.json.encode(record)))


def convert_variant(model_store: Path, model: ModelSpec, variant: Variant, source_folder: Path) -> None:
    """Build an fp32 variant from the source files. Raises ModelError, OSError."""
    from sealwatch.models.convert import convert

    source = model.source
    if source is None:
        raise CommandFailed(f"model {model.name} has no source to build it from")
    notes = {
        "source": source.requirement,
        "licence": "; ".join(f"{licence.part}: {licence.spdx}, {licence.holder}" for licence in source.licences),
    }
    graph = next(file.file_name for file in source.file if file.path.endswith(".json"))

    def make(part: Path) -> None:
        convert(
            source_folder / graph, part, width_px=variant.width_px, height_px=variant.height_px, notes=notes
        )  # fmt: skip

    put(model_store, model, variant, make)
