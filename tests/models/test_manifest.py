from __future__ import annotations

import pytest

from sealwatch.base.settings import SettingsError
from sealwatch.models import manifest
from sealwatch.models.manifest import Precision
from tests.models.support import spec_text


def test_the_packaged_manifest_describes_a_model_that_can_be_built() -> None:
    for model in manifest.packaged().model:
        assert model.source is not None
        for licence in model.source.licences:
            assert licence.spdx in {"Apache-2.0", "MIT"}
        sizes = {(v.width_px, v.height_px) for v in model.variant if v.precision is Precision.FP32}
        assert all((v.width_px, v.height_px) in sizes for v in model.variant)
        assert all(v.width_px % 32 == v.height_px % 32 == 0 for v in model.variant)


def test_the_packaged_classes_are_the_eighty_of_coco_in_their_order() -> None:
    classes = manifest.packaged().model[0].classes
    assert len(classes) == 80
    places = {
        0: "person", 1: "bicycle", 2: "car", 3: "motorcycle", 5: "bus", 7: "truck", 14: "bird", 15: "cat", 16: "dog",
        17: "horse", 18: "sheep", 19: "cow", 24: "backpack", 39: "bottle", 56: "chair", 79: "toothbrush",
    }  # fmt: skip
    assert {place: classes[place] for place in places} == places


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('name = "small"', 'nmae = "small"', "did you mean 'name'"),
        ("width_px = 64", "width_px = 8", "width_px"),
        ('"boxes-scores"', '"ssd"', "decoding"),
        ('file = "small.onnx"', 'file = "../small.onnx"', "file"),
        ('["person", "dog"]', '["person", "person"]', "person is there twice"),
        ("format = 1", "format = 2", "format"),
        ("format = 1", "format = ", "not valid TOML"),
    ],
)
def test_a_manifest_that_is_wrong_says_where(old: str, new: str, sentence: str) -> None:
    text = spec_text()
    assert old in text
    with pytest.raises(SettingsError, match=sentence):
        manifest.parse(text.replace(old, new), name="yard.toml")


def test_two_variants_may_not_share_a_file() -> None:
    text = spec_text()
    with pytest.raises(SettingsError, match=r"variant file small\.onnx is there twice"):
        manifest.parse(text + text[text.index("[[model.variant]]") :], name="yard.toml")
