from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from sealwatch.base.errors import UsageError
from sealwatch.models import convert, quantise
from sealwatch.models.detection import Floats
from sealwatch.models.manifest import Precision, Variant
from sealwatch.models.runtime import Detector, Image
from tests.models.support import sketch_spec
from tests.models.test_convert import sketch


def test_synthetic_pictures_are_the_same_on_every_machine_and_all_different() -> None:
    first, again = list(quantise.synthetic_pictures(3, seed=1)), list(quantise.synthetic_pictures(3, seed=1))
    other = next(quantise.synthetic_pictures(1, seed=2))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert all(p.shape == (416, 416, 3) and p.dtype == np.uint8 and p.std() > 10 for p in first)
    assert (first[0] != first[1]).any()
    assert (first[0] != other).any()


def write_clip(path: Path, frames: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(frames):
            image = np.full((48, 64, 3), index * 255 // frames, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode(None))


@pytest.mark.parametrize("frames", [1, 5, 23, 200])
def test_frames_are_taken_from_all_over_a_clip(tmp_path: Path, frames: int) -> None:
    write_clip(tmp_path / "clip.avi", frames)
    levels = [float(picture.mean()) for picture in quantise.pictures_of(tmp_path / "clip.avi", count=10)]
    assert min(frames, 5) <= len(levels) <= 10
    assert levels == sorted(levels)
    if frames > 20:
        assert levels[0] < 20
        assert levels[-1] > 200


def test_a_folder_of_pictures_will_do_as_well(tmp_path: Path) -> None:
    for index in range(25):
        cv2.imwrite(str(tmp_path / f"{index:02}.png"), np.full((8, 8, 3), index, np.uint8))
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / "torn.jpg").write_bytes(b"torn")
    levels = [int(picture.mean()) for picture in quantise.pictures_of(tmp_path, count=10)]
    assert 7 <= len(levels) <= 10
    assert levels[-1] >= 20


def test_nothing_to_calibrate_on_is_told(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no clip")
    for path, sentence in ((tmp_path / "gone", "no such clip"), (tmp_path / "text.mp4", "no picture in it")):
        with pytest.raises(UsageError, match=sentence):
            quantise.pictures_of(path)


def scores_of(values: np.ndarray) -> quantise.Scores:
    def scores(_picture: Image) -> Floats:
        return values.astype(np.float32)

    return scores


def test_agreement_is_one_for_the_same_and_little_for_the_unrelated() -> None:
    chance = np.random.default_rng(1)
    scores, others = chance.uniform(0.01, 0.9, (500, 4)), chance.uniform(0.01, 0.9, (500, 4))
    picture = [np.zeros((4, 4, 3), np.uint8)]
    assert quantise.agreement(scores_of(scores), scores_of(scores), picture) == pytest.approx(1.0)
    assert abs(quantise.agreement(scores_of(scores), scores_of(others), picture)) < 0.2
    assert quantise.agreement(scores_of(scores), scores_of(np.full((500, 4), 0.3)), picture) == 0.0


def test_an_int8_model_is_smaller_and_says_the_same(tmp_path: Path) -> None:
    convert.convert(sketch().write(tmp_path), tmp_path / "plain.onnx", width_px=64, height_px=64, notes={})
    spec = sketch_spec()
    plain = Detector.open(tmp_path / "plain.onnx", spec, Variant(file="plain.onnx", width_px=64, height_px=64))
    pictures = list(quantise.synthetic_pictures(4, seed=1))
    quantise.quantise(tmp_path / "plain.onnx", tmp_path / "small.onnx", "images", (plain.prepare(p) for p in pictures))
    variant = Variant(file="small.onnx", width_px=64, height_px=64, precision=Precision.INT8)
    small = Detector.open(tmp_path / "small.onnx", spec, variant)
    assert (tmp_path / "small.onnx").stat().st_size < (tmp_path / "plain.onnx").stat().st_size * 0.5
    unseen = list(quantise.synthetic_pictures(2, seed=2))
    assert quantise.agreement(plain.scores, small.scores, unseen) > 0.97
    # Calibrated on one flat grey picture it knows no ranges, and the check must notice.
    grey = [plain.prepare(np.full((64, 64, 3), 114, np.uint8))]
    quantise.quantise(tmp_path / "plain.onnx", tmp_path / "bad.onnx", "images", grey)
    bad = Detector.open(tmp_path / "bad.onnx", spec, variant)
    assert quantise.agreement(plain.scores, bad.scores, unseen) < 0.9
