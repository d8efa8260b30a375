"""The demo's story, run once by its command, on the embedded broker and on the distribution's Mosquitto."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from sealwatch.demo import clip
from tests.support import mosquitto_or_skip


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("broker", ["embedded", pytest.param("mosquitto", marks=pytest.mark.mosquitto)])
def test_a_person_and_hoist_like_power_page_a_person_who_answers(broker: str, tmp_path: Path) -> None:
    if clip.cached_clip() is None:
        pytest.skip("the demo clip is not here (make clip)")
    with nullcontext() if broker == "embedded" else mosquitto_or_skip() as server:
        url = [] if server is None else ["--broker", server.url]
        command = [sys.executable, "-m", "sealwatch", "demo", "--once", "--json", "--port", "0"]
        done = subprocess.run([*command, "--dir", str(tmp_path / "demo"), *url], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    assert {"person", "hoist_like_cycle"} <= set(result["alarms"])
    assert result["incident"]["level"] == "red"
    assert result["incident"]["acknowledged_name"] == "王组长"
    messages = result["messages"]
    assert messages["lost"] == messages["quarantined"] == 0
    assert messages["stored"] + messages["waiting"] == messages["sent"] > 0
    kinds = [event["kind"] for event in result["incident"]["history"]]
    assert kinds.index("opened") < kinds.index("page_submitted") < kinds.index("acknowledged")


def test_a_source_that_is_not_there_is_told_in_one_sentence(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sealwatch", "demo", "--once", "--port", "0", "--dir", str(tmp_path / "demo")]
    done = subprocess.run([*command, "--source", str(tmp_path / "none.mp4")], capture_output=True, text=True)
    assert done.returncode == 2
    assert "none.mp4: no such file" in done.stderr
    assert "Traceback" not in done.stderr
