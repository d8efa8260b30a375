"""NanoDet-g from the TensorFlow.js graph its package carries to ONNX, with numpy and onnx alone.

The graph is an ONNX network that was once exported to TensorFlow: channels-first between layers, with a pair of
transposes around each convolution. The converter keeps every tensor channels-first and notes the order TensorFlow
believes it has, so the transposes vanish. Padding and bias become part of their convolution.

It converts up to the last convolution of each of the three heads and adds the decoding itself, as NanoDet defines it:
generalised focal loss, each side of a box the mean of a distribution over 11 bins, in strides from the cell's centre.

Result: input `images` float32 [1, 3, H, W], BGR 0-255; outputs `boxes` float32 [1, N, 4], corners in network pixels,
not clipped, and `scores` float32 [1, N, 80], 0 to 1. Fully convolutional: H and W are any multiples of 32.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from sealwatch.models.errors import ModelError

Array = npt.NDArray[Any]

# Normalisation of NanoDet's training, BGR, 0-255 (config/nanodet-g.yml of RangiLyu/nanodet).
MEAN_BGR = (103.53, 116.28, 123.675)
STD_BGR = (57.375, 57.12, 58.395)
STRIDES_PX = (8, 16, 32)
DISTANCE_BINS = 11
CLASSES = 80
FEATURES = 128
"""Depth of every map in the neck."""
SOURCE_SIDE_PX = 416
"""Input side that the source graph's resize sizes are written for."""

OPSET = 17  # ONNX Runtime 1.20, the oldest supported, reads these and newer ones
IR_VERSION = 8
CHANNELS_LAST, CHANNELS_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]


@dataclass(frozen=True, slots=True)
class Graph:
    """A TensorFlow.js graph model: nodes by name and constants by name."""

    nodes: Mapping[str, Mapping[str, Any]]
    constants: Mapping[str, Array]


def read_graph(model_json: Path) -> Graph:
    """Read a TensorFlow.js graph model; its weight files lie beside it. Raises ModelError, OSError."""
    try:
        document = json.loads(model_json.read_bytes())
        nodes = {node["name"]: node for node in document["modelTopology"]["node"]}
        constants: dict[str, Array] = {}
        for group in document["weightsManifest"]:
            data = b"".join((model_json.parent / Path(name).name).read_bytes() for name in group["paths"])
            constants |= _constants(group["weights"], data)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{model_json}: not a readable TensorFlow.js graph model: {error!r}; fetch it again") from None
    return Graph(nodes, constants)


def _constants(weights: list[dict[str, Any]], data: bytes) -> dict[str, Array]:
    """Cut a weight file into its tensors. Raises ValueError."""
    result: dict[str, Array] = {}
    offset = 0
    for weight in weights:
        stored = weight.get("quantization", {}).get("dtype", weight["dtype"])
        if stored not in {"float16", "float32", "int32"}:
            raise ValueError(f"weight {weight['name']} is stored as {stored}")
        count = int(np.prod(weight["shape"], dtype=np.int64))
        tensor = np.frombuffer(data, np.dtype(stored).newbyteorder("<"), count, offset)
        offset += tensor.nbytes
        result[weight["name"]] = tensor.astype(weight["dtype"]).reshape(weight["shape"])
    if offset != len(data):
        raise ValueError(f"the weight file has {len(data)} bytes, its description {offset}")
    return result


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of the ONNX graph, always channels-first, and the order that TensorFlow believes it has.

    `padding` is (top, left, bottom, right) rows and columns still owed to it; the convolution or pooling that reads it
    takes them over.
    """

    name: str
    channels_last: bool = False
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    padding_value: float = 0.0


Value = Tensor | Array


class Converter:
    """One conversion for one input size. Use `convert`."""

    def __init__(self, graph: Graph, width_px: int, height_px: int) -> None:
        self._graph = graph
        self._width_px, self._height_px = width_px, height_px
        self._nodes: list[Any] = []
        self._initializers: list[Any] = []
        self._values: dict[str, Value] = {}
        self._operations: dict[str, Callable[[Mapping[str, Any], list[Value]], Value]] = {
            "Add": self._add,
            "AddV2": self._add,
            "ConcatV2": self._concat,
            "Conv2D": self._convolution,
            "LeakyRelu": self._leaky_relu,
            "MaxPool": self._max_pool,
            "Pad": self._pad,
            "PadV2": self._pad,
            "Placeholder": self._input,
            "ResizeBilinear": self._resize,
            "Transpose": self._transpose,
        }

    def model(self) -> Any:
        """The converted `onnx.ModelProto`. Raises ModelError for a graph that is not the expected one."""
        boxes, scores = [], []
        for position, stride_px in enumerate(STRIDES_PX):
            head_boxes, head_scores = self._head(f"Identity_{position}" if position else "Identity", stride_px)
            boxes.append(head_boxes)
            scores.append(head_scores)
        self._nodes.append(helper.make_node("Concat", boxes, ["boxes"], axis=1))
        self._nodes.append(helper.make_node("Concat", scores, ["scores"], axis=1))
        cells = sum((self._height_px // s) * (self._width_px // s) for s in STRIDES_PX)
        graph = helper.make_graph(
            self._nodes,
            "nanodet_g",
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, self._height_px, self._width_px])],
            [
                helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, cells, 4]),
                helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, cells, CLASSES]),
            ],
            self._initializers,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="sealwatch")
        model.ir_version = IR_VERSION
        onnx.checker.check_model(model, full_check=True)
        return model

    def _head(self, output: str, stride_px: int) -> tuple[str, str]:
        """Boxes [1, cells, 4] and scores [1, cells, 80] of one head, from the convolution before its split."""
        name = output
        while self._graph.nodes[name]["op"] != "SplitV":
            name = self._inputs_of(name)[0]
        head = self._evaluate(self._inputs_of(name)[0])
        if not isinstance(head, Tensor) or head.channels_last:
            raise ModelError(f"the source graph's head {output} is not laid out as expected")
        rows, columns = self._height_px // stride_px, self._width_px // stride_px
        cells = rows * columns
        flat = self._emit("Reshape", head.name, self._constant([1, CLASSES + 4 * DISTANCE_BINS, cells], np.int64))
        flat = self._emit("Transpose", flat, perm=[0, 2, 1])
        logits, bins = f"{flat}_scores", f"{flat}_bins"
        sizes = self._constant([CLASSES, 4 * DISTANCE_BINS], np.int64)
        self._nodes.append(helper.make_node("Split", [flat, sizes], [logits, bins], axis=2))
        # NanoDet's cell centre is (column + 0.5, row + 0.5) strides; distances are left, top, right, bottom.
        spread = self._emit("Reshape", bins, self._constant([1, cells, 4, DISTANCE_BINS], np.int64))
        mean = self._emit(
            "MatMul",
            self._emit("Softmax", spread, axis=3),
            self._constant(np.arange(DISTANCE_BINS)[:, None], np.float32),
        )
        sides = self._emit("Reshape", mean, self._constant([1, cells, 4], np.int64))
        reach = self._emit("Mul", sides, self._constant(np.array([-1, -1, 1, 1]) * stride_px, np.float32))
        y, x = np.mgrid[0:rows, 0:columns]
        centres = (np.stack([x, y, x, y], axis=-1).reshape(1, cells, 4) + 0.5) * stride_px
        return self._emit("Add", reach, self._constant(centres, np.float32)), self._emit("Sigmoid", logits)

    # -- walking the source graph

    def _inputs_of(self, name: str) -> list[str]:
        return [i.split(":")[0] for i in self._graph.nodes[name].get("input", []) if not i.startswith("^")]

    def _evaluate(self, target: str) -> Value:
        """Convert `target` and all it needs, deepest first, without recursion: the graph is hundreds of nodes deep."""
        stack = [target]
        while stack:
            name = stack[-1]
            missing = [i for i in self._inputs_of(name) if i not in self._values]
            if missing:
                stack += missing
                continue
            stack.pop()
            if name not in self._values:
                self._values[name] = self._convert_node(name)
        return self._values[target]

    def _convert_node(self, name: str) -> Value:
        node = self._graph.nodes[name]
        if node["op"] == "Const":
            return self._graph.constants[name]
        operation = self._operations.get(node["op"])
        if operation is None:
            raise ModelError(
                f"the source graph has an operation {node['op']} ({name}) that the converter does not know"
            )
        return operation(node, [self._values[i] for i in self._inputs_of(name)])

    def _constant(self, values: Any, kind: type[np.generic]) -> str:
        name = f"constant_{len(self._initializers)}"
        self._initializers.append(numpy_helper.from_array(np.ascontiguousarray(values, dtype=kind), name))
        return name

    def _emit(self, operation: str, *inputs: str, **attributes: Any) -> str:
        name = f"{operation.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operation, list(inputs), [name], **attributes))
        return name

    # -- operations of the source graph

    def _input(self, _node: Mapping[str, Any], _inputs: list[Value]) -> Tensor:
        mean = self._constant(np.reshape(MEAN_BGR, (1, 3, 1, 1)), np.float32)
        factor = self._constant(1 / np.reshape(STD_BGR, (1, 3, 1, 1)), np.float32)
        return Tensor(self._emit("Mul", self._emit("Sub", "images", mean), factor))

    def _transpose(self, node: Mapping[str, Any], inputs: list[Value]) -> Tensor:
        tensor, order = _tensor(node, inputs[0]), [int(i) for i in _array(node, inputs[1])]
        expected = CHANNELS_FIRST if tensor.channels_last else CHANNELS_LAST
        if order != expected:
            raise _unexpected(node)
        return Tensor(tensor.name, not tensor.channels_last, tensor.padding, tensor.padding_value)

    def _pad(self, node: Mapping[str, Any], inputs: list[Value]) -> Tensor:
        tensor, pairs = _unpadded(node, inputs[0]), _array(node, inputs[1]).astype(int).tolist()
        if tensor.channels_last or any(pairs[0]) or any(pairs[1]):
            raise _unexpected(node)
        (top, bottom), (left, right) = pairs[2], pairs[3]
        value = float(_array(node, inputs[2])) if len(inputs) > 2 else 0.0
        return Tensor(tensor.name, padding=(top, left, bottom, right), padding_value=value)

    def _convolution(self, node: Mapping[str, Any], inputs: list[Value]) -> Tensor:
        tensor, weights = _tensor(node, inputs[0]), _array(node, inputs[1])
        kernel = self._constant(weights.transpose(3, 2, 0, 1), np.float32)
        shape = list(weights.shape[:2])
        return self._windowed("Conv", node, tensor, 0.0, kernel, kernel_shape=shape)

    def _max_pool(self, node: Mapping[str, Any], inputs: list[Value]) -> Tensor:
        tensor = _tensor(node, inputs[0])
        return self._windowed("MaxPool", node, tensor, -np.inf, kernel_shape=_window(node, "ksize"))

    def _windowed(
        self, operation: str, node: Mapping[str, Any], tensor: Tensor, neutral: float, *more: str, **attributes: Any
    ) -> Tensor:
        """A convolution or pooling, taking over the padding owed, which must be of the value it pads with itself."""
        valid = base64.b64decode(node["attr"]["padding"]["s"]) == b"VALID"
        if not valid or not tensor.channels_last or (any(tensor.padding) and tensor.padding_value != neutral):
            raise _unexpected(node)
        strides, pads = _window(node, "strides"), list(tensor.padding)
        return Tensor(self._emit(operation, tensor.name, *more, strides=strides, pads=pads, **attributes), True)

    def _add(self, node: Mapping[str, Any], inputs: list[Value]) -> Tensor:
        tensor, other = _unpadded(node, inputs[0]), inputs[1]
        if isinstance(other, Tensor):
            if _unpadded(node, other).channels_last != tensor.channels_last:
                raise _unexpected(node)
            return Tensor(self._emit("Add", tensor.name, other.name), tensor.channels_last)
        producer = self._nodes[-1]
        if producer.op_type != "Conv" or producer.output[0] != tensor.name or other.ndim != 1:
            raise _unexpected(node)
        producer.input.append(self._constant(other, np.float32))
        return tensor

    def _leaky_relu(self, node: Mapping[str, Any], inputs: list[Value]) -> Tensor:
        tensor = _unpadded(node, inputs[0])
        alpha = float(node["attr"]["alpha"]["f"])
        return Tensor(self._emit("LeakyRelu", tensor.name, alpha=alpha), tensor.channels_last)

    def _concat(self, node: Mapping[str, Any], inputs: list[Value]) -> Tensor:
        parts = [_unpadded(node, value) for value in inputs[:-1]]
        axis = int(_array(node, inputs[-1])) % 4
        if any(part.channels_last for part in parts) or axis != 1:
            raise _unexpected(node)
        return Tensor(self._emit("Concat", *(part.name for part in parts), axis=1))

    def _resize(self, node: Mapping[str, Any], inputs: list[Value]) -> Tensor:
        tensor, (rows, columns) = _unpadded(node, inputs[0]), _array(node, inputs[1]).astype(int).tolist()
        if not tensor.channels_last or not node["attr"]["half_pixel_centers"]["b"]:
            raise _unexpected(node)
        scaled = [rows * self._height_px // SOURCE_SIDE_PX, columns * self._width_px // SOURCE_SIDE_PX]
        # All maps in the neck are FEATURES deep; the Resize operator wants the whole shape.
        shape = self._constant([1, FEATURES, *scaled], np.int64)
        name = self._emit(
            "Resize", tensor.name, "", "", shape, mode="linear", coordinate_transformation_mode="half_pixel"
        )
        return Tensor(name, channels_last=True)


def convert(model_json: Path, target: Path, *, width_px: int, height_px: int, notes: Mapping[str, str]) -> None:
    """Write the model at `model_json` as ONNX for one input size; `notes` become its metadata.

    Raises ModelError, OSError.
    """
    if width_px % 32 or height_px % 32:
        raise ModelError(f"an input of {width_px}x{height_px} is not possible; both sides must be multiples of 32")
    model = Converter(read_graph(model_json), width_px, height_px).model()
    helper.set_model_props(model, dict(notes))
    onnx.save(model, str(target))


def _tensor(node: Mapping[str, Any], value: Value) -> Tensor:
    if not isinstance(value, Tensor):
        raise _unexpected(node)
    return value


def _unpadded(node: Mapping[str, Any], value: Value) -> Tensor:
    tensor = _tensor(node, value)
    if any(tensor.padding):
        raise _unexpected(node)
    return tensor


def _array(node: Mapping[str, Any], value: Value) -> Array:
    if isinstance(value, Tensor):
        raise _unexpected(node)
    return value


def _window(node: Mapping[str, Any], attribute: str) -> list[int]:
    """Rows and columns of a window attribute [1, rows, columns, 1]."""
    return [int(i) for i in node["attr"][attribute]["list"]["i"]][1:3]


def _unexpected(node: Mapping[str, Any]) -> ModelError:
    return ModelError(f"the source graph uses {node['op']} ({node['name']}) in a way that the converter does not know")
