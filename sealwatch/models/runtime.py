"""A detector that runs: one picture in, labelled boxes out. Needs ONNX Runtime and OpenCV, not the `onnx` package."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sealwatch.base.settings import SettingsError
from sealwatch.models import detection, manifest, store
from sealwatch.models.detection import Box, Detection, Floats
from sealwatch.models.errors import ModelError, ModelMissingError
from sealwatch.models.manifest import Decoding, ModelSpec, Variant

Image = npt.NDArray[np.uint8]
Network = Callable[[Floats], Sequence[Floats]]
"""float32 [1, 3, height, width] to the outputs that the decoding reads, in its order."""

SUPPRESSION_IOU = 0.55
FETCH_ADVICE = "run `sealwatch models fetch`"

log = logging.getLogger(__name__)


class Detector:
    """One model ready to run. Safe to share between threads; each call runs on its caller's thread."""

    def __init__(self, spec: ModelSpec, variant: Variant, network: Network) -> None:
        self.spec = spec
        self.variant = variant
        self._network = network
        self._class_of = {label: index for index, label in enumerate(spec.classes)}

    @classmethod
    def load(cls, path: Path | None = None, *, threads: int = 1) -> Detector:
        """Load a model: the best built one in the model store, a `.onnx` file or a manifest (`.toml`).

        A `.onnx` file needs a manifest beside it (same name, `.toml`), unless the packaged manifest has its name.
        `threads` is how many processor cores one detection may use.

        Raises ModelError, ModelMissingError, SettingsError.
        """
        file, spec, variant = resolve(path)
        if variant.sha256 is not None and store.sha256_of(file) != variant.sha256:
            raise ModelError(f"{file}: not the file its manifest names (sha256 differs); copy the model again")
        return cls.open(file, spec, variant, threads=threads)

    @classmethod
    def open(cls, file: Path, spec: ModelSpec, variant: Variant, *, threads: int = 1) -> Detector:
        """A detector from a model file and its description, wherever they come from. Raises ModelError."""
        return cls(spec, variant, _open(file, spec, variant, threads))

    def detect(
        self, image_bgr: Image, threshold: float = 0.35, *, labels: Collection[str] | None = None
    ) -> list[Detection]:
        """What is in the picture (rows x columns x 3 BGR, or grey), best score first, boxes in image pixels.

        `labels` limits the search to some of the model's classes. Boxes over most of the picture are returned and
        marked (`Detection.distrusted`), not dropped. Raises ValueError for an empty or misshapen picture.
        """
        height, width = image_bgr.shape[:2]
        fit = self._fit(image_bgr)
        boxes, scores = self._raw(image_bgr, fit)
        wanted = range(len(self.spec.classes)) if labels is None else sorted(self._indices(labels))
        rows, classes = detection.candidates(scores, threshold, wanted)
        placed = detection.to_image(boxes[rows], fit, width, height)
        found = []
        for i in detection.suppress(placed, classes, SUPPRESSION_IOU):
            box = Box(*(float(v) for v in placed[i]))
            if box.area_px > 0:
                score = float(scores[rows[i], classes[i]])
                found.append(Detection(self.spec.classes[classes[i]], score, box, box.area_px / (width * height)))
        return found

    def prepare(self, image_bgr: Image) -> Floats:
        """The picture as the network wants it: float32 [1, 3, height, width]. Raises ValueError as `detect` does."""
        return self._prepare(image_bgr, self._fit(image_bgr))

    def scores(self, image_bgr: Image) -> Floats:
        """The network's scores [N, classes] before any threshold. Raises ValueError as `detect` does."""
        return self._raw(image_bgr, self._fit(image_bgr))[1]

    def _fit(self, image: Image) -> detection.Letterbox:
        return detection.letterbox(image.shape[1], image.shape[0], self.variant.width_px, self.variant.height_px)

    def _raw(self, image: Image, fit: detection.Letterbox) -> tuple[Floats, Floats]:
        """Boxes in network pixels and scores. Raises ModelError where they are not what the manifest says."""
        boxes, scores = _decode(self.spec.decoding, self._network(self._prepare(image, fit)))
        if scores.shape[1] != len(self.spec.classes):
            raise ModelError(
                f"model {self.spec.name} scores {scores.shape[1]} classes but its manifest lists "
                f"{len(self.spec.classes)}; correct the classes in the manifest"
            )
        return boxes, scores

    def _indices(self, labels: Collection[str]) -> set[int]:
        unknown = sorted(set(labels) - set(self._class_of))
        if unknown:
            raise ValueError(f"model {self.spec.name} has no class {', '.join(unknown)}")
        return {self._class_of[label] for label in labels}

    def _prepare(self, image: Image, fit: detection.Letterbox) -> Floats:
        """The picture as the network wants it: letterboxed, its colour order, float32 [1, 3, height, width]."""
        if image.ndim == 3 and image.shape[2] == 1:
            image = image[:, :, 0]
        if image.ndim == 2:
            image = np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)
        if image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"a picture is rows x columns x 3 (BGR) or rows x columns (grey), not {image.shape}")
        canvas = np.full((self.variant.height_px, self.variant.width_px, 3), self.spec.input.padding, np.uint8)
        inner = canvas[fit.top_px : fit.top_px + fit.height_px, fit.left_px : fit.left_px + fit.width_px]
        inner[:] = cv2.resize(image, (fit.width_px, fit.height_px), interpolation=cv2.INTER_LINEAR)
        if self.spec.input.colour == "rgb":
            canvas = canvas[:, :, ::-1]
        planes = np.ascontiguousarray(canvas.transpose(2, 0, 1), np.float32)[np.newaxis]
        if self.spec.input.scale != 1.0:
            planes *= np.float32(self.spec.input.scale)
        return planes


def check(file: Path, spec: ModelSpec, variant: Variant) -> None:
    """Prove that a model file runs and gives what its manifest says, on a plain grey picture. Raises ModelError."""
    grey = np.full((variant.height_px, variant.width_px, 3), spec.input.padding, np.uint8)
    Detector.open(file, spec, variant).detect(grey)


def resolve(path: Path | None) -> tuple[Path, ModelSpec, Variant]:
    """The model file, what it is and which variant; `path` as for `Detector.load`.

    Raises ModelError, ModelMissingError, SettingsError.
    """
    if path is None:
        best = store.best_built(store.folder())
        if best is None:
            raise ModelMissingError(f"no detection model in {store.folder()}; {FETCH_ADVICE}")
        return store.folder() / best[1].file, *best
    if path.suffix == ".toml":
        return _from_manifest(path)
    known = [(m, v) for m in manifest.packaged().model for v in m.variant if v.file == path.name]
    if not path.is_file():
        raise ModelMissingError(
            f"{path}: no such model; {FETCH_ADVICE if known else 'name an existing .onnx or .toml file'}"
        )
    sidecar = path.with_suffix(".toml")
    if sidecar.is_file():
        declared = [(m, v) for m in manifest.load(sidecar).model for v in m.variant if v.file == path.name]
        if not declared:
            raise SettingsError(f"{sidecar}: no variant names the file {path.name}; add one")
        known = declared
    if not known:
        raise ModelError(f"{path}: nothing says what this model is; write a manifest beside it, {sidecar.name}")
    return path, *known[0]


def _from_manifest(path: Path) -> tuple[Path, ModelSpec, Variant]:
    best = store.best_built(path.parent, declared := manifest.load(path))
    if best is None:
        names = ", ".join(v.file for m in declared.model for v in m.variant)
        raise ModelMissingError(f"{path}: none of its files is beside it ({names}); copy one there")
    return path.parent / best[1].file, *best


def _decode(decoding: Decoding, outputs: Sequence[Floats]) -> tuple[Floats, Floats]:
    if decoding is Decoding.YOLOV8:
        return detection.decode_yolov8(outputs[0])
    return detection.decode_boxes_scores(outputs[0], outputs[1])


def _outputs_of(spec: ModelSpec) -> list[str]:
    if spec.decoding is Decoding.YOLOV8:
        return [spec.outputs.predictions]
    return [spec.outputs.boxes, spec.outputs.scores]


def _open(file: Path, spec: ModelSpec, variant: Variant, threads: int) -> Network:
    """An ONNX Runtime session as a function. Raises ModelError."""
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # A camera gives work a few times a second: threads that spin while they wait would keep the board hot for nothing.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Measured, INT8 416, resident: 100 MB so; 107 with memory patterns; 118 without the arena, for what malloc retains.
    options.enable_mem_pattern = False
    failures = (
        state.Fail,
        state.InvalidProtobuf,
        state.InvalidGraph,
        state.InvalidArgument,
        state.NotImplemented,
        state.NoSuchFile,
        state.RuntimeException,
    )
    try:
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except failures as error:
        log.debug("onnxruntime on %s: %s", file, error)
        raise ModelError(f"{file}: not a usable ONNX model (damaged or of another kind); {FETCH_ADVICE}") from None
    _check_shape(session, file, spec, variant)
    outputs, name = _outputs_of(spec), spec.input.name

    def network(planes: Floats) -> Sequence[Floats]:
        result: Sequence[Floats] = session.run(outputs, {name: planes})
        return result

    return network


def _check_shape(session: Any, file: Path, spec: ModelSpec, variant: Variant) -> None:
    inputs = {i.name: i.shape for i in session.get_inputs()}
    if spec.input.name not in inputs:
        raise ModelError(
            f"{file}: has no input '{spec.input.name}' but {', '.join(inputs)}; correct the manifest's input name"
        )
    wanted = [1, 3, variant.height_px, variant.width_px]
    shape = inputs[spec.input.name]
    if len(shape) != 4 or any(isinstance(a, int) and a != b for a, b in zip(shape, wanted, strict=False)):
        raise ModelError(f"{file}: takes {shape}, its manifest says {wanted}; correct width_px and height_px")
    missing = set(_outputs_of(spec)) - {o.name for o in session.get_outputs()}
    if missing:
        raise ModelError(
            f"{file}: has no output {', '.join(sorted(missing))} but "
            f"{', '.join(o.name for o in session.get_outputs())}; correct the manifest's outputs"
        )
