"""The TensorFlow.js graph computed with numpy, by TensorFlow's own rules (channels last, explicit transposes).

An independent second opinion on the converter: it shares no code with it.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Graph:
    """A graph model as its files say, ready to be computed."""

    def __init__(self, model_json: Path) -> None:
        document = json.loads(model_json.read_bytes())
        self.nodes = {node["name"]: node for node in document["modelTopology"]["node"]}
        self.values: dict[str, Array] = {}
        for group in document["weightsManifest"]:
            data = b"".join((model_json.parent / path).read_bytes() for path in group["paths"])
            for weight in group["weights"]:
                kind = np.dtype("float16" if "quantization" in weight else weight["dtype"])
                count = int(np.prod(weight["shape"], dtype=int))
                values = np.frombuffer(data[: count * kind.itemsize], kind).astype(weight["dtype"])
                self.values[weight["name"]] = values.reshape(weight["shape"])
                data = data[count * kind.itemsize :]

    def compute(self, name: str, picture: Array) -> Array:
        """The value of a node for a normalised picture [1, 3, H, W]."""
        self.values["input_1"] = picture
        waiting = [name]
        while waiting:
            node = self.nodes[waiting[-1].split(":")[0]]
            needed = [i for i in node.get("input", []) if i not in self.values]
            if needed and node["name"] not in self.values:
                waiting += needed
                continue
            if node["name"] not in self.values:
                self._run(node, [self.values[i] for i in node.get("input", [])])
            waiting.pop()
        return self.values[name]

    def _run(self, node: dict[str, Any], inputs: list[Array]) -> None:
        if node["op"] == "SplitV":
            parts = np.split(inputs[0], np.cumsum(inputs[1])[:-1], axis=int(inputs[2]))
            for index, part in enumerate(parts):
                self.values[f"{node['name']}:{index}"] = part
            self.values[node["name"]] = parts[0]
            return
        self.values[node["name"]] = compute_node(node["op"], node.get("attr", {}), inputs)


def compute_node(operation: str, attributes: dict[str, Any], inputs: list[Array]) -> Array:
    x = inputs[0]
    match operation:
        case "Add" | "AddV2":
            return x + inputs[1]
        case "Identity":
            return x
        case "Transpose":
            return x.transpose(inputs[1])
        case "LeakyRelu":
            return np.where(x > 0, x, x * np.float32(attributes["alpha"]["f"]))
        case "Sigmoid":
            return np.asarray(1 / (1 + np.exp(-x)))
        case "Reshape":
            return x.reshape(inputs[1])
        case "ConcatV2":
            return np.concatenate(inputs[:-1], axis=int(inputs[-1]))
        case "Pad" | "PadV2":
            return np.pad(x, inputs[1], constant_values=float(inputs[2]) if len(inputs) > 2 else 0.0)
        case "SparseToDense":
            assert inputs[0].size == 0
            return np.full(inputs[1], inputs[3])
        case "ResizeBilinear":
            return resized(x, *(int(i) for i in inputs[1]))
        case "Conv2D":
            return convolved(x, inputs[1], _numbers(attributes, "strides")[1], attributes)
        case "MaxPool":
            return pooled(x, _numbers(attributes, "ksize")[1], _numbers(attributes, "strides")[1])
    raise AssertionError(f"no rule for {operation}")


def _numbers(attributes: dict[str, Any], name: str) -> list[int]:
    return [int(i) for i in attributes[name]["list"]["i"]]


def _windows(x: Array, size: int, stride: int) -> Array:
    return np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))[:, ::stride, ::stride]


def convolved(x: Array, kernel: Array, stride: int, attributes: dict[str, Any]) -> Array:
    assert base64.b64decode(attributes["padding"]["s"]) == b"VALID"
    rows = np.einsum("bhwcij,ijco->bhwo", _windows(x, kernel.shape[0], stride), kernel, optimize=True)
    return np.asarray(rows, np.float32)


def pooled(x: Array, size: int, stride: int) -> Array:
    return np.asarray(_windows(x, size, stride).max(axis=(-2, -1)))


def resized(x: Array, rows: int, columns: int) -> Array:
    """Bilinear with half-pixel centres, clamped at the edges."""
    for axis, wanted in ((1, rows), (2, columns)):
        size = x.shape[axis]
        at = np.clip((np.arange(wanted) + 0.5) * size / wanted - 0.5, 0, size - 1)
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, size - 1)
        shape = [1, 1, 1, 1]
        shape[axis] = wanted
        part = (at - low).astype(np.float32).reshape(shape)
        x = np.take(x, low, axis) * (1 - part) + np.take(x, high, axis) * part
    return x
