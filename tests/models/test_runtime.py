from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from sealwatch.base.settings import SettingsError
from sealwatch.models import manifest
from sealwatch.models.detection import Floats
from sealwatch.models.errors import ModelError, ModelMissingError
from sealwatch.models.runtime import Detector
from tests.models.support import SIDE, small_manifest, spec_text, write_constant_model

ONE_PERSON = {
    "boxes": np.array([[[16, 16, 48, 64], [17, 16, 48, 64], [0, 0, 8, 8]]]),
    "scores": np.array([[[0.9, 0.1], [0.8, 0.1], [0.1, 0.2]]]),
}


class Network:
    """Remembers what it was given and answers what it was told."""

    def __init__(self, outputs: dict[str, np.ndarray]) -> None:
        self.outputs = outputs
        self.given: list[Floats] = []

    def __call__(self, planes: Floats) -> Sequence[Floats]:
        self.given.append(planes)
        return [value.astype(np.float32) for value in self.outputs.values()]


def detector(network: Network, **changes: str) -> Detector:
    model = small_manifest(**changes).model[0]
    return Detector(model, model.variant[0], network)


def picture(width: int = 128, height: int = 128, value: int = 200) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def test_boxes_come_back_in_image_pixels_once_each() -> None:
    found = detector(Network(ONE_PERSON)).detect(picture(256, 128))
    assert [(d.label, d.box) for d in found] == [("person", (64, 0, 192, 128))]
    assert found[0].score == pytest.approx(0.9)
    assert found[0].frame_share == pytest.approx(0.5)


def test_the_threshold_decides_what_is_told() -> None:
    assert detector(Network(ONE_PERSON)).detect(picture(), threshold=0.95) == []
    labels = [d.label for d in detector(Network(ONE_PERSON)).detect(picture(), threshold=0.15)]
    assert labels == ["person", "dog"]


def test_a_caller_may_ask_for_some_classes_only() -> None:
    found = detector(Network(ONE_PERSON)).detect(picture(), threshold=0.15, labels={"dog"})
    assert [d.label for d in found] == ["dog"]
    with pytest.raises(ValueError, match="no class cat"):
        detector(Network(ONE_PERSON)).detect(picture(), labels={"cat"})


def test_a_box_in_the_letterbox_bars_is_no_detection() -> None:
    bars = {"boxes": np.array([[[0, 0, 64, 10]]]), "scores": np.array([[[0.9, 0.0]]])}
    assert detector(Network(bars)).detect(picture(256, 128)) == []


def test_the_picture_is_letterboxed_with_grey() -> None:
    network = Network(ONE_PERSON)
    detector(network).detect(picture(128, 64, value=10))
    planes = network.given[0]
    assert planes.shape == (1, 3, SIDE, SIDE)
    assert planes.dtype == np.float32
    assert set(planes[0, 0, :16].ravel().tolist()) == {114.0}
    assert set(planes[0, 0, 16:48].ravel().tolist()) == {10.0}
    assert set(planes[0, 0, 48:].ravel().tolist()) == {114.0}


def test_colour_order_and_scale_follow_the_manifest() -> None:
    text = spec_text().replace("[[model.variant]]", '[model.input]\ncolour = "rgb"\nscale = 0.5\n[[model.variant]]')
    model = manifest.parse(text, name="test").model[0]
    network = Network(ONE_PERSON)
    image = picture(64, 64)
    image[:] = (10, 20, 30)
    Detector(model, model.variant[0], network).detect(image)
    assert network.given[0][0, :, 5, 5].tolist() == [15.0, 10.0, 5.0]


@pytest.mark.parametrize("shape", [(128, 128), (128, 128, 1)])
def test_a_grey_picture_is_a_picture(shape: tuple[int, ...]) -> None:
    assert len(detector(Network(ONE_PERSON)).detect(np.full(shape, 90, np.uint8))) == 1


@pytest.mark.parametrize("shape", [(0, 10, 3), (10, 0, 3), (10, 10, 4)])
def test_an_empty_or_misshapen_picture_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="picture"):
        detector(Network(ONE_PERSON)).detect(np.zeros(shape, np.uint8))


def test_yolo_outputs_are_understood() -> None:
    predictions = {"output0": np.array([[[32], [32], [32], [64], [0.1], [0.8]]])}
    found = detector(Network(predictions), decoding="yolov8").detect(picture())
    assert [(d.label, d.box) for d in found] == [("dog", (32, 0, 96, 128))]


def test_classes_that_do_not_fit_the_network_are_told() -> None:
    with pytest.raises(ModelError, match="scores 2 classes but its manifest lists 3"):
        detector(Network(ONE_PERSON), classes='["person", "dog", "cat"]').detect(picture())


def test_an_operators_own_model_is_loaded_through_its_manifest(tmp_path: Path) -> None:
    write_constant_model(tmp_path / "small.onnx", ONE_PERSON)
    (tmp_path / "yard.toml").write_text(spec_text())
    (tmp_path / "small.toml").write_text(spec_text())
    for path in (tmp_path / "yard.toml", tmp_path / "small.onnx"):
        found = Detector.load(path).detect(picture())
        assert [d.label for d in found] == ["person"]


def test_without_any_model_the_advice_is_to_fetch_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEALWATCH_MODEL_DIR", str(tmp_path))
    with pytest.raises(ModelMissingError, match="run `sealwatch models fetch`"):
        Detector.load()
    with pytest.raises(ModelMissingError, match="run `sealwatch models fetch`"):
        Detector.load(tmp_path / "nanodet-g-416x416.onnx")


def test_a_model_that_nothing_describes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError, match="no such model"):
        Detector.load(tmp_path / "small.onnx")
    write_constant_model(tmp_path / "small.onnx", ONE_PERSON)
    with pytest.raises(ModelError, match=r"write a manifest beside it, small\.toml"):
        Detector.load(tmp_path / "small.onnx")
    (tmp_path / "small.toml").write_text(spec_text(file="other.onnx"))
    with pytest.raises(SettingsError, match=r"no variant names the file small\.onnx"):
        Detector.load(tmp_path / "small.onnx")
    with pytest.raises(ModelMissingError, match="none of its files is beside it"):
        Detector.load(tmp_path / "small.toml")


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x08\x12\x07pytorch" * 9])
def test_a_damaged_model_file_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "small.onnx").write_bytes(content)
    (tmp_path / "small.toml").write_text(spec_text())
    with pytest.raises(ModelError, match="not a usable ONNX model"):
        Detector.load(tmp_path / "small.onnx")


def test_a_truncated_model_file_is_one_sentence(tmp_path: Path) -> None:
    write_constant_model(tmp_path / "small.onnx", ONE_PERSON)
    whole = (tmp_path / "small.onnx").read_bytes()
    (tmp_path / "small.onnx").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "small.toml").write_text(spec_text())
    with pytest.raises(ModelError, match="not a usable ONNX model"):
        Detector.load(tmp_path / "small.onnx")


@pytest.mark.parametrize(
    ("outputs", "side", "name", "sentence"),
    [
        (ONE_PERSON, 96, "images", "correct width_px and height_px"),
        (ONE_PERSON, SIDE, "data", "has no input 'images' but data"),
        ({"boxes": ONE_PERSON["boxes"]}, SIDE, "images", "has no output scores but boxes"),
    ],
)
def test_a_model_unlike_its_manifest_is_refused(
    tmp_path: Path, outputs: dict[str, np.ndarray], side: int, name: str, sentence: str
) -> None:
    write_constant_model(tmp_path / "small.onnx", outputs, side=side, name=name)
    (tmp_path / "small.toml").write_text(spec_text())
    with pytest.raises(ModelError, match=sentence):
        Detector.load(tmp_path / "small.onnx")


def test_a_model_whose_checksum_is_declared_must_have_it(tmp_path: Path) -> None:
    write_constant_model(tmp_path / "small.onnx", ONE_PERSON)
    (tmp_path / "small.toml").write_text(spec_text() + f'\nsha256 = "{"0" * 64}"\n')
    with pytest.raises(ModelError, match="sha256 differs"):
        Detector.load(tmp_path / "small.onnx")
