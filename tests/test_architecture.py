"""The rooms and the arrows between them, held against the imports in the code."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "sealwatch"

MAY_IMPORT: dict[str, set[str]] = {
    "contract": set(),
    "base": {"contract"},
    "models": {"base"},
    "firmware_config": set(),
    "evidence": {"contract", "base"},
    "release": {"contract", "base"},
    "edge": {"contract", "base", "evidence", "models", "firmware_config"},
    "cloud": {"contract", "base", "evidence"},
    "simulator": {"contract", "base", "firmware_config"},
    "demo": {"contract", "base", "evidence", "edge", "cloud", "models", "simulator"},
}
# pyserial is on neither list: meters need it at the edge, and a county's modem needs it with the extra `gsm`.
EDGE_ONLY = {"av", "cv2", "onnxruntime", "dlt645", "dlt698", "pymodbus", "gpiozero"}
CLOUD_ONLY = {"fastapi", "uvicorn", "sqlalchemy", "alembic", "httpx", "jinja2", "prometheus_client", "structlog"}


def modules(room: str) -> list[Path]:
    return sorted((PACKAGE / room).rglob("*.py"))


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_every_room_has_its_rule() -> None:
    rooms = {p.name for p in PACKAGE.iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert rooms == set(MAY_IMPORT)


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_a_room_imports_only_the_rooms_it_may(room: str) -> None:
    for path in modules(room):
        for name in imported(path):
            parts = name.split(".")
            if parts[0] == "sealwatch" and len(parts) > 1 and (PACKAGE / parts[1]).is_dir():
                assert parts[1] in MAY_IMPORT[room] | {room}, f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize(
    ("room", "foreign"), [("edge", CLOUD_ONLY), ("cloud", EDGE_ONLY), ("contract", EDGE_ONLY | CLOUD_ONLY)]
)
def test_a_side_needs_no_package_of_the_other(room: str, foreign: set[str]) -> None:
    for path in modules(room):
        found = {name.split(".")[0] for name in imported(path)} & foreign
        assert not found, f"{path.relative_to(ROOT)} imports {found}"


def test_the_extras_of_edge_and_cloud_share_only_the_mqtt_client() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]

    def names(extra: str) -> set[str]:
        return {requirement.split(">")[0].split("<")[0].split("=")[0].strip().lower() for requirement in extras[extra]}

    assert names("edge") & names("cloud") <= {"paho-mqtt"}


@pytest.mark.parametrize(
    ("command", "missing", "advice"),
    [
        ("edge", "av cv2 onnxruntime dlt645", "sealwatch[edge]"),
        ("cloud", "fastapi sqlalchemy uvicorn", "sealwatch[cloud]"),
    ],
)
def test_a_room_that_is_not_installed_says_how_to_get_it(command: str, missing: str, advice: str) -> None:
    program = (
        "import sys\n"
        f"for name in {missing.split()!r}: sys.modules[name] = None\n"
        "from sealwatch.cli import main\n"
        f"raise SystemExit(main([{command!r}, '--help']))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    # Either the room needs none of them to show its help, or it names the extra; never a traceback.
    assert "Traceback" not in done.stderr
    assert done.returncode == 0 or advice in done.stderr


@pytest.mark.parametrize("side", ["edge", "cloud"])
def test_no_module_of_a_side_loads_the_other_at_run_time(side: str) -> None:
    other = "cloud" if side == "edge" else "edge"
    names = [
        ".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for p in modules(side)
        if p.name not in {"__main__.py", "env.py"} and "versions" not in p.parts
    ]
    program = (
        "import importlib, sys\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        f"found = sorted(m for m in sys.modules if m.startswith('sealwatch.{other}'))\n"
        "raise SystemExit(f'loads {found}' if found else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
