"""Telemetry: what each store takes beside a plain loop on the same store, and a county's year as the dashboards ask it.

The plain loop posts one message a request with `httpx` and keeps nothing on disk: what a first attempt looks like. Ours
is the way of production: a commit with fsync, then a sender. A message is four values of one meter at one moment.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from sealwatch.cloud.grafana.boards import BOARDS
from sealwatch.cloud.grafana.panels import Look, render
from sealwatch.cloud.grafana.queries import Engine, Measure, Sources
from sealwatch.cloud.telemetry.columns import Columns
from sealwatch.cloud.telemetry.influx import InfluxTelemetry
from sealwatch.cloud.telemetry.lines import encode
from sealwatch.cloud.telemetry.reading import DAY_MS, HOUR_MS, Tier
from sealwatch.cloud.telemetry.remote import ask, reader
from sealwatch.cloud.telemetry.setup import Retention, database, set_up
from sealwatch.cloud.telemetry.spool import Spool
from sealwatch.cloud.telemetry.spooled import SpooledTelemetry
from sealwatch.cloud.telemetry.sqlite import SqliteTelemetry
from sealwatch.cloud.telemetry.victoria import VictoriaTelemetry
from tests.cloud.grafana import macros
from tests.servers import Influx1, Victoria, influx1_or_skip, victoria_or_skip

PLAIN, SINGLE, MESSAGES, BATCH = 1500, 1500, 40_000, 500
SITES, COUNTY, BUCKET = 250, "210423", "bench"
LIMIT_S = 60.0
Remote = InfluxTelemetry | VictoriaTelemetry


def messages(count: int, start_ms: int) -> list[Columns]:
    """Messages of a hundred meters in turn."""
    return [
        Columns(
            site_id=f"site-{i % 100}",
            node_id=f"node-{i % 100}",
            source_id="meter-1",
            at_ms=[start_ms + i],
            values={
                "active_power_w": [1000.0 + i % 7],
                "voltage_a_v": [230.1],
                "current_a_a": [4.5],
                "forward_energy_wh": [float(i)],
            },
        )
        for i in range(count)
    ]


def row(name: str, count: int, wall_s: float, cpu_s: float) -> str:
    """A line of the table."""
    return f"| {name} | {count / wall_s:,.0f} | {4 * count / wall_s:,.0f} | {cpu_s / count * 1e6:,.0f} |"


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """Wall and CPU seconds of this process, all threads."""
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall_s, time.process_time() - cpu_s


def plain(url: str, blocks: Sequence[Columns]) -> None:
    """One request a message."""
    with httpx.Client(base_url=url) as client:
        for block in blocks:
            parameters = {"bucket": BUCKET, "org": "bench", "precision": "ms"}
            client.post("/api/v2/write", params=parameters, content="\n".join(encode(block))).raise_for_status()


def through_spool(store: Remote, folder: Path, blocks: Sequence[Columns], batch: int) -> None:
    """Accepted on disk and arrived on the server, both."""
    spooled = SpooledTelemetry(store, Spool(folder / f"spool-{batch}-{time.monotonic_ns()}.sqlite"))
    spooled.start()
    for i in range(0, len(blocks), batch):
        spooled.write_blocks(blocks[i : i + batch])
    deadline_s = time.monotonic() + LIMIT_S
    while spooled.spool.state().points:
        if time.monotonic() > deadline_s:
            raise RuntimeError("the server did not take everything within a minute")
        time.sleep(0.005)
    spooled.spool.take_back()  # what is held for a server's disk is no part of this measurement
    spooled._stopping.set()  # noqa: SLF001 - the store stays open for the next measurement
    if spooled._sender is not None:  # noqa: SLF001 - as above
        spooled._sender.join()  # noqa: SLF001 - as above


def writing(server: Influx1 | Victoria, store: Remote, name: str, folder: Path) -> Iterator[str]:
    """Rows of the table for one server."""
    now_ms = time.time_ns() // 1_000_000 - HOUR_MS
    for label, count, work in (
        ("plain loop, a request a message, nothing on disk", PLAIN, lambda b: plain(server.url, b)),
        ("ours, a commit a message", SINGLE, lambda b: through_spool(store, folder, b, 1)),
        (f"ours, a commit for {BATCH} messages", MESSAGES, lambda b: through_spool(store, folder, b, BATCH)),
    ):
        blocks = messages(count, now_ms)
        wall_s, cpu_s = timed(partial(work, blocks))
        yield row(f"{name}: {label}", count, wall_s, cpu_s)


def embedded_writing(folder: Path) -> Iterator[str]:
    """Rows of the table for the store without a server."""
    store = SqliteTelemetry(folder / "embedded.sqlite")
    for label, count, batch in (
        ("a commit a message", SINGLE, 1),
        (f"a commit for {BATCH} messages", MESSAGES, BATCH),
    ):
        blocks = messages(count, 1_700_000_000_000)

        def work(blocks: Sequence[Columns] = blocks, batch: int = batch) -> None:
            for i in range(0, len(blocks), batch):
                store.write_blocks(blocks[i : i + batch])

        yield row(f"embedded: {label}", count, *timed(work))
    store.close()


def year(now_ms: int, *, raw_s: int) -> Iterator[tuple[Tier, Columns]]:
    """A county's year in roll-ups of hours, its last day in roll-ups of minutes and in raw power every `raw_s`."""
    hours = [now_ms // HOUR_MS * HOUR_MS - i * HOUR_MS for i in range(365 * 24)][::-1]
    minutes = [now_ms - i * 60_000 for i in range(24 * 60)][::-1]
    seconds = [now_ms - i * raw_s * 1000 for i in range(24 * 3600 // raw_s)][::-1]
    for site in range(SITES):
        where = {"site_id": f"site-{site:03}", "node_id": f"node-{site:03}", "source_id": "meter-1"}
        power = [float((i * (site + 7)) % 3000) for i in range(len(seconds))]
        for tier, at_ms in ((Tier.HOURS, hours), (Tier.DAYS, hours[::24]), (Tier.MINUTES, minutes)):
            column = [power[i % len(power)] for i in range(len(at_ms))]
            values: dict[str, Sequence[float | None]] = {
                f"{kind}_active_power_w": column for kind in ("min", "max", "mean")
            }
            yield tier, Columns(**where, at_ms=at_ms, values=values)
        yield Tier.RAW, Columns(**where, at_ms=seconds, values={"active_power_w": power})
        people: list[float | None] = [float(i % 2) for i in range(len(minutes))]
        values = {f"person_{way}_count": people for way in ("in", "out")}
        yield Tier.RAW, Columns(**(where | {"source_id": "cam-1"}), at_ms=minutes, values=values)


def fill(store: Remote, now_ms: int) -> None:
    """The year, in requests of one site.

    VictoriaMetrics gets every second of the last day, because its boards read raw power; on InfluxDB they read minutes,
    which its server makes each minute, and the seconds would only lie there.
    """
    on_influx = isinstance(store, InfluxTelemetry)
    for tier, block in year(now_ms, raw_s=60 if on_influx else 1):
        if on_influx or tier in (Tier.HOURS, Tier.RAW):
            store.write_blocks([block], tier=tier)


def run_target(store: Remote, client: httpx.Client, target: dict[str, Any], from_ms: int, to_ms: int) -> int:
    """Ask it as Grafana would; how many rows came."""
    how = macros.Span(county=COUNTY, site="site-007", from_ms=from_ms, to_ms=to_ms)
    interval = "1d" if to_ms - from_ms > 60 * DAY_MS else "10m"
    if isinstance(store, InfluxTelemetry):
        tier = next(tier for tier in Tier if f"-{tier}-" in target["datasource"]["uid"])
        found = store.query(macros.influxql(target["query"], how, interval=interval), database(BUCKET, tier))
        return sum(len(series["values"]) for series in found)
    query = macros.metricsql(target["expr"], how, interval=interval)
    path, parameters = "/api/v1/query", {"query": query, "time": f"{to_ms / 1000}", "nocache": "1"}
    if not target["instant"]:
        path = "/api/v1/query_range"
        parameters = {"query": query, "start": f"{from_ms / 1000}", "end": f"{to_ms / 1000}", "step": interval,
                      "nocache": "1"}  # fmt: skip
    return len(ask(client, path, parameters).json()["data"]["result"])


def reading(store: Remote, client: httpx.Client, engine: Engine, now_ms: int) -> Iterator[str]:
    """Every time-series query of the county overview and of the power board, median and worst of five."""
    look = Look(sources=Sources(engine, COUNTY))
    for board in (BOARDS[0], BOARDS[2]):
        for panel, made in zip(board.panels, render(board, look)["panels"], strict=True):
            long = made.get("timeFrom") == "365d"
            span_ms = 365 * DAY_MS if long else 7 * DAY_MS if board.key == "power" else DAY_MS
            for question, target in zip(panel.questions, made["targets"], strict=True):
                if not isinstance(question, Measure) or question.metric == "load_event_count":
                    continue
                times_ms = []
                for _ in range(5):
                    began_s = time.perf_counter()
                    rows = run_target(store, client, target, now_ms - span_ms, now_ms)
                    times_ms.append((time.perf_counter() - began_s) * 1000)
                yield (
                    f"| {engine} | {board.key}.{panel.key} ({question.aggregate}) | {span_ms // DAY_MS} d | {rows:,} "
                    f"| {statistics.median(times_ms):.0f} | {max(times_ms):.0f} |"
                )


def site_year(read: Callable[..., Any], name: str, now_ms: int) -> str:
    """One site's year through the port, as the service's own page asks it."""
    times_ms = []
    for i in range(5):
        began_s = time.perf_counter()
        series = read(site_id=f"site-{i:03}", metric="active_power_w", from_ms=now_ms - 365 * DAY_MS, to_ms=now_ms)
        times_ms.append((time.perf_counter() - began_s) * 1000)
    points = len(series["meter-1"].at_ms)
    return (
        f"| {name} | one site's year through the port | 365 d | {points:,} "
        f"| {statistics.median(times_ms):.0f} | {max(times_ms):.0f} |"
    )


def embedded_year(folder: Path, now_ms: int) -> str:
    """The same year in the store without a server: hour roll-ups as its own job would have made them."""
    store = SqliteTelemetry(folder / "year.sqlite")
    with store._write_lock, store._transaction() as writer:  # noqa: SLF001 - 2 million rows as the job leaves them
        for tier, block in year(now_ms, raw_s=60):
            if tier is Tier.HOURS:
                key = (block.site_id, "active_power_w", block.source_id, block.node_id)
                series_id = store._series({}, key)  # noqa: SLF001 - as above
                values = block.values["max_active_power_w"]
                rows = ((series_id, at, v, v, v, 1) for at, v in zip(block.at_ms, values, strict=True))
                writer.executemany("INSERT INTO hours VALUES (?, ?, ?, ?, ?, ?)", rows)
        writer.execute("UPDATE progress SET rolled_to_ms = ?, raw_from_ms = ?", (now_ms, now_ms - 30 * DAY_MS))
    found = site_year(store.read, "embedded", now_ms)
    store.close()
    return found


def main() -> int:
    """Print both tables; 1 where a server is not installed."""
    now_ms = time.time_ns() // 1_000_000
    print("## Telemetry: writing\n\nFour values a message; CPU of our own process, server and disk not counted.\n")
    print("| way | messages/s | values/s | CPU µs a message |\n|---|---|---|---|")
    reads = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for line in embedded_writing(folder):
            print(line, flush=True)
        try:
            influx, victoria = influx1_or_skip(), victoria_or_skip()
        except pytest.skip.Exception as missing:
            print(f"\n{missing}", file=sys.stderr)
            return 1
        with influx as server, reader(server.url, "") as client:
            set_up(client, bucket=BUCKET, org="bench", retention=Retention())
            store: Remote = InfluxTelemetry(server.url, bucket=BUCKET)
            for line in writing(server, store, "InfluxDB 1.6", folder):
                print(line, flush=True)
            county: Remote = InfluxTelemetry(server.url, bucket=BUCKET, county=COUNTY)
            fill(county, now_ms)
            reads += [*reading(county, client, Engine.INFLUXDB, now_ms), site_year(county.read, "influxdb", now_ms)]
        with victoria as second, reader(second.url, "") as client:
            store = VictoriaTelemetry(second.url)
            for line in writing(second, store, "VictoriaMetrics 1.79", folder):
                print(line, flush=True)
            county = VictoriaTelemetry(second.url, county=COUNTY)
            fill(county, now_ms)
            second.flush()
            reads += [*reading(county, client, Engine.VICTORIA, now_ms), site_year(county.read, "victoria", now_ms)]
        reads.append(embedded_year(folder, now_ms))
    print(f"\n## Telemetry: a county's year ({SITES} sites)\n")
    print(
        "Hour roll-ups for 365 days (2.2 million rows of min, max, mean), and of the last day what the dashboards "
        "read: minute roll-ups on InfluxDB, power of every second on VictoriaMetrics (21.6 million points), counts of "
        "a minute. A year at the resolution of minutes was not loaded. Time-series queries only; median and worst of "
        "five, caches of the server off where it lets us. Wanted: 300 ms for each query of the overview.\n"
    )
    print("| store | query | span | rows | median ms | worst ms |\n|---|---|---|---|---|---|")
    print("\n".join(reads))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
