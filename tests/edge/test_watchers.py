"""The watchers of a configuration, and the one detector that all cameras share."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sealwatch.base.clock import ManualClock
from sealwatch.base.mqtt import MqttSettings
from sealwatch.edge.config import CameraSettings, MeterSettings, NodeSettings
from sealwatch.edge.ports import MemorySink
from sealwatch.edge.watchers import SharedDetector, watchers
from sealwatch.models.errors import ModelMissingError

TIMEOUT_S = 10.0
PICTURE = np.zeros((2, 2, 3), np.uint8)


class Detector:
    """Notes how many detect at the same time."""

    def __init__(self, places: int) -> None:
        self.now = self.most = 0
        self._lock, self.full = threading.Lock(), threading.Barrier(places)

    def detect(self, _image: Any, threshold: float = 0.35) -> list[float]:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        self.full.wait(TIMEOUT_S)
        with self._lock:
            self.now -= 1
        return [threshold]


def test_the_model_is_loaded_once_and_only_so_many_cameras_detect_at_once() -> None:
    plain, loads = Detector(2), []

    def load() -> Detector:
        loads.append(1)
        return plain

    shared, found = SharedDetector(load, at_once=2), list[Any]()
    threads = [threading.Thread(target=lambda: found.append(shared.detect(PICTURE, 0.4))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT_S)
    assert found == [[0.4]] * 8
    assert len(loads) == 1
    assert plain.most == 2


def test_a_model_that_comes_later_is_found_at_the_next_try() -> None:
    tries = []

    def load() -> Detector:
        tries.append(1)
        if len(tries) == 1:
            raise ModelMissingError("run `sealwatch models fetch`")
        return Detector(1)

    shared = SharedDetector(load)
    with pytest.raises(ModelMissingError):
        shared.detect(PICTURE)
    assert shared.detect(PICTURE) == [0.35]


def test_a_missing_model_keeps_neither_cameras_nor_meters_from_being_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SEALWATCH_MODEL_DIR", str(tmp_path))
    node = NodeSettings(
        site_id="s",
        node_id="n",
        data_dir=str(tmp_path),
        mqtt=MqttSettings(url="mqtt://h"),
        cameras=[CameraSettings(camera_id="cam-1", source="/dev/video0")],
        meters=[MeterSettings(meter_id="meter-1", url="tcp://h:1", address="1")],
    )
    with caplog.at_level(logging.WARNING):
        parts = watchers(node, MemorySink(), ManualClock(), ManualClock())
    assert [part.part_id for part in parts] == ["cam-1", "meter-1"]
    assert "sealwatch models fetch" in caplog.text
