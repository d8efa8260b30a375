"""The stores under test: two inside this process, two real servers of the distribution.

SEALWATCH_INFLUX_URL (with SEALWATCH_INFLUX_TOKEN and SEALWATCH_INFLUX_ORG) points the same tests at a real InfluxDB 2
or 3: they make buckets named ``sealwatch_test*`` there.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from sealwatch.base.clock import Clock, ManualClock
from sealwatch.cloud.ports import TelemetryStore
from sealwatch.cloud.telemetry.columns import Columns
from sealwatch.cloud.telemetry.influx import InfluxTelemetry
from sealwatch.cloud.telemetry.memory import MemoryTelemetry
from sealwatch.cloud.telemetry.reading import Tier
from sealwatch.cloud.telemetry.remote import reader
from sealwatch.cloud.telemetry.setup import Retention, set_up
from sealwatch.cloud.telemetry.sqlite import SqliteTelemetry
from sealwatch.cloud.telemetry.victoria import VictoriaTelemetry
from tests.servers import Influx1, Victoria, influx1_or_skip, victoria_or_skip

T0 = 1_700_000_000_000
BUCKET = "sealwatch_test"
StoreMaker = Callable[[], TelemetryStore]


@pytest.fixture(scope="session")
def influx1() -> Iterator[Influx1]:
    with influx1_or_skip() as server:
        yield server


@pytest.fixture(scope="session")
def victoria() -> Iterator[Victoria]:
    with victoria_or_skip() as server:
        yield server


@pytest.fixture(scope="session")
def influx_access(request: pytest.FixtureRequest) -> tuple[str, str, str]:
    """URL, token and organisation of an InfluxDB whose test buckets exist and keep points for ever."""
    url, token = os.environ.get("SEALWATCH_INFLUX_URL", ""), os.environ.get("SEALWATCH_INFLUX_TOKEN", "")
    org = os.environ.get("SEALWATCH_INFLUX_ORG", "sealwatch")
    if not url:
        server: Influx1 = request.getfixturevalue("influx1")
        url = server.url
    with reader(url, token) as client:
        set_up(client, bucket=BUCKET, org=org, retention=Retention(raw_days=0, minutes_days=0))
    return url, token, org


def influx_store(access: tuple[str, str, str], clock: Clock) -> InfluxTelemetry:
    """A store of its own: every test has a county to itself."""
    url, token, org = access
    return InfluxTelemetry(url, bucket=BUCKET, token=token, org=org, county=uuid.uuid4().hex[:12], clock=clock)


class SettledVictoria(VictoriaTelemetry):
    """Tests read at once what they wrote: the server shows it only after a flush (or a second)."""

    server: Victoria

    def write_blocks(self, blocks: Sequence[Columns], *, tier: Tier = Tier.RAW) -> None:
        super().write_blocks(blocks, tier=tier)
        self.server.flush()


def victoria_store(server: Victoria, clock: Clock) -> SettledVictoria:
    """A store of its own: every test has a county to itself."""
    store = SettledVictoria(server.url, county=uuid.uuid4().hex[:12], clock=clock)
    store.server = server
    return store


@pytest.fixture(params=["memory", "sqlite", "influxdb", "victoria"])
def make_store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> StoreMaker:
    """Makes empty stores of one kind; their clock stands a few hours after T0."""
    clock = ManualClock(wall_ms=T0 + 20_000_000)
    if request.param == "influxdb":
        access = request.getfixturevalue("influx_access")
        return lambda: influx_store(access, clock)
    if request.param == "victoria":
        server = request.getfixturevalue("victoria")
        return lambda: victoria_store(server, clock)
    if request.param == "sqlite":
        return lambda: SqliteTelemetry(Path(tmp_path_factory.mktemp("t")) / "t.sqlite")
    return MemoryTelemetry


@pytest.fixture
def store(make_store: StoreMaker) -> Iterator[TelemetryStore]:
    made = make_store()
    yield made
    made.close()
