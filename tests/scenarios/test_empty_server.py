"""From an empty server to a stored alarm: `cloud init`, the real servers with what it wrote, a node, an alarm.

PostgreSQL, Mosquitto, nginx and InfluxDB 1.6 (in the place of 2) are the distribution's; names of containers become
loopback ports, nothing else is changed.
"""

from __future__ import annotations

import dataclasses
import getpass
import os
import re
import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psycopg
import pyotp
import pytest

from sealwatch.base.broker import free_port
from sealwatch.base.clock import SystemClock
from sealwatch.base.text import Language
from sealwatch.cli import main
from sealwatch.cloud.accounts.cli import first_link
from sealwatch.cloud.auth import secret
from sealwatch.cloud.config import load_cloud
from sealwatch.cloud.db.engine import open_database
from sealwatch.cloud.db.place import database_url
from sealwatch.cloud.service import Service
from sealwatch.cloud.setup import cli, database, plan
from sealwatch.cloud.setup.plan import Plan
from sealwatch.cloud.setup.steps import Outcome, walk
from sealwatch.contract.codes import Level, Phase
from sealwatch.edge.agent import Agent
from sealwatch.edge.config import load_node
from sealwatch.edge.ports import AlarmDraft
from tests.servers import Postgres, influx1_or_skip, nginx_or_skip, postgres_or_skip
from tests.support import mosquitto_or_skip

pytestmark = pytest.mark.mosquitto
WAIT_S = 30.0
COUNTY = "210423"


def outcomes(wanted: Plan, tokens: list[str]) -> dict[str, Outcome]:
    return {name: told.outcome for name, told in walk(cli.steps(wanted, Language.EN, tokens))}


def until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(int(WAIT_S / 0.1)):
        if condition():
            return
        pause.wait(0.1)
    raise AssertionError("it did not come")


def test_the_containers_plan_from_nothing_to_an_alarm(tmp_path: Path) -> None:
    tokens: list[str] = []
    with influx1_or_skip() as series, postgres_or_skip("postgres") as postgres:
        wanted = dataclasses.replace(
            plan.compose("127.0.0.1", tmp_path / "etc", tmp_path / "data", COUNTY),
            database=f"postgresql://sealwatch@127.0.0.1:{postgres.port}/sealwatch",
            series_url=series.url,
            site="210423000017",
            site_name="示范沟一号井",
            node="node-1",
        )
        first = outcomes(wanted, tokens)
        assert {name for name, outcome in first.items() if outcome is Outcome.SKIPPED} == {"page", "owners"}
        assert set(first.values()) == {Outcome.DONE, Outcome.SKIPPED}
        again = outcomes(wanted, [])
        assert {name for name, outcome in again.items() if outcome is Outcome.DONE} == {"token"}
        broker_port, web_port, proxy_port = free_port(), free_port(), free_port()
        _on_loopback(wanted, broker_port, web_port, proxy_port)
        config = (wanted.folder / "broker" / "mosquitto.conf").read_text(encoding="utf-8")
        broker = mosquitto_or_skip(config.replace("/var/lib/mosquitto/", "{folder}/"))
        broker.port = broker_port
        with broker, nginx_or_skip(wanted.folder / "proxy" / "nginx.conf", proxy_port):
            service = Service(load_cloud(wanted.config), wanted.config)
            service.start()
            try:
                _a_node_says_something(wanted, tokens[0], proxy_port)
            finally:
                service.stop()
        assert outcomes(wanted, [])["token"] is Outcome.SKIPPED, "the node is enrolled"
        _the_county_sees_its_own(wanted, postgres)


def _on_loopback(wanted: Plan, broker_port: int, web_port: int, proxy_port: int) -> None:
    """What names containers names this machine's ports."""
    here = str(wanted.folder.parent)
    user = f"user {getpass.getuser()};\n" if os.geteuid() == 0 else ""
    for file, changes in {
        wanted.config: {
            "mqtts://broker:8883": f"mqtts://127.0.0.1:{broker_port}",
            "mqtts://127.0.0.1:8883": f"mqtts://127.0.0.1:{broker_port}",
            '"0.0.0.0"': '"127.0.0.1"',
            "port = 8000": f"port = {web_port}",
        },
        wanted.folder / "broker" / "mosquitto.conf": {
            "listener 8883": f"listener {broker_port} 127.0.0.1",
            "/etc/mosquitto/sealwatch/": f"{wanted.folder}/broker/",
        },
        wanted.folder / "proxy" / "sealwatch.conf": {
            "listen 8443": f"listen 127.0.0.1:{proxy_port}",
            "service:8000": f"127.0.0.1:{web_port}",
            "/etc/sealwatch/proxy/": f"{wanted.folder}/proxy/",
            "/dev/stdout": f"{here}/access.log",
        },
        wanted.folder / "proxy" / "nginx.conf": {
            "/tmp/": f"{here}/",
            "/etc/sealwatch/proxy/": f"{wanted.folder}/proxy/",
            "worker_processes": f"{user}worker_processes",
        },
    }.items():
        text = file.read_text(encoding="utf-8")
        for old, new in changes.items():
            text = text.replace(old, new)
        file.write_text(text, encoding="utf-8")


def _a_node_says_something(wanted: Plan, token: str, proxy_port: int) -> None:
    node = wanted.folder.parent / "node" / "node.toml"
    node.parent.mkdir()
    ca = wanted.folder / "tls" / "ca.pem"
    url = f"https://127.0.0.1:{proxy_port}"
    command = ["edge", "enrol", "--cloud", url, "--ca-file", str(ca), "--token", token, "--config", str(node)]
    assert main(command) == 0
    agent = Agent(load_node(node), node)
    agent.start()
    try:
        now_ms = SystemClock().wall_ms()
        agent.sink.alarm(
            AlarmDraft(
                alarm_id="first",
                kind="person",
                phase=Phase.START,
                level=Level.ORANGE,
                source_id="cam-1",
                started_at_ms=now_ms,
                captured_at_ms=now_ms,
                score=0.9,
                reason="seen_long_enough",
                sentence_zh="井口有 1 人",
                sentence_en="1 person at the shaft",
            )
        )
        until(lambda: agent.outbox.stats().depth == 0)
    finally:
        agent.stop()
    with httpx.Client(base_url=url, verify=_trust(ca), headers={"Accept": "text/html"}) as desk:
        _the_first_administrator_comes_in(wanted, desk)
        desk.headers["Accept"] = "application/json"
        [incident] = desk.get("/api/v1/incidents").raise_for_status().json()["items"]
        assert incident["site"]["site_id"] == "210423000017"
        assert desk.get("/api/v1/incidents", headers={"Authorization": "Bearer wrong"}).status_code == 401


def _the_first_administrator_comes_in(wanted: Plan, desk: httpx.Client) -> None:
    settings = load_cloud(wanted.config)
    records = open_database(database_url(settings.database, wanted.data))
    link = first_link(records, settings, secret.load_or_create(wanted.data), author="test")
    records.close()
    assert link is not None
    path = urlsplit(link).path
    page = desk.get(path).raise_for_status().text
    shown, form = re.search(r"<code>([A-Z2-7 ]+)</code>", page), re.search(r'name="form_token" value="([^"]+)"', page)
    assert shown is not None
    assert form is not None
    fields = {"form_token": form[1], "login": "admin", "password": "seven dry wells", "again": "seven dry wells"}
    answer = desk.post(path, data=fields | {"code": pyotp.TOTP(shown[1].replace(" ", "")).now()})
    assert answer.status_code in (200, 303)


def _trust(ca: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(ca))


def _the_county_sees_its_own(wanted: Plan, postgres: Postgres) -> None:
    password = wanted.secret("grafana-records-password").read_text(encoding="ascii").strip()
    dsn = psycopg.conninfo.make_conninfo(
        host="127.0.0.1", port=postgres.port, dbname="sealwatch", user=f"grafana_{COUNTY}", password=password
    )
    with psycopg.connect(dsn, autocommit=True) as county:
        assert county.execute("SELECT count(*) FROM grafana.incidents").fetchone() == (1,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            county.execute("SELECT * FROM public.people")
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            county.execute("CREATE TABLE mine (x int)")
    owner = wanted.secret("database-password").read_text(encoding="ascii").strip()
    with psycopg.connect(dsn, user="sealwatch", password=owner) as service:
        row = service.execute("SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = 'sealwatch'")
        assert row.fetchone() == (False, False, False), "the service is no administrator of the server"


def test_without_containers_the_administrator_runs_one_file_through_psql(tmp_path: Path) -> None:
    if shutil.which("psql") is None:
        pytest.skip("psql is not installed (apt-get install postgresql-client)")
    with postgres_or_skip("postgres") as postgres:
        wanted = Plan(
            layout="machine",
            host="seal.example.cn",
            folder=tmp_path / "etc",
            data=tmp_path / "data",
            county=COUNTY,
            database=f"postgresql://sealwatch@127.0.0.1:{postgres.port}/sealwatch",
            site="s1",
        )
        first = outcomes(wanted, [])
        assert (first["database"], first["tables"], first["registry"]) == (
            Outcome.FAILED,
            Outcome.WAITING,
            Outcome.WAITING,
        )
        file = wanted.secret("database.sql")
        assert file.stat().st_mode & 0o077 == 0
        psql = ["psql", "-h", "127.0.0.1", "-p", str(postgres.port), "-U", "postgres", "-v", "ON_ERROR_STOP=1", "-q"]
        for _ in range(2):  # a second time changes nothing
            done = subprocess.run(psql, input=file.read_text(encoding="utf-8"), capture_output=True, text=True)
            assert (done.returncode, re.sub(r"\s", "", done.stderr)) == (0, "")
        second = outcomes(wanted, [])
        assert {name for name, outcome in second.items() if outcome is Outcome.FAILED} == set()
        assert (second["database"], second["tables"], second["views"]) == (Outcome.SKIPPED, Outcome.DONE, Outcome.DONE)
        assert database.make_views(wanted).outcome is Outcome.SKIPPED
