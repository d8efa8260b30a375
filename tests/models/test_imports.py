"""The agent at the shaft runs models; it must not need what builds them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run_without(blocked: str, program: str) -> subprocess.CompletedProcess[str]:
    header = f"import sys\nfor name in {blocked.split()!r}: sys.modules[name] = None\n"
    return subprocess.run([sys.executable, "-c", header + program], capture_output=True, text=True, cwd=ROOT)


def test_the_runtime_needs_neither_onnx_nor_the_quantiser() -> None:
    done = run_without("onnx onnxruntime.quantization", "import sealwatch.models.runtime")
    assert done.returncode == 0, done.stderr


def test_the_arithmetic_needs_no_runtime_at_all() -> None:
    done = run_without("onnx onnxruntime cv2", "import sealwatch.models.detection, sealwatch.models.manifest")
    assert done.returncode == 0, done.stderr


def test_loading_a_model_needs_neither(tmp_path: Path) -> None:
    from tests.models.support import spec_text, write_constant_model
    from tests.models.test_runtime import ONE_PERSON

    write_constant_model(tmp_path / "small.onnx", ONE_PERSON)
    (tmp_path / "small.toml").write_text(spec_text())
    program = (
        "import numpy, pathlib\n"
        "from sealwatch.models.runtime import Detector\n"
        f"detector = Detector.load(pathlib.Path({str(tmp_path / 'small.onnx')!r}))\n"
        "found = detector.detect(numpy.zeros((64, 64, 3), 'uint8'))\n"
        "assert [d.label for d in found] == ['person']\n"
    )
    done = run_without("onnx onnxruntime.quantization", program)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", ["fetch", "list", "evaluate"])
def test_help_is_there_without_the_converter(command: str) -> None:
    program = f"from sealwatch.cli import main\nraise SystemExit(main(['models', {command!r}, '--help']))"
    done = run_without("onnx onnxruntime.quantization", program)
    assert done.returncode == 0, done.stderr
