from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sealwatch.models import convert, manifest, store
from sealwatch.models.errors import ModelError
from sealwatch.models.runtime import Detector
from tests.models.tensorflow_twin import Array, Graph

VALID = {"s": base64.b64encode(b"VALID").decode()}


class Sketch:
    """A small TensorFlow.js graph with the shape of the real one: stem, pooling, three heads, resizes between them."""

    def __init__(self) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.weights: list[tuple[str, Array, bool]] = []
        self.chance = np.random.default_rng(7)
        self.add("input_1", "Placeholder")

    def add(self, name: str, operation: str, *inputs: str, **attributes: Any) -> str:
        self.nodes.append({"name": name, "op": operation, "input": list(inputs), "attr": attributes})
        return name

    def const(self, value: Any, kind: str = "int32", *, half: bool = False) -> str:
        name = f"const_{len(self.weights)}"
        self.weights.append((name, np.asarray(value, kind), half))
        return self.add(name, "Const")

    def layer(self, source: str, depth: int, filters: int, *, size: int = 3, stride: int = 1) -> str:
        """Pad, to channels last, convolve, bias, to channels first, activate."""
        n, edge = len(self.nodes), size // 2
        x = self.add(f"pad_{n}", "Pad", source, self.const([[0, 0], [0, 0], [edge, edge], [edge, edge]]))
        x = self.add(f"last_{n}", "Transpose", x, self.const([0, 2, 3, 1]))
        kernel = self.chance.standard_normal((size, size, depth, filters)) / np.sqrt(depth * size * size)
        strides = {"list": {"i": ["1", str(stride), str(stride), "1"]}}
        x = self.add(f"conv_{n}", "Conv2D", x, self.const(kernel, "float32", half=True), padding=VALID, strides=strides)
        x = self.add(f"bias_{n}", "Add", x, self.const(self.chance.standard_normal(filters) / 4, "float32", half=True))
        x = self.add(f"first_{n}", "Transpose", x, self.const([0, 3, 1, 2]))
        return self.add(f"relu_{n}", "LeakyRelu", x, alpha={"f": 0.1})

    def pool(self, source: str) -> str:
        n = len(self.nodes)
        edges = self.const([[0, 0], [0, 0], [1, 1], [1, 1]])
        x = self.add(f"pad_{n}", "PadV2", source, edges, self.const(-np.inf, "float32"))
        x = self.add(f"last_{n}", "Transpose", x, self.const([0, 2, 3, 1]))
        window, strides = {"list": {"i": ["1", "3", "3", "1"]}}, {"list": {"i": ["1", "2", "2", "1"]}}
        x = self.add(f"pool_{n}", "MaxPool", x, padding=VALID, ksize=window, strides=strides)
        return self.add(f"first_{n}", "Transpose", x, self.const([0, 3, 1, 2]))

    def resize(self, source: str, side: int) -> str:
        n = len(self.nodes)
        x = self.add(f"last_{n}", "Transpose", source, self.const([0, 2, 3, 1]))
        x = self.add(f"resize_{n}", "ResizeBilinear", x, self.const([side, side]), half_pixel_centers={"b": True})
        return self.add(f"first_{n}", "Transpose", x, self.const([0, 3, 1, 2]))

    def head(self, source: str, index: int, cells: int) -> None:
        n = len(self.nodes)
        split = self.add(f"split_{n}", "SplitV", source, self.const([80, 44]), self.const(1))
        scores = self.add(f"sigmoid_{n}", "Sigmoid", split)
        for value, output, depth in ((scores, index, 80), (f"{split}:1", index + 3, 44)):
            flat = self.add(f"flat_{n}_{output}", "Reshape", value, self.const([1, depth, cells]))
            rows = self.add(f"rows_{n}_{output}", "Transpose", flat, self.const([0, 2, 1]))
            self.add(f"Identity_{output}" if output else "Identity", "Identity", rows)

    def write(self, folder: Path) -> Path:
        described, data = [], b""
        for name, value, half in self.weights:
            entry: dict[str, Any] = {"name": name, "shape": list(value.shape), "dtype": str(value.dtype)}
            if half:
                entry["quantization"] = {"dtype": "float16"}
            described.append(entry)
            data += (value.astype(np.float16) if half else value).tobytes()
        (folder / "net.bin").write_bytes(data)
        document = {
            "modelTopology": {"node": self.nodes},
            "weightsManifest": [{"paths": ["net.bin"], "weights": described}],
        }
        (folder / "net.json").write_text(json.dumps(document))
        return folder / "net.json"


def sketch() -> Sketch:
    """Everything the converter knows, 416 pixels wide by the written sizes."""
    net = Sketch()
    stem = net.pool(net.layer("input_1", 3, 4, stride=2))
    eight = net.layer(stem, 4, 128, stride=2)
    sixteen = net.layer(eight, 128, 6, stride=2)
    sixteen = net.layer(net.add("both", "ConcatV2", sixteen, sixteen, net.const(1)), 12, 128, size=1)
    thirty_two = net.layer(sixteen, 128, 128, size=1, stride=2)
    sixteen = net.add("down", "Add", sixteen, net.resize(thirty_two, 26))
    eight = net.add("lower", "Add", eight, net.resize(sixteen, 52))
    for index, (source, side) in enumerate(((eight, 52), (sixteen, 26), (thirty_two, 13))):
        net.head(net.layer(source, 128, 124, size=1), index, side * side)
    return net


def expected(model_json: Path, picture: Array) -> tuple[Array, Array]:
    """Boxes and scores by the numpy twin, with NanoDet's decoding written out once more."""
    normal = (picture - np.reshape(convert.MEAN_BGR, (1, 3, 1, 1))) / np.reshape(convert.STD_BGR, (1, 3, 1, 1))
    graph, boxes, scores = Graph(model_json), [], []
    for index, stride in enumerate((8, 16, 32)):
        scores.append(graph.compute(f"Identity_{index}" if index else "Identity", normal.astype(np.float32))[0])
        bins = graph.compute(f"Identity_{index + 3}", normal.astype(np.float32))[0].reshape(-1, 4, 11)
        weights = np.exp(bins - bins.max(axis=2, keepdims=True))
        sides = (weights * np.arange(11)).sum(axis=2) / weights.sum(axis=2) * stride
        cells = 416 // stride
        for row in range(cells):
            for column in range(cells):
                left, top, right, bottom = sides[row * cells + column]
                x, y = (column + 0.5) * stride, (row + 0.5) * stride
                boxes.append([x - left, y - top, x + right, y + bottom])
    return np.array(boxes), np.concatenate(scores)


def run(file: Path, picture: Array) -> tuple[Array, Array]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    boxes, scores = session.run(["boxes", "scores"], {"images": picture})
    return boxes[0], scores[0]


def picture_416() -> Array:
    return np.random.default_rng(3).uniform(0, 255, (1, 3, 416, 416)).astype(np.float32)


def test_a_converted_graph_computes_what_tensorflow_would(tmp_path: Path) -> None:
    source = sketch().write(tmp_path)
    convert.convert(source, tmp_path / "net.onnx", width_px=416, height_px=416, notes={"licence": "MIT"})
    boxes, scores = run(tmp_path / "net.onnx", picture_416())
    expected_boxes, expected_scores = expected(source, picture_416())
    assert np.abs(scores - expected_scores).max() < 1e-4
    assert np.abs(boxes - expected_boxes).max() < 0.01


def test_the_real_weights_compute_what_tensorflow_would(tmp_path: Path) -> None:
    source = manifest.packaged().model[0].source
    assert source is not None
    graph = store.source_folder(store.folder(), source) / "nanodet.json"
    if not graph.is_file():
        pytest.skip("the person model is not fetched; run `sealwatch models fetch`")
    convert.convert(graph, tmp_path / "net.onnx", width_px=416, height_px=416, notes={})
    boxes, scores = run(tmp_path / "net.onnx", picture_416())
    expected_boxes, expected_scores = expected(graph, picture_416())
    assert np.abs(scores - expected_scores).max() < 1e-4
    assert np.abs(boxes - expected_boxes).max() < 0.05


def test_one_graph_serves_any_size_in_steps_of_32(tmp_path: Path) -> None:
    source = sketch().write(tmp_path)
    convert.convert(source, tmp_path / "wide.onnx", width_px=96, height_px=64, notes={})
    wide = np.random.default_rng(3).uniform(0, 255, (1, 3, 64, 96)).astype(np.float32)
    boxes, scores = run(tmp_path / "wide.onnx", wide)
    assert boxes.shape == (12 * 8 + 6 * 4 + 3 * 2, 4)
    assert scores.shape == (126, 80)
    with pytest.raises(ModelError, match="multiples of 32"):
        convert.convert(source, tmp_path / "odd.onnx", width_px=100, height_px=64, notes={})


def test_licence_and_source_travel_inside_the_file(tmp_path: Path) -> None:
    import onnxruntime

    convert.convert(sketch().write(tmp_path), tmp_path / "n.onnx", width_px=64, height_px=64, notes={"licence": "MIT"})
    session = onnxruntime.InferenceSession(str(tmp_path / "n.onnx"), providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map == {"licence": "MIT"}


def unknown_operation(net: Sketch) -> None:
    next(n for n in net.nodes if n["op"] == "LeakyRelu")["op"] = "Softplus"


def odd_transpose(net: Sketch) -> None:
    order = next(n for n in net.nodes if n["op"] == "Transpose")["input"][1]
    index = next(i for i, (name, _, _) in enumerate(net.weights) if name == order)
    net.weights[index] = (order, np.array([3, 2, 1, 0], "int32"), False)


def same_padding(net: Sketch) -> None:
    next(n for n in net.nodes if n["op"] == "Conv2D")["attr"]["padding"] = {"s": base64.b64encode(b"SAME").decode()}


def pooling_padded_with_zeros(net: Sketch) -> None:
    next(n for n in net.nodes if n["op"] == "PadV2")["input"].pop()


def corner_aligned_resize(net: Sketch) -> None:
    next(n for n in net.nodes if n["op"] == "ResizeBilinear")["attr"]["half_pixel_centers"] = {"b": False}


def padded_channels(net: Sketch) -> None:
    edges = next(n for n in net.nodes if n["op"] == "Pad")["input"][1]
    index = next(i for i, (name, _, _) in enumerate(net.weights) if name == edges)
    net.weights[index] = (edges, np.array([[0, 0], [1, 0], [1, 1], [1, 1]], "int32"), False)


@pytest.mark.parametrize(
    "change",
    [
        unknown_operation,
        odd_transpose,
        same_padding,
        pooling_padded_with_zeros,
        corner_aligned_resize,
        padded_channels,
    ],
)
def test_a_graph_the_converter_does_not_understand_is_refused_not_guessed(
    tmp_path: Path, change: Callable[[Sketch], None]
) -> None:
    net = sketch()
    change(net)
    with pytest.raises(ModelError, match="the converter does not know"):
        convert.convert(net.write(tmp_path), tmp_path / "net.onnx", width_px=64, height_px=64, notes={})
    assert not (tmp_path / "net.onnx").exists()


@pytest.mark.parametrize("damage", ["text", "short", "long", "keys", "coding"])
def test_source_files_that_do_not_fit_together_are_refused(tmp_path: Path, damage: str) -> None:
    source = sketch().write(tmp_path)
    weights, document = (tmp_path / "net.bin").read_bytes(), json.loads(source.read_text())
    match damage:
        case "text":
            source.write_text("{")
        case "short":
            (tmp_path / "net.bin").write_bytes(weights[:-2])
        case "long":
            (tmp_path / "net.bin").write_bytes(weights + b"\0\0")
        case "keys":
            source.write_text(json.dumps({"weightsManifest": document["weightsManifest"]}))
        case "coding":
            document["weightsManifest"][0]["weights"][0]["quantization"] = {"dtype": "uint8"}
            source.write_text(json.dumps(document))
    with pytest.raises(ModelError, match="not a readable TensorFlow"):
        convert.read_graph(source)


def test_a_converted_graph_runs_as_a_detector(tmp_path: Path) -> None:
    convert.convert(sketch().write(tmp_path), tmp_path / "n.onnx", width_px=64, height_px=64, notes={})
    classes = json.dumps(manifest.packaged().model[0].classes)
    (tmp_path / "n.toml").write_text(
        'format = 1\n[[model]]\nname = "n"\nsummary = ""\ndecoding = "boxes-scores"\n'
        f'classes = {classes}\n[[model.variant]]\nfile = "n.onnx"\nwidth_px = 64\nheight_px = 64\n'
    )
    found = Detector.load(tmp_path / "n.onnx").detect(np.zeros((30, 50, 3), np.uint8), threshold=0.0)
    assert all(0 <= d.box.x1 < d.box.x2 <= 50 and 0 <= d.box.y1 < d.box.y2 <= 30 for d in found)
