"""The units as systemd itself reads them, and how much they leave open."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
MOST_EXPOSED = 20  # tenths of systemd's score from 0 to 10: an agent with devices and a network cannot reach 0

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")


def analyse(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True)


@pytest.mark.parametrize("unit", sorted(UNITS.glob("*.service")), ids=lambda path: path.name)
def test_systemd_takes_every_line_of_the_unit(unit: Path, tmp_path: Path) -> None:
    copy = tmp_path / unit.name
    program = re.compile(r"/opt/sealwatch/bin/sealwatch(-start)?(?= )")
    copy.write_text(program.sub(sys.executable, unit.read_text()))
    read = analyse("verify", "--man=no", str(copy))
    assert (read.returncode, read.stderr) == (0, "")


@pytest.mark.parametrize("unit", sorted(UNITS.glob("*.service")), ids=lambda path: path.name)
def test_the_unit_leaves_no_more_open_than_it_needs(unit: Path) -> None:
    judged = analyse("security", "--offline=true", f"--threshold={MOST_EXPOSED}", str(unit))
    if "unrecognized option" in judged.stderr:
        pytest.skip("this systemd cannot judge a unit that is not loaded")
    assert judged.returncode == 0, re.findall(r"^✗.*", judged.stdout, re.MULTILINE)
