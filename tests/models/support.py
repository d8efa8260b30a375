"""Small models and packages made for tests."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from sealwatch.models import manifest
from sealwatch.models.manifest import Decoding, Manifest, ModelSpec, SourceSpec, Variant

SIDE = 64


def spec_text(*, decoding: str = "boxes-scores", file: str = "small.onnx", classes: str = '["person", "dog"]') -> str:
    return f"""
        format = 1
        [[model]]
        name = "small"
        summary = "a model made for a test"
        decoding = "{decoding}"
        classes = {classes}
        [[model.variant]]
        file = "{file}"
        width_px = {SIDE}
        height_px = {SIDE}
    """


def small_manifest(**changes: str) -> Manifest:
    return manifest.parse(spec_text(**changes), name="test")


def write_constant_model(path: Path, outputs: dict[str, np.ndarray], *, side: int = SIDE, name: str = "images") -> None:
    """An ONNX model that takes a picture and always answers the same."""
    nodes = [
        helper.make_node("ReduceMean", [name], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
    ]
    initializers = [numpy_helper.from_array(np.float32(0), "zero")]
    declared = []
    for output, value in outputs.items():
        initializers.append(numpy_helper.from_array(value.astype(np.float32), f"{output}_value"))
        nodes.append(helper.make_node("Add", [f"{output}_value", "nothing"], [output]))
        declared.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, list(value.shape)))
    picture = helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, side, side])
    graph = helper.make_graph(nodes, "small", [picture], declared, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, str(path))


def archive(files: dict[str, bytes]) -> bytes:
    """A package's archive as npm makes it: gzipped tar, everything below `package/`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def sketch_spec(*, source: SourceSpec | None = None, variants: list[Variant] | None = None) -> ModelSpec:
    """Describes the small network of `test_convert`: NanoDet's shape and classes, 64 x 64 pixels."""
    return ModelSpec(
        name="sketch",
        summary="a small network",
        decoding=Decoding.BOXES_SCORES,
        classes=manifest.packaged().model[0].classes,
        source=source,
        variant=variants or [Variant(file="sketch.onnx", width_px=64, height_px=64)],
    )
