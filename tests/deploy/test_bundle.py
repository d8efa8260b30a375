"""The bundle for a county without the Internet: made, installed from itself alone, refused when damaged."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BUNDLE = Path(__file__).parents[2] / "deploy" / "bundle"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The service's part for this machine; skips where the packages cannot be downloaded."""
    out = tmp_path_factory.mktemp("bundle") / "sealwatch"
    environment = os.environ | {
        "PYTHON": sys.executable,
        "SEALWATCH_BUNDLE_EXTRAS": "cloud",
        "SEALWATCH_BUNDLE_ARM64_EXTRAS": "",
    }
    made = subprocess.run([str(BUNDLE / "make.sh"), str(out)], env=environment, capture_output=True, text=True)
    if made.returncode and "No matching distribution" in made.stderr + made.stdout:
        pytest.skip("the packages cannot be downloaded here")
    assert made.returncode == 0, made.stderr
    assert out.with_suffix(".tar.gz").exists()
    return out


def install(bundle: Path, prefix: Path, what: str = "server") -> subprocess.CompletedProcess[str]:
    """As a machine without a network would: no index, and one that could not answer if anybody asked it."""
    environment = os.environ | {
        "PYTHON": sys.executable,
        "SEALWATCH_EXTRAS": "cloud",
        "PIP_INDEX_URL": "http://127.0.0.1:9/",
        "PIP_CACHE_DIR": str(prefix.parent / "no-cache"),
    }
    command = [str(bundle / "install.sh"), what, str(prefix)]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_a_machine_without_a_network_gets_from_the_bundle_to_a_configured_service(bundle: Path, tmp_path: Path) -> None:
    done = install(bundle, tmp_path / "opt")
    assert done.returncode == 0, done.stderr
    assert "is installed in" in done.stdout
    command = [str(tmp_path / "opt" / "bin" / "sealwatch"), "cloud", "init", "--host", "seal.example.cn"]
    folders = ["--folder", str(tmp_path / "etc"), "--data", str(tmp_path / "data"), "--site", "s1", "--node", "n1"]
    ran = subprocess.run([*command, *folders], capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for file in ("broker/mosquitto.conf", "broker/acl", "proxy/sealwatch.conf", "cloud.toml"):
        assert (tmp_path / "etc" / file).is_file(), "a wheel holds what a checkout only links to"
    assert (bundle / "images.txt").read_text(encoding="utf-8").count("\n") >= 6


def test_a_damaged_bundle_installs_nothing(bundle: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle, tmp_path / "copy"))
    [wheel] = copy.glob("wheels/*/sealwatch-*.whl")
    with wheel.open("r+b") as file:
        file.seek(100)
        file.write(b"\0\0\0\0")
    done = install(copy, tmp_path / "opt")
    assert done.returncode == 1
    assert "copy the bundle again" in done.stderr
    assert not (tmp_path / "opt").exists()


def test_the_installer_asks_what_the_machine_is(bundle: Path, tmp_path: Path) -> None:
    done = install(bundle, tmp_path / "opt", what="")
    assert done.returncode == 2
    assert "server|node" in done.stderr
