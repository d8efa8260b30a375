"""The steps that only write files: secrets, configuration, certificates, broker, proxy, dashboards."""

from __future__ import annotations

import datetime as dt
import os
import pwd
import secrets
from importlib import resources
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from sealwatch.base.clock import SystemClock
from sealwatch.base.files import replace_file
from sealwatch.cloud.auth import push_key, service_key
from sealwatch.cloud.config import load_cloud
from sealwatch.cloud.enrolment.authority import Authority, private_pem
from sealwatch.cloud.enrolment.cli import CA_FOLDER
from sealwatch.cloud.setup.plan import SERVICE_NAME, Plan
from sealwatch.cloud.setup.steps import Told, done, failed, skipped

_LEAF_DAYS: Final = 5 * 365
_RENEW_DAYS: Final = 30
_BROKER_MAIN: Final = Path("/etc/mosquitto/mosquitto.conf")
_ONCE: Final = {"persistence_location"}
_SHIPPED: Final = resources.files("sealwatch.cloud.setup") / "shipped"


def draw_secrets(plan: Plan) -> Told:
    """One file a secret, each drawn once: what is there stays."""
    missing = [name for name in plan.secrets() if not plan.secret(name).exists()]
    folder = plan.folder / "secrets"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in missing:
        replace_file(plan.secret(name), secrets.token_urlsafe(32).encode() + b"\n")
    if not missing:
        return skipped("secrets.there", folder=folder)
    return done("secrets.drawn", count=len(missing), folder=folder)


def write_config(plan: Plan) -> Told:
    """`cloud.toml` where there is none; where there is one it stays, and a site it lacks is added at its end."""
    if not plan.config.exists():
        replace_file(plan.config, (_config(plan) + _site(plan)).encode(), mode=0o640)
        load_cloud(plan.config)
        return done("config.written", file=plan.config)
    settings = load_cloud(plan.config)
    wanted = {
        "database.url": (settings.database.url, str(plan.database_url or "")),
        "telemetry.engine": (settings.telemetry.engine, plan.engine),
        "telemetry.url": (settings.telemetry.url, plan.series_url),
        "web.public_url": (settings.web.public_url, plan.cloud_url),
    }
    for name, (there, asked) in wanted.items():
        if there != asked:
            return failed("config.differs", file=plan.config, field=name, there=there or "-", asked=asked or "-")
    if plan.site and plan.site not in {site.site_id for site in settings.sites}:
        text = plan.config.read_text(encoding="utf-8")
        replace_file(plan.config, (text.rstrip("\n") + "\n" + _site(plan)).encode(), mode=0o640)
        load_cloud(plan.config)
        return done("config.site_added", file=plan.config, site=plan.site)
    return skipped("config.there", file=plan.config)


def _config(plan: Plan) -> str:
    tls, secret = plan.folder / "tls", plan.folder / "secrets"
    lines = [
        "# Written by `sealwatch cloud init`, yours to change: it is never written over.",
        f'data_dir = "{plan.data}"',
        f'node_mqtt_url = "mqtts://{plan.host}:8883"',
        "",
        "[mqtt]",
        f'url = "mqtts://{plan.broker_host}:8883"',
        f'ca_file = "{tls}/ca.pem"',
        f'certificate_file = "{tls}/{SERVICE_NAME}.pem"',
        f'key_file = "{tls}/{SERVICE_NAME}.key"',
        "",
        "[web]",
        f'host = "{"0.0.0.0" if plan.compose else "127.0.0.1"}"',  # noqa: S104 - inside the container's own network
        "port = 8000",
        f'public_url = "{plan.cloud_url}"',
        'login = "accounts"',
        "",
        "[webhook]",
        f'secret = "file:{secret}/webhook-secret"',
    ]
    if plan.database:
        url = str(plan.database_url)
        lines += ["", "[database]", f'url = "{url}"', f'password = "file:{secret}/database-password"']
    if plan.engine != "embedded":
        lines += ["", "[telemetry]", f'engine = "{plan.engine}"', f'url = "{plan.series_url}"']
        lines += [f'county = "{plan.county}"'] if plan.county else []
        lines += [f'token = "file:{secret}/influx-token"'] if plan.engine == "influxdb" else []
    return "\n".join(lines) + "\n"


def _site(plan: Plan) -> str:
    if not plan.site:
        return ""
    name = (plan.site_name or plan.site).replace("\\", "").replace('"', "")
    return (
        f'\n[[sites]]\nsite_id = "{plan.site}"\nname_zh = "{name}"\nname_en = "{name}"\ncounty_code = "{plan.county}"\n'
    )


def make_authority(plan: Plan) -> Told:
    """The county's authority, the service's keys (for nodes, for web push) and an empty list of what was revoked."""
    there = (plan.data / CA_FOLDER / "ca.pem").exists()
    authority = Authority(plan.data / CA_FOLDER, SystemClock().wall_ms())
    service_key.load_or_create(plan.data)
    push_key.load_or_create(plan.data)
    if not authority.crl_file.exists():
        authority.write_crl([], SystemClock().wall_ms())
    name = skipped if there else done
    return name("authority.there" if there else "authority.made", folder=plan.data / CA_FOLDER)


def make_broker(plan: Plan) -> Told:
    """Certificates of broker and service, configuration and access list of the broker."""
    broker, tls = plan.folder / "broker", plan.folder / "tls"
    made = _leaf(plan, broker, "broker", plan.broker_hosts)
    made |= _leaf(plan, tls, SERVICE_NAME, ())
    made |= _write(broker / "mosquitto.conf", _shipped("mosquitto.conf") if plan.compose else _broker_config(broker))
    made |= _write(broker / "acl", _shipped("acl"), mode=0o600)
    if not made:
        return skipped("broker.there", folder=broker)
    return done("broker.made", folder=broker, hosts=", ".join(plan.broker_hosts))


def _broker_config(folder: Path, main: Path = _BROKER_MAIN) -> str:
    """For `conf.d` of the distribution: what its main file says already may not be said twice."""
    config = _shipped("mosquitto.conf").replace("/etc/mosquitto/sealwatch/", f"{folder}/")
    said = main.read_text(encoding="utf-8") if main.exists() else "persistence_location (Debian's says it)"
    names = {line.split()[0] for line in said.splitlines() if line.strip() and not line.startswith("#")}
    return "".join(line for line in config.splitlines(keepends=True) if line.partition(" ")[0] not in names & _ONCE)


def make_proxy(plan: Plan) -> Told:
    """nginx's configuration, and a certificate for the pages where the county has put none of its own there."""
    folder = plan.folder / "proxy"
    made = False
    if not (folder / "web.pem").exists() or _ours(plan, folder / "web.pem"):
        made = _leaf(plan, folder, "web", plan.web_hosts)
    site = _shipped("sealwatch.conf").replace("server_name _;", f"server_name {plan.host};")
    if plan.compose:
        site = (
            site.replace("listen 443 ", "listen 8443 ")
            .replace("/var/log/nginx/sealwatch.log", "/dev/stdout")
            .replace("/var/log/nginx/sealwatch-error.log", "stderr")
            .replace("127.0.0.1:8000", "service:8000")
            .replace("127.0.0.1:3000", "grafana:3000")
        )
        made |= _write(folder / "nginx.conf", _shipped("nginx.conf"))
    else:
        site = site.replace("/etc/sealwatch/proxy/", f"{folder}/")
    made |= _write(folder / "sealwatch.conf", site)
    return done("proxy.made", folder=folder) if made else skipped("proxy.there", folder=folder)


def render_dashboards(plan: Plan) -> Told:
    """Data sources, dashboards and rules, as Grafana reads them from files."""
    if plan.engine == "embedded" or not plan.database:
        return skipped("dashboards.embedded")
    try:
        from sealwatch.cloud.grafana import render
    except ModuleNotFoundError as error:
        return skipped("dashboards.no_package", package=error.name)
    folder, engine = plan.folder / "grafana", f"{plan.engine}/"
    wanted = {}
    for name, content in render.files(county=plan.county, service_url=plan.cloud_url).items():
        if name.startswith(f"{engine}dashboards/zh/"):
            wanted[f"dashboards/{Path(name).name}"] = content
        elif name.startswith(f"{engine}provisioning/datasources/"):
            wanted[name.removeprefix(engine)] = content
        elif name.startswith(f"{engine}provisioning/alerting-zh/"):
            wanted[f"provisioning/alerting/{Path(name).name}"] = content
        elif name.startswith("provisioning/dashboards/"):
            wanted[name] = content
    made = [_write(folder / name, content) for name, content in wanted.items()]
    key = "dashboards.written" if any(made) else "dashboards.there"
    return (done if any(made) else skipped)(key, count=len(wanted), folder=folder)


def hand_over(plan: Plan) -> Told:
    """Files to the users that read them, where this machine has these users and we may give files away."""
    if plan.compose or os.geteuid() != 0:
        return skipped("owners.own")
    wanted: dict[Path, str] = {}
    for folder, name in (
        (plan.folder, SERVICE_NAME),
        (plan.data, SERVICE_NAME),
        (plan.folder / "broker", "mosquitto"),
        (plan.folder / "grafana", "grafana"),
    ):
        wanted |= dict.fromkeys([folder, *folder.rglob("*")] if folder.exists() else [], name)
    given = [name for path, name in wanted.items() if _give(path, name)]
    return done("owners.given", users=", ".join(sorted(set(given)))) if given else skipped("owners.there")


def _give(path: Path, name: str) -> bool:
    """The file to the user of this name, where there is one; whether that changed anything."""
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        return False
    if path.stat().st_uid == user.pw_uid:
        return False
    os.chown(path, user.pw_uid, user.pw_gid)
    return True


def _leaf(plan: Plan, folder: Path, name: str, hosts: tuple[str, ...]) -> bool:
    """Key and certificate in `folder`, with the authority's and the list beside it; whether anything was written."""
    authority = Authority(plan.data / CA_FOLDER, SystemClock().wall_ms())
    made = _write(folder / "ca.pem", authority.pem)
    made |= _write(folder / "crl.pem", authority.crl_file.read_text(encoding="ascii"))
    if _holds(folder / f"{name}.pem", hosts) and (folder / f"{name}.key").exists():
        return made
    key = ec.generate_private_key(ec.SECP256R1())
    now_ms = SystemClock().wall_ms()
    issued = authority.issue(key.public_key(), name, now_ms=now_ms, hosts=hosts, days=_LEAF_DAYS)
    replace_file(folder / f"{name}.key", private_pem(key))
    replace_file(folder / f"{name}.pem", issued.pem.encode(), mode=0o644)
    return True


def _holds(file: Path, hosts: tuple[str, ...]) -> bool:
    """Whether the certificate is there, lasts for a while and names every host."""
    try:
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
    except (OSError, ValueError):
        return False
    left = certificate.not_valid_after_utc - dt.datetime.now(dt.UTC)
    return left > dt.timedelta(days=_RENEW_DAYS) and set(hosts) <= _names(certificate)


def _names(certificate: x509.Certificate) -> set[str]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return {str(name.value) for name in extension}


def _ours(plan: Plan, file: Path) -> bool:
    authority = Authority(plan.data / CA_FOLDER, SystemClock().wall_ms())
    try:
        return x509.load_pem_x509_certificate(file.read_bytes()).issuer == authority.certificate.subject
    except ValueError:
        return False


def _shipped(name: str) -> str:
    return (_SHIPPED / name).read_text(encoding="utf-8")


def _write(file: Path, content: str, *, mode: int = 0o644) -> bool:
    """Write what differs; whether it did."""
    if file.exists() and file.read_text(encoding="utf-8") == content:
        return False
    file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    replace_file(file, content.encode(), mode=mode)
    return True
