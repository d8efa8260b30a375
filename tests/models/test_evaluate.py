from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from sealwatch.base.errors import UsageError
from sealwatch.cli import main
from sealwatch.models import store
from sealwatch.models.detection import Floats
from sealwatch.models.errors import ModelMissingError
from sealwatch.models.evaluate import evaluate, read_labels
from sealwatch.models.runtime import Detector
from tests.models.support import small_manifest, spec_text, write_constant_model
from tests.models.test_runtime import ONE_PERSON

SHARED = Path(os.environ.get("SEALWATCH_SHARED_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
COCO = SHARED / "images" / "coco256_lightly"


def bright_is_person(planes: Floats) -> Sequence[Floats]:
    """A network that sees a person in the middle of every bright picture."""
    score = 0.9 if planes.mean() > 130 else 0.2
    boxes = np.array([[[16, 16, 48, 48]]], np.float32)
    return [boxes, np.array([[[score, 0.0]]], np.float32)]


def detector() -> Detector:
    model = small_manifest().model[0]
    return Detector(model, model.variant[0], bright_is_person)


@pytest.fixture
def labelled(tmp_path: Path) -> tuple[Path, Path]:
    """Four pictures: found, missed, a false one, rightly empty (and without a file)."""
    images, labels = tmp_path / "images", tmp_path / "labels"
    images.mkdir()
    labels.mkdir()
    for name, value, lines in (
        ("found", 200, "0 0.5 0.5 0.5 0.5\n1 0.1 0.1 0.1 0.1\n"),
        ("missed", 20, "0 0.2 0.2 0.1 0.1\n"),
        ("false", 220, "1 0.5 0.5 0.5 0.5\n"),
        ("empty", 10, None),
    ):
        cv2.imwrite(str(images / f"{name}.png"), np.full((128, 128, 3), value, np.uint8))
        if lines is not None:
            (labels / f"{name}.txt").write_text(lines)
    return images, labels


def test_a_set_is_measured(labelled: tuple[Path, Path]) -> None:
    steps: list[tuple[int, int]] = []
    result = evaluate(detector(), *labelled, progress=lambda *step: steps.append(step))
    assert (result.pictures, result.persons, result.unlabelled_pictures) == (4, 2, 1)
    # Detections by score: one right, one false (0.9 both, "false" comes first by name), two at 0.2 wrong; two labels.
    assert result.ap_50 == pytest.approx(0.25)
    rates = result.rates[0]
    assert (rates.hit, rates.with_persons, rates.false, rates.without_persons) == (1, 2, 1, 2)
    assert steps[-1] == (4, 4)
    assert 0 < result.median_ms <= result.p95_ms
    assert result.cpu_median_ms >= 0


def test_the_labels_may_use_another_number_for_persons(labelled: tuple[Path, Path]) -> None:
    result = evaluate(detector(), *labelled, person_class=1, progress=lambda *_: None)
    assert result.persons == 2
    assert result.rates[0].hit == 2


def test_pictures_that_cannot_be_read_are_counted_not_hidden(labelled: tuple[Path, Path]) -> None:
    (labelled[0] / "torn.jpg").write_bytes(b"\xff\xd8\xff torn")
    result = evaluate(detector(), *labelled, progress=lambda *_: None)
    assert (result.pictures, result.unreadable_pictures) == (4, 1)


def test_folders_that_make_no_sense_are_told(labelled: tuple[Path, Path], tmp_path: Path) -> None:
    images, labels = labelled
    (tmp_path / "nothing").mkdir()
    for pair, sentence in (
        ((tmp_path / "gone", labels), "no such folder"),
        ((images, tmp_path / "gone"), "no such folder"),
        ((tmp_path / "nothing", labels), "no pictures in it"),
        ((images, tmp_path / "nothing"), "no label file for any picture"),
    ):
        with pytest.raises(UsageError, match=sentence):
            evaluate(detector(), *pair, progress=lambda *_: None)


def test_labels_become_pixels_of_the_wanted_class(tmp_path: Path) -> None:
    file = tmp_path / "one.txt"
    file.write_text("0 0.5 0.5 0.2 0.4\n\n16 0.1 0.1 0.1 0.1\n")
    assert read_labels(file, 0, 100, 50) == pytest.approx(np.array([[40, 15, 60, 35]]))
    assert read_labels(file, 5, 100, 50).shape == (0, 4)
    assert read_labels(tmp_path / "none.txt", 0, 100, 50).shape == (0, 4)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("0 0.5 0.5 0.2", "line 2: expected"),
        ("person 0.5 0.5 0.2 0.2", "line 2: expected"),
        ("0 0.5 0.5 0.2 1.5", "line 2: class must be whole"),
        ("0.5 0.5 0.5 0.2 0.2", "line 2: class must be whole"),
        ("0 nan 0.5 0.2 0.2", "line 2: class must be whole"),
        ("\xff", "line 2: expected"),
    ],
)
def test_a_label_that_is_none_is_named_by_file_and_line(tmp_path: Path, line: str, sentence: str) -> None:
    file = tmp_path / "one.txt"
    file.write_text(f"0 0.5 0.5 0.2 0.4\n{line}\n", encoding="utf-8")
    with pytest.raises(UsageError, match=f"one\\.txt, {sentence}"):
        read_labels(file, 0, 100, 50)


def test_the_command_prints_one_json_document(
    labelled: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_constant_model(tmp_path / "small.onnx", ONE_PERSON)
    (tmp_path / "small.toml").write_text(spec_text())
    call = [
        "models",
        "evaluate",
        str(labelled[0]),
        "--labels",
        str(labelled[1]),
        "--model",
        str(tmp_path / "small.toml"),
    ]
    assert main([*call, "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert answer["model"] == "small.onnx"
    assert answer["rates"][0] == {"threshold": 0.35, "with_persons": 2, "hit": 2, "without_persons": 2, "false": 2}
    assert main(call) == 0
    assert "2/2" in capsys.readouterr().out


def fetched(file: str) -> Detector:
    try:
        return Detector.load(store.folder() / file)
    except ModelMissingError as error:
        pytest.skip(str(error))


@pytest.mark.shared_data
@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "ap_50_min", "hits_min"),
    [("nanodet-g-416x416.onnx", 0.62, 55), ("nanodet-g-416x416-int8.onnx", 0.60, 54)],
)
def test_the_person_model_finds_the_persons_of_a_public_set(file: str, ap_50_min: float, hits_min: int) -> None:
    if not COCO.is_dir():
        pytest.skip(f"evaluation pictures are not at {SHARED}; set SEALWATCH_SHARED_DATA")
    labels = COCO / "object_detection" / "labels" / "train2017"
    result = evaluate(fetched(file), COCO / "images" / "train2017", labels, progress=lambda *_: None)
    assert result.persons == 254
    assert result.ap_50 is not None
    assert result.ap_50 >= ap_50_min
    assert result.rates[0].hit >= hits_min
    assert result.rates[0].false <= 6
