"""Between the service and a server: nothing acknowledged is lost, order is kept, bounds hold, everything is counted."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from sealwatch.base.clock import ManualClock
from sealwatch.cloud.telemetry.columns import Columns
from sealwatch.cloud.telemetry.guard import Limits
from sealwatch.cloud.telemetry.influx import InfluxTelemetry
from sealwatch.cloud.telemetry.memory import MemoryTelemetry
from sealwatch.cloud.telemetry.remote import PointsRefused, TelemetryUnavailable, reader
from sealwatch.cloud.telemetry.setup import Retention, set_up
from sealwatch.cloud.telemetry.spool import Spool, SpoolFullError
from sealwatch.cloud.telemetry.spooled import Act, SpooledTelemetry, judge
from sealwatch.cloud.telemetry.victoria import VictoriaTelemetry
from tests.servers import Victoria, influx1_or_skip, victoria_or_skip

T0 = 1_700_000_000_000
METRIC = "active_power_w"


class Server(MemoryTelemetry):
    """A server that can be away or picky; remembers the order in which blocks came."""

    def __init__(self) -> None:
        super().__init__()
        self.hold_s = 0.0
        self.start_time = "first"
        self.away: Exception | None = None
        self.refuses: Callable[[Columns], bool] = lambda _block: False
        self.came: list[int] = []

    def started(self) -> str:
        return self.start_time

    def write_blocks(self, blocks: Sequence[Columns]) -> None:
        if self.away is not None:
            raise self.away
        if any(self.refuses(block) for block in blocks):
            raise PointsRefused("type_conflict", "field type conflict")
        for block in blocks:
            self.came.append(block.at_ms[0])
        super().write_blocks(blocks)


def open_spooled(
    folder: Path, server: Server, *, max_bytes: int = 2**30, limits: Limits | None = None
) -> SpooledTelemetry:
    spool = Spool(folder / "spool.sqlite", max_bytes=max_bytes)
    return SpooledTelemetry(server, spool, limits=limits, clock=ManualClock(wall_ms=T0), jitter_s=lambda n: 2.0**n)


def put(store: SpooledTelemetry, at_ms: int, value: float = 1.0, metric: str = METRIC, source: str = "m") -> None:
    store.write(site_id="s", node_id="n", source_id=source, at_ms=[at_ms], values={metric: [value]})


UNREACHABLE = TelemetryUnavailable("unreachable", "http://store: connection refused")


def test_points_wait_while_the_store_is_away_and_arrive_in_order(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server()
    store = open_spooled(tmp_path, server)
    server.away = UNREACHABLE
    for i in range(50):
        put(store, T0 + i)
    with caplog.at_level(logging.INFO):
        waits = [store.drain_once() for _ in range(3)]
        assert [(w.reason, w.wait_s) for w in waits] == [
            ("unreachable", 1.0),
            ("unreachable", 2.0),
            ("unreachable", 4.0),
        ]
        server.away = None
        assert store.drain_once().points == 50
    assert server.came == [T0 + i for i in range(50)]
    assert store.drain_once().reason == "empty"
    state = store.spool.state()
    assert (state.points, state.size_bytes, state.counts["accepted"], state.counts["sent"]) == (0, 0, 50, 50)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2, "said once when it failed and once when it recovered"
    store.close()


def test_what_waits_survives_the_service(tmp_path: Path) -> None:
    server = Server()
    server.away = UNREACHABLE
    store = open_spooled(tmp_path, server)
    put(store, T0)
    store.drain_once()
    store.close()
    server.away = None
    again = open_spooled(tmp_path, server)
    assert again.drain_once().points == 1
    assert again.read(site_id="s", metric=METRIC, from_ms=T0, to_ms=T0)["m"].values == [1.0]
    again.close()


_WRITER = """
import sys
from pathlib import Path
from sealwatch.cloud.telemetry.columns import Columns
from sealwatch.cloud.telemetry.spool import Spool
spool = Spool(Path(sys.argv[1]))
i = 0
while True:
    spool.add([Columns(site_id="s", node_id="n", source_id="m", at_ms=[i], values={"p_w": [1.0]})], now_ms=i)
    print(i, flush=True)
    i += 1
"""


def test_what_a_killed_service_had_accepted_is_still_there(tmp_path: Path) -> None:
    path = tmp_path / "spool.sqlite"
    with subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        accepted = [int(writer.stdout.readline()) for _ in range(20)]
        writer.send_signal(signal.SIGKILL)
        accepted += [int(line) for line in writer.stdout.read().splitlines()]
    spool = Spool(path)
    kept = [one.block.at_ms[0] for one in spool.oldest(10**6)]
    spool.close()
    assert kept[: len(accepted)] == accepted


def test_a_full_spool_refuses_new_points_and_keeps_the_old_ones(tmp_path: Path) -> None:
    server = Server()
    server.away = UNREACHABLE
    store = open_spooled(tmp_path, server, max_bytes=500)
    taken = 0
    while store.spool.state().size_bytes < 460:
        put(store, T0 + taken)
        taken += 1
    with pytest.raises(SpoolFullError, match="wait already"):
        put(store, T0 + taken)
    assert 5 < taken < 50
    state = store.spool.state()
    assert (state.blocks, state.counts["refused_full"]) == (taken, 1)
    assert state.size_bytes <= 500
    server.away = None
    assert store.drain_once().points == taken
    put(store, T0 + 99)
    store.close()


def test_one_block_that_the_server_never_takes_holds_up_no_other(tmp_path: Path) -> None:
    server = Server()
    server.refuses = lambda block: block.at_ms[0] == T0 + 3
    store = open_spooled(tmp_path, server)
    for i in range(6):
        put(store, T0 + i)
    assert store.drain_once().points == 5
    assert server.came == [T0 + i for i in (0, 1, 2, 4, 5)]
    counts = store.spool.state().counts
    assert (counts["sent"], counts["set_aside.type_conflict"]) == (5, 1)
    assert store.drain_once().reason == "empty"
    store.close()


def test_a_server_that_goes_away_between_single_blocks_gets_the_rest_later(tmp_path: Path) -> None:
    server = Server()
    store = open_spooled(tmp_path, server)
    for i in range(4):
        put(store, T0 + i)

    def refuses(block: Columns) -> bool:
        if len(server.came) == 2:
            server.away = UNREACHABLE
        return block.at_ms[0] == T0 + 1

    server.refuses = refuses
    while store.drain_once().reason != "empty":
        server.away = None if server.away else server.away
    store.close()
    assert server.came == [T0, T0 + 2, T0 + 3]


@pytest.mark.parametrize(
    ("error", "blocks", "act", "reason"),
    [
        (TelemetryUnavailable("unreachable", ""), 5, Act.WAIT, "unreachable"),
        (TelemetryUnavailable("not_permitted", ""), 1, Act.WAIT, "not_permitted"),
        (PointsRefused("beyond_retention", ""), 5, Act.SINGLE_OUT, "beyond_retention"),
        (PointsRefused("beyond_retention", ""), 1, Act.SET_ASIDE, "beyond_retention"),
        (ValueError("a tag with a line break"), 1, Act.SET_ASIDE, "not_encodable"),
    ],
)
def test_each_failure_has_its_act(error: Exception, blocks: int, act: Act, reason: str) -> None:
    judged = judge(error, blocks)
    assert (judged.act, judged.reason) == (act, reason)


def test_series_over_the_bound_are_counted_and_a_restart_opens_no_door(tmp_path: Path) -> None:
    server = Server()
    limits = Limits(unknown_metrics=2, sources_per_site=3)
    store = open_spooled(tmp_path, server, limits=limits)
    for name in ("a_w", "b_w", "c_w", "active_power_w", "a_w"):
        put(store, T0, metric=name)
    for source in ("m2", "m3", "m4", "m2"):
        put(store, T0 + 1, source=source)
    store.close()
    again = open_spooled(tmp_path, server, limits=limits)
    put(again, T0 + 2, metric="d_w")
    put(again, T0 + 2, metric="b_w")
    put(again, T0 + 2, source="m5")
    again.drain_once()
    counts = again.spool.state().counts
    again.close()
    assert (counts["metric_overflow"], counts["source_overflow"]) == (2, 2)
    assert {metric for _, _, metric, _ in server._points} == {"a_w", "b_w", "active_power_w"}
    assert {source for _, source, _, _ in server._points} == {"m", "m2", "m3"}


def test_the_sender_works_while_writers_write(tmp_path: Path) -> None:
    server = Server()
    store = open_spooled(tmp_path, server)
    store.start()

    def write(source: str) -> None:
        for i in range(40):
            put(store, T0 + i, source=source)

    threads = [threading.Thread(target=write, args=(f"m{k}",)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while store.spool.state().points:
        threading.Event().wait(0.01)
    store.close()
    for k in range(4):
        assert list(server.read(site_id="s", metric=METRIC, from_ms=T0, to_ms=T0 + 99)[f"m{k}"].at_ms) == [
            T0 + i for i in range(40)
        ]


@pytest.mark.parametrize("kind", ["influxdb", "victoria"])
def test_a_store_killed_and_restarted_under_load_misses_no_accepted_point(tmp_path: Path, kind: str) -> None:
    clock = ManualClock(wall_ms=T0 + 3_600_000)
    with influx1_or_skip() if kind == "influxdb" else victoria_or_skip() as server:
        remote: InfluxTelemetry | VictoriaTelemetry = VictoriaTelemetry(server.url, clock=clock)
        if kind == "influxdb":
            remote = InfluxTelemetry(server.url, bucket="kill", clock=clock)
            with reader(server.url, "") as client:
                set_up(client, bucket="kill", org="", retention=Retention(raw_days=0))
        store = SpooledTelemetry(remote, Spool(tmp_path / "spool.sqlite"), clock=clock, jitter_s=lambda _n: 0.05)
        store.start()
        for i in range(300):
            put(store, T0 + i * 1000, float(i))
            if i == 100:
                server.kill()
            if i == 200:
                server.start()
        deadline_s = time.monotonic() + 30
        while store.spool.state().points and time.monotonic() < deadline_s:
            threading.Event().wait(0.02)
        if isinstance(server, Victoria):
            server.flush()
        series = store.read(site_id="s", metric=METRIC, from_ms=T0, to_ms=T0 + 300_000)["m"]
        counts = store.spool.state().counts
        store.close()
    assert list(series.values) == [float(i) for i in range(300)]
    assert (counts.get("blocks_sent_again", 0) > 0) == (kind == "victoria")


def test_what_a_store_took_into_its_memory_is_kept_until_it_must_be_on_its_disk(tmp_path: Path) -> None:
    server = Server()
    server.hold_s = 60.0
    clock = ManualClock(wall_ms=T0)
    store = SpooledTelemetry(server, Spool(tmp_path / "spool.sqlite"), clock=clock, jitter_s=lambda _n: 1.0)
    put(store, T0)
    assert store.drain_once().reason == "sent"
    assert store.spool.state().points == 0
    server.start_time = "later"
    clock.advance(30)
    assert store.drain_once().reason == "sent", "the server was started anew: it gets the point again"
    clock.advance(61)
    assert store.drain_once().reason == "empty"
    server.start_time = "much later"
    clock.advance(30)
    assert store.drain_once().reason == "empty"
    assert store.spool.state().size_bytes == 0
    store.close()
    assert server.came == [T0, T0]
