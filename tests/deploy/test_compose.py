"""`deploy/compose.yaml` against the specification's schema, and what its containers would run, on real programs.

No container engine is needed: the broker and the proxy of the distribution start with the files that `cloud init`
writes for the containers, PostgreSQL with the options of compose.yaml. `tests/scenarios/test_empty_server.py` has the
service on top.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
import yaml

from sealwatch.base.broker import free_port
from sealwatch.base.mqtt import MqttSettings, Session
from sealwatch.cloud.setup import files, plan
from sealwatch.cloud.setup.plan import Plan
from sealwatch.cloud.setup.steps import Outcome
from tests.servers import nginx_or_skip
from tests.support import mosquitto_or_skip

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def test_the_schema_of_the_compose_specification_holds() -> None:
    schema = json.loads((Path(__file__).parent / "compose_spec" / "compose-spec.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(COMPOSE)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate({**COMPOSE, "services": {"a": {"imagine": "x"}}})


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_container_is_pinned_bounded_and_without_privileges(name: str) -> None:
    service = SERVICES[name]
    image, _, tag = service["image"].partition(":")
    assert image
    assert re.search(r"\d+\.\d+\.\d+|\d+\.\d+-", tag), "an exact version"
    assert service["user"].startswith("${SEALWATCH_UID:?")
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["logging"]["options"]["max-size"], "a log that is rotated"
    assert {"cpus", "memory", "pids"} <= set(service["deploy"]["resources"]["limits"])
    assert "healthcheck" in service or name == "init"
    assert "privileged" not in service


def test_only_the_documented_ports_are_published() -> None:
    published = {port for service in SERVICES.values() for port in service.get("ports", [])}
    assert published == {"443:8443", "8883:8883"}
    assert COMPOSE["networks"]["back"]["internal"] is True
    for name in ("postgres", "influxdb"):
        assert SERVICES[name]["networks"] == ["back"]


def test_no_secret_stands_in_the_file_and_init_draws_every_one(tmp_path: Path) -> None:
    wanted = plan.compose("seal.example.cn", tmp_path / "etc", tmp_path / "data", "210423")
    drawn = {*wanted.secrets(), "influx-token", "grafana-series-token"}
    assert set(COMPOSE["secrets"]) <= drawn
    for name, secret in COMPOSE["secrets"].items():
        assert secret == {"file": f"./etc/secrets/{name}"}
    for service in SERVICES.values():
        for key, value in service.get("environment", {}).items():
            if re.search("PASSWORD|TOKEN|SECRET", key):
                assert value.startswith("/run/secrets/"), key
        given = {one if isinstance(one, str) else one["source"] for one in service.get("secrets", [])}
        assert given <= set(COMPOSE["secrets"])


def test_every_file_that_a_container_mounts_is_written_by_init(county: Plan) -> None:
    root = county.folder.parent
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("./etc/"):
                assert (root / source).exists(), f"{name} mounts {source}"


@pytest.fixture
def county(tmp_path: Path) -> Plan:
    """The folder as `cloud init` leaves it for the containers, before any server runs."""
    made = plan.compose("seal.example.cn", tmp_path / "etc", tmp_path / "data", "210423")
    for step in (
        files.draw_secrets,
        files.write_config,
        files.make_authority,
        files.make_broker,
        files.make_proxy,
        files.render_dashboards,
    ):
        assert step(made).outcome is Outcome.DONE, step.__name__
    for step in (files.draw_secrets, files.make_authority, files.make_broker, files.make_proxy):
        assert step(made).outcome is Outcome.SKIPPED, "a second time changes nothing"
    return made


@pytest.mark.mosquitto
def test_the_broker_starts_with_what_is_mounted_and_wants_a_certificate(county: Plan) -> None:
    command = SERVICES["broker"]["command"]
    assert command[-1] == "/etc/mosquitto/sealwatch/mosquitto.conf"
    text = (county.folder / "broker" / "mosquitto.conf").read_text(encoding="utf-8")
    config = (
        text.replace("listener 8883", "listener {port} 127.0.0.1")
        .replace("/etc/mosquitto/sealwatch/", f"{county.folder}/broker/")
        .replace("/var/lib/mosquitto/", "{folder}/")
    )
    tls = county.folder / "tls"
    with mosquitto_or_skip(config) as broker:
        url = broker.url.replace("mqtt:", "mqtts:")
        service = Session(
            MqttSettings(
                url=url,
                ca_file=f"{tls}/ca.pem",
                certificate_file=f"{tls}/sealwatch-cloud.pem",
                key_file=f"{tls}/sealwatch-cloud.key",
            ),
            client_id="service",
        )
        nobody = Session(MqttSettings(url=url, ca_file=f"{tls}/ca.pem"), client_id="nobody")
        service.start()
        nobody.start()
        assert service.wait_connected(10)
        assert not nobody.wait_connected(0.5)
        service.stop()
        nobody.stop()


@pytest.fixture
def upstream() -> Iterator[ThreadingHTTPServer]:
    """A service and a Grafana that say what the proxy told them."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"path": self.path, **{k.lower(): v for k, v in self.headers.items()}}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_the_proxy_starts_with_what_is_mounted_and_tells_who_asks(
    county: Plan, upstream: ThreadingHTTPServer, tmp_path: Path
) -> None:
    proxy = county.folder / "proxy"
    assert f"./etc/proxy/nginx.conf:{SERVICES['proxy']['entrypoint'][2]}:ro" in SERVICES["proxy"]["volumes"]
    port, where = free_port(), f"127.0.0.1:{upstream.server_address[1]}"
    log = tmp_path / "access.log"
    site = (proxy / "sealwatch.conf").read_text(encoding="utf-8")
    assert "listen 8443 ssl" in site
    (proxy / "sealwatch.conf").write_text(
        site.replace("listen 8443", f"listen 127.0.0.1:{port}")
        .replace("service:8000", where)
        .replace("grafana:3000", where)
        .replace("/etc/sealwatch/proxy/", f"{proxy}/")
        .replace("/dev/stdout", str(log)),
        encoding="utf-8",
    )
    main = (proxy / "nginx.conf").read_text(encoding="utf-8")
    (proxy / "nginx.conf").write_text(
        main.replace("/tmp/", f"{tmp_path}/").replace("/etc/sealwatch/proxy/", f"{proxy}/"), encoding="utf-8"
    )
    if os.geteuid() == 0:  # as root nginx would hand its workers to a user that can't read a test's folder
        main = (proxy / "nginx.conf").read_text(encoding="utf-8")
        (proxy / "nginx.conf").write_text(f"user {getpass.getuser()};\n{main}", encoding="utf-8")
    with nginx_or_skip(proxy / "nginx.conf", port):
        trust = ssl.create_default_context(cafile=str(proxy / "ca.pem"))
        with httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=trust) as client:
            told = client.get("/a/an-answer-link", headers={"X-Forwarded-For": "10.1.1.1"}).json()
            assert (told["path"], told["x-forwarded-for"]) == ("/a/an-answer-link", "127.0.0.1"), "nobody poses"
            assert told["x-forwarded-proto"] == "https"
            assert re.fullmatch("[0-9a-f]{32}", told["x-request-id"])
            assert client.get("/grafana/login").json()["path"] == "/grafana/login"
            assert client.get("/metrics").status_code == 404
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert [line["status"] for line in lines] == [200, 200, 404]
    assert "an-answer-link" not in log.read_text(encoding="utf-8")


def test_the_jobs_of_the_container_are_a_script_that_the_shell_takes(tmp_path: Path) -> None:
    """It is run with a `sealwatch` of the test's own: what it calls, and that a failure does not end it."""
    script = DEPLOY / "compose" / "jobs.sh"
    if shutil.which("shellcheck"):
        assert subprocess.run(["shellcheck", str(script)]).returncode == 0
    calls = tmp_path / "calls"
    fake = tmp_path / "sealwatch"
    fake.write_text(f'#!/bin/sh\necho "$*" >> {calls}\nexit 1\n', encoding="utf-8")
    fake.chmod(0o755)
    (tmp_path / "backups").mkdir()
    environment = os.environ | {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "SEALWATCH_BACKUPS": str(tmp_path / "backups"),
        "SEALWATCH_BACKUP_HOUR_UTC": "0",
        "SEALWATCH_JOBS_EVERY_S": "0.1",
    }
    with subprocess.Popen([str(script)], env=environment, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        said = [running.stderr.readline() for _ in range(4)]
        running.kill()
    assert [("retention" in line, "backup" in line) for line in said] == [(True, False), (False, True)] * 2
    assert calls.read_text(encoding="utf-8").splitlines()[:2] == [
        "telemetry retention --config /etc/sealwatch/cloud.toml",
        f"cloud backup {tmp_path}/backups --keep 14 --config /etc/sealwatch/cloud.toml",
    ]
