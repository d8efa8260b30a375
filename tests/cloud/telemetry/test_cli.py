"""`sealwatch telemetry` as a person calls it."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from sealwatch.base.broker import free_port
from sealwatch.base.clock import SystemClock
from sealwatch.cli import main
from sealwatch.cloud.config import TelemetrySettings, load_cloud
from sealwatch.cloud.telemetry.spooled import GuardedTelemetry, SpooledTelemetry
from sealwatch.cloud.telemetry.store import open_store
from tests.servers import Influx1, Victoria


def config(folder: Path, telemetry: str) -> str:
    file = folder / "cloud.toml"
    file.write_text(f'data_dir = "data"\n[mqtt]\nurl = "mqtt://127.0.0.1:1883"\n[telemetry]\n{telemetry}\n')
    return str(file)


def test_the_embedded_store_is_set_up_kept_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = config(tmp_path, "")
    for command in ("init", "retention", "status"):
        assert main(["telemetry", command, "--config", file]) == 0
    said = capsys.readouterr().out
    assert "ready" in said
    assert "deleted 0 points" in said
    assert "MiB" in said


def test_influxdb_is_set_up_kept_and_shown(
    tmp_path: Path, influx1: Influx1, capsys: pytest.CaptureFixture[str]
) -> None:
    file = config(tmp_path, f'engine = "influxdb"\nurl = "{influx1.url}"\nbucket = "by_cli"')
    for command in ("init", "retention", "status"):
        assert main(["telemetry", command, "--config", file]) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert "made     database by_cli_minutes: kept 1825d" in said
    assert "rolled up 72 hours" in said
    assert "influxdb1 1.6.7" in said
    assert "waiting on disk: 0 points" in said


def test_victoriametrics_is_checked(tmp_path: Path, victoria: Victoria, capsys: pytest.CaptureFixture[str]) -> None:
    file = config(tmp_path, f'engine = "victoria"\nurl = "{victoria.url}"')
    assert main(["telemetry", "init", "--config", file]) == 0
    assert "cannot   tasks" in capsys.readouterr().out


def test_a_cluster_is_written_at_one_address_and_asked_at_another(
    tmp_path: Path, victoria: Victoria, capsys: pytest.CaptureFixture[str]
) -> None:
    """A single server answers under the ends of the cluster's paths: no cluster is at hand."""
    urls = f'engine = "victoria"\nurl = "{victoria.url}/influx"\nquery_url = "{victoria.url}/prometheus"\ncounty = "c1"'
    file = config(tmp_path, urls)
    for command in ("init", "retention", "status"):
        assert main(["telemetry", command, "--config", file]) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert "checked  queries" in said
    assert "-replicationFactor=2" in said
    assert "victoria (cluster)" in said
    store = open_store(load_cloud(Path(file)).telemetry, tmp_path / "data")
    assert isinstance(store, SpooledTelemetry)
    now_ms = SystemClock().wall_ms()
    store.write(site_id="s1", node_id="n1", source_id="m", at_ms=[now_ms], values={"active_power_w": [5.0]})
    pause, until_s = threading.Event(), time.monotonic() + 20
    while store.spool.state().points and time.monotonic() < until_s:
        pause.wait(0.02)
    victoria.flush()
    found = store.read(site_id="s1", metric="active_power_w", from_ms=now_ms - 1000, to_ms=now_ms)
    assert list(found["m"].values) == [5.0]
    store.close()


def test_an_address_for_queries_belongs_to_a_cluster_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = config(tmp_path, 'engine = "influxdb"\nurl = "http://127.0.0.1:1"\nquery_url = "http://127.0.0.1:2"')
    assert main(["telemetry", "status", "--config", file]) == 2
    assert "telemetry.query_url" in capsys.readouterr().err


def test_a_server_that_is_away_is_a_failed_command_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = config(tmp_path, f'engine = "influxdb"\nurl = "http://127.0.0.1:{free_port()}"')
    for command in ("init", "retention", "status"):
        assert main(["telemetry", command, "--config", file]) == 1
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 3
    assert all(line.startswith("sealwatch: ") for line in told)


@pytest.mark.parametrize(
    ("telemetry", "sentence"),
    [
        ('engine = "influxdb"', "wants the url"),
        ('engine = "mysql"', "telemetry.engine"),
        ('engine = "influxdb"\nurl = "http://x"\ntoken = "abc"', "given by reference"),
    ],
)
def test_a_wrong_configuration_is_said_before_anything_happens(
    tmp_path: Path, telemetry: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["telemetry", "init", "--config", config(tmp_path, telemetry)]) == 2
    assert sentence in capsys.readouterr().err


def test_a_configuration_opens_the_store_it_means(tmp_path: Path, influx1: Influx1, victoria: Victoria) -> None:
    embedded = open_store(load_cloud(Path(config(tmp_path, ""))).telemetry, tmp_path)
    assert isinstance(embedded, GuardedTelemetry)
    embedded.write(site_id="s", node_id="n", source_id="m", at_ms=[1], values={"p_w": [1.0]})
    assert embedded.read(site_id="s", metric="p_w", from_ms=0, to_ms=9)["m"].values == [1.0]
    embedded.close()
    for engine, url in (("influxdb", influx1.url), ("victoria", victoria.url)):
        settings = TelemetrySettings(engine=engine, url=url)  # type: ignore[arg-type]  # a loop over the literals
        store = open_store(settings, tmp_path / engine)
        assert isinstance(store, SpooledTelemetry)
        store.close()


def test_the_embedded_store_remembers_its_names_over_a_restart(tmp_path: Path) -> None:
    settings = TelemetrySettings(unknown_metrics=1)
    for metric in ("a_w", "b_w"):
        store = open_store(settings, tmp_path)
        assert isinstance(store, GuardedTelemetry)
        store.write(site_id="s", node_id="n", source_id="m", at_ms=[1], values={metric: [1.0]})
        overflow = store.overflow
        store.close()
    assert overflow == {"metric_overflow": 1}
