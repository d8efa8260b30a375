"""An fp32 model to INT8: a quarter of the size and about half of the processor time.

Static quantisation needs pictures to learn each layer's range from. Synthetic ones serve: noise with the spectrum of
natural pictures (power falls with frequency) and shapes with hard edges reach the ranges that photographs reach, need
no network and nobody's pictures, and are the same on every machine. Frames of a clip of the place can be added to them.

Only convolutions are quantised. Concatenations force one scale on inputs of different ranges, which cost a quarter of
the pictures hit at score 0.45 in our measurements and saved next to no time.

Whether the result is any good on this machine's processor is not believed but checked: on pictures that calibration has
not seen, its scores must go up and down with those of the fp32 model.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sealwatch.base.errors import UsageError
from sealwatch.models.detection import Floats
from sealwatch.models.runtime import Image

SYNTHETIC_PICTURES = 24
CHECK_PICTURES = 4
CLIP_PICTURES = 24
PICTURE_SIDE_PX = 416
PICTURES = {".jpg", ".jpeg", ".png", ".bmp"}

Prepare = Callable[[Image], Floats]
Scores = Callable[[Image], Floats]


def synthetic_pictures(count: int, seed: int) -> Iterator[Image]:
    """Pictures [416, 416, 3] that exercise a network as photographs do; the same for the same seed."""
    chance = np.random.default_rng(seed)
    for _ in range(count):
        picture = _natural_noise(chance)
        for _ in range(int(chance.integers(3, 25))):
            _draw_shape(picture, chance)
        yield picture


def _natural_noise(chance: np.random.Generator) -> Image:
    """Noise whose amplitude falls with frequency, at a brightness and contrast of its own."""
    side = PICTURE_SIDE_PX
    spectrum = np.fft.rfft2(chance.standard_normal((3, side, side)))
    frequency = np.hypot(np.fft.fftfreq(side)[:, np.newaxis], np.fft.rfftfreq(side)[np.newaxis, :])
    frequency[0, 0] = 1.0
    noise = np.fft.irfft2(spectrum / frequency ** chance.uniform(0.8, 1.4), s=(side, side))
    noise = (noise - noise.mean()) / noise.std() * chance.uniform(25, 70) + chance.uniform(60, 190)
    return np.ascontiguousarray(np.clip(noise, 0, 255).astype(np.uint8).transpose(1, 2, 0))


def _draw_shape(picture: Image, chance: np.random.Generator) -> None:
    """A filled rectangle or ellipse or a line, anywhere, of any colour."""
    colour = tuple(int(c) for c in chance.integers(0, 256, 3))
    x, y = (int(v) for v in chance.integers(0, PICTURE_SIDE_PX, 2))
    width, height = (int(v) for v in chance.integers(5, 200, 2))
    kind = int(chance.integers(3))
    if kind == 0:
        cv2.rectangle(picture, (x, y), (x + width, y + height), colour, -1)
    elif kind == 1:
        cv2.ellipse(picture, (x, y), (width // 2 + 1, height // 2 + 1), chance.uniform(0, 180), 0, 360, colour, -1)
    else:
        cv2.line(picture, (x, y), (x + width, y + height), colour, int(chance.integers(1, 12)))


def pictures_of(path: Path, count: int = CLIP_PICTURES) -> list[Image]:
    """At most `count` pictures, evenly spread, of a clip or of a folder of pictures. Raises UsageError."""
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURES)
        read = [cv2.imread(str(file)) for file in _spread(files, count)]
        pictures = [np.asarray(picture, np.uint8) for picture in read if picture is not None]
    elif path.is_file():
        pictures = _frames(path, count)
    else:
        raise UsageError(f"{path}: no such clip or folder")
    if not pictures:
        raise UsageError(f"{path}: no picture in it can be read; name a video clip or a folder of pictures")
    return pictures


def _spread(items: list[Path], count: int) -> list[Path]:
    step = max(1, math.ceil(len(items) / count))
    return items[::step]


def _frames(clip: Path, count: int) -> list[Image]:
    """Frames of a clip, evenly spread. A clip of unknown length is thinned while it is read."""
    capture = cv2.VideoCapture(str(clip))
    kept: list[Image] = []
    step, index = 1, 0
    try:
        while capture.grab():
            if index % step == 0:
                ok, frame = capture.retrieve()
                if ok:
                    kept.append(np.asarray(frame, np.uint8))
                if len(kept) == 2 * count:
                    kept, step = kept[::2], step * 2
            index += 1
    finally:
        capture.release()
    return kept[:: max(1, math.ceil(len(kept) / count))]


def quantise(fp32: Path, target: Path, input_name: str, inputs: Iterable[Floats]) -> None:
    """Write the INT8 form of an fp32 model, calibrated on `inputs` (float32 [1, 3, height, width])."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # no types in onnxruntime
        def __init__(self) -> None:
            self._inputs = iter(inputs)

        def get_next(self) -> dict[str, Floats] | None:
            planes = next(self._inputs, None)
            return None if planes is None else {input_name: planes}

    with _quiet():
        quantize_static(
            str(fp32),
            str(target),
            Reader(),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=["Conv"],
        )


def agreement(fp32: Scores, int8: Scores, pictures: Iterable[Image]) -> float:
    """How well two models' scores go together, up to 1: the worst correlation of their logits on any picture."""
    worst = 1.0
    for picture in pictures:
        left, right = _logits(fp32(picture)), _logits(int8(picture))
        if left.std() == 0 or right.std() == 0:
            return 0.0
        worst = min(worst, float(np.corrcoef(left, right)[0, 1]))
    return worst


def _logits(scores: Floats) -> Any:
    clipped = np.clip(scores.astype(np.float64).ravel(), 1e-6, 1 - 1e-6)
    return np.log(clipped / (1 - clipped))


@contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser logs advice about models exported from training; this one needs none of it."""
    root = logging.getLogger()
    before = root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
