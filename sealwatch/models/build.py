"""From the manifest to files in the model store: which variants are there, and making those that are not."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import msgspec
from msgspec import Struct

from sealwatch.base.errors import CommandFailed
from sealwatch.models import runtime, store
from sealwatch.models.errors import ModelError
from sealwatch.models.manifest import ModelSpec, Precision, SourceSpec, Variant

BUILDER = 1
"""Raised whenever the same source gives another file; files of an older builder are built again."""


AGREEMENT_MIN = 0.9
"""INT8 with fp32. Measured: 0.97 for good quantisations, at most 0.71 for ones that lost detections."""


class State(StrEnum):
    """What the store holds of a variant."""

    READY = "ready"
    MISSING = "missing"
    DAMAGED = "damaged"
    OUTDATED = "outdated"
    REFUSED = "refused"
    """INT8 was tried and does not agree with fp32 on this machine's processor."""


class Calibration(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an INT8 file learnt its ranges from, and how well it agrees with the fp32 model on other pictures (to 1)."""

    source: str
    pictures: int
    agreement: float


class Record(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a file was built; lies beside it."""

    sha256: str
    builder: int
    source: str
    calibration: Calibration | None = None


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
    record = read_record(model_store, variant)
    if not file.is_file():
        tried = (
            record is not None
            and record.builder == BUILDER
            and record.calibration is not None
            and not _agrees(record.calibration)
        )
        return State.REFUSED if tried else State.MISSING
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
    model_store: Path,
    model: ModelSpec,
    variant: Variant,
    make: Callable[[Path], Calibration | None],
) -> None:
    """Let `make` write the variant's file, prove that it runs, and put it into the store with its record.

    Raises ModelError where the file that was made does not work; the store is then as it was.
    """
    source = _source_of(model)
    with store.whole_file(model_store / variant.file) as part:
        calibration = make(part)
        runtime.check(part, model, variant)
        record = Record(
            sha256=store.sha256_of(part), builder=BUILDER, source=source.requirement, calibration=calibration
        )
        # The record first: a record without its file reads as "missing", a file without its record as "damaged".
        store.write_whole(record_path(model_store, variant), msgspec.json.format(msgspec.json.encode(record)))


def convert_variant(model_store: Path, model: ModelSpec, variant: Variant, source_folder: Path) -> None:
    """Build an fp32 variant from the source files. Raises ModelError, OSError."""
    from sealwatch.models.convert import convert

    source = _source_of(model)
    notes = {
        "source": source.requirement,
        "licence": "; ".join(f"{licence.part}: {licence.spdx}, {licence.holder}" for licence in source.licences),
    }
    graph = next(file.file_name for file in source.file if file.path.endswith(".json"))

    def make(part: Path) -> None:
        convert(source_folder / graph, part, width_px=variant.width_px, height_px=variant.height_px, notes=notes)

    put(model_store, model, variant, make)


def quantise_variant(model_store: Path, model: ModelSpec, variant: Variant, clip: Path | None) -> Calibration:
    """Build an INT8 variant from the fp32 one of its size, with pictures of `clip` added to the synthetic ones.

    Raises ModelError where the result does not agree with the fp32 model, UsageError for a clip that can't be read.
    """
    from sealwatch.models import quantise

    plain = full_precision(model, variant)
    fp32 = runtime.Detector.load(model_store / plain.file)
    pictures = list(quantise.synthetic_pictures(quantise.SYNTHETIC_PICTURES, seed=1))
    if clip is not None:
        pictures += quantise.pictures_of(clip)
    unseen = list(quantise.synthetic_pictures(quantise.CHECK_PICTURES, seed=2))
    made: list[Calibration] = []

    def make(part: Path) -> Calibration:
        inputs = (fp32.prepare(picture) for picture in pictures)
        quantise.quantise(model_store / plain.file, part, model.input.name, inputs)
        int8 = runtime.Detector.open(part, model, variant)
        value = quantise.agreement(fp32.scores, int8.scores, unseen)
        source = f"synthetic and {clip.name}" if clip is not None else "synthetic"
        calibration = Calibration(source=source, pictures=len(pictures), agreement=round(value, 3))
        if not _agrees(calibration):
            _remember_refusal(model_store, model, variant, calibration)
            raise ModelError(
                f"{variant.file} does not agree with the fp32 model on this processor ({value:.2f}, at least "
                f"{AGREEMENT_MIN} wanted) and is not kept; the fp32 model is used"
            )
        made.append(calibration)
        return calibration

    put(model_store, model, variant, make)
    return made[-1]


def _agrees(calibration: Calibration) -> bool:
    return calibration.agreement >= AGREEMENT_MIN


def _remember_refusal(model_store: Path, model: ModelSpec, variant: Variant, calibration: Calibration) -> None:
    """So that the next `fetch` does not try again what this processor can't do. An earlier, good file stays in use."""
    if not (model_store / variant.file).exists():
        record = Record(sha256="", builder=BUILDER, source=_source_of(model).requirement, calibration=calibration)
        store.write_whole(record_path(model_store, variant), msgspec.json.format(msgspec.json.encode(record)))


def _source_of(model: ModelSpec) -> SourceSpec:
    if model.source is None:
        raise CommandFailed(f"model {model.name} has no source to build it from")
    return model.source
