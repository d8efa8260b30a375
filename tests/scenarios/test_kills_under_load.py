"""Store, broker and database killed under load: no alarm and no acknowledged point is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scenarios import under_load
from tests.scenarios.under_load import County, Engine
from tests.servers import influx1_or_skip, postgres_or_skip, victoria_or_skip
from tests.support import mosquitto_or_skip

pytestmark = [pytest.mark.mosquitto, pytest.mark.slow]


@pytest.mark.parametrize("engine", ["influxdb", "victoria"])
def test_every_server_is_killed_once_and_nothing_that_was_promised_is_lost(tmp_path: Path, engine: Engine) -> None:
    store = influx1_or_skip() if engine == "influxdb" else victoria_or_skip()
    with store, postgres_or_skip() as postgres, mosquitto_or_skip() as broker:
        losses = County(tmp_path, engine, store, broker, postgres).run(1, each_s=1.5, down_s=0.5)
    assert losses.kills == {"store": 1, "broker": 1, "postgres": 1}
    assert losses.alarms > under_load.NODES * 8
    assert losses.waiting == 0
    assert losses.alarms_stored == losses.alarms
    assert losses.points_stored == losses.points
