"""The service's configuration file (`cloud.toml`): every field has a unit, bounds and a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Protocol

from msgspec import Meta, Struct

from sealwatch.base import settings
from sealwatch.base.mqtt import MqttSettings
from sealwatch.base.settings import SettingsError
from sealwatch.cloud.paging.channels.settings import Channel, Name, WebPushSettings
from sealwatch.contract.codes import DeclaredStatus
from sealwatch.contract.messages import Base64, Identifier

Label = Annotated[str, Meta(min_length=1, max_length=100)]


class WebSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The pages."""

    host: Annotated[str, Meta(description="Address to listen on; loopback, or behind a proxy with TLS.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8000
    public_url: Annotated[str, Meta(pattern=r"^https?://[^/]+$", description="What links in pages begin with.")] = (
        "http://127.0.0.1:8000"
    )
    login: Annotated[
        Literal["none", "accounts"],
        Meta(description="'accounts': everybody logs in by name, password and one-time code. 'none': nobody does."),
    ] = "none"
    access_token: Annotated[
        str,
        Meta(
            description="Reference to one token for everybody at the duty desk, instead of accounts; one of the two is "
            "wanted unless host and public_url are loopback."
        ),
    ] = ""
    map_tiles: Annotated[
        str,
        Meta(
            pattern=r"^(https?://[^\s'\";,]+)?$",
            description="Map server under the map of the sites, with {z}, {x} and {y}; empty: none is asked.",
        ),
    ] = ""
    map_tiles_datum: Annotated[
        Literal["wgs84", "gcj02"], Meta(description="Datum of these tiles: gcj02 for maps published in China.")
    ] = "wgs84"


class OidcSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An identity provider (OpenID Connect) that people log in by, beside the passwords of their accounts."""

    issuer: Annotated[
        str,
        Meta(
            pattern=r"^(https://[^\s?#]+|http://(127\.0\.0\.1|localhost)(:\d+)?[^\s?#]*)$",
            description="As the provider calls itself, to the letter; /.well-known/openid-configuration lies below it.",
        ),
    ]
    client_id: Annotated[str, Meta(min_length=1, max_length=200)]
    client_secret: Annotated[
        str, Meta(pattern=r"^((file|env):.+)?$", description="Reference to the secret; empty for a public client.")
    ] = ""
    claim: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9_.:/-]{1,100}$",
            description="Claim whose value is the account's login; 'email': the address of the account's person.",
        ),
    ] = "preferred_username"
    ca_file: Annotated[str, Meta(description="Certificates that sign the provider's; empty: the usual ones.")] = ""
    name: Annotated[str, Meta(max_length=40, description="What the button on the login page calls it.")] = ""


class SmtpSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The mail server that sends pages."""

    host: Annotated[str, Meta(min_length=1)]
    port: Annotated[int, Meta(ge=1, le=65535)] = 587
    security: Annotated[
        Literal["starttls", "tls", "none"], Meta(description="'none' only for a server on this machine.")
    ] = "starttls"
    sender: Annotated[str, Meta(pattern=r"^[^@\s]+@[^@\s]+$")]
    username: str = ""
    password: Annotated[str, Meta(description="Reference to the password: file:/path or env:NAME.")] = ""


class WebhookSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The generic webhook: JSON, HMAC-SHA256 over the body, and an answer that must say it was taken."""

    secret: Annotated[str, Meta(description="Reference to the shared secret: file:/path or env:NAME.")]


class SiteSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A sealed site."""

    site_id: Identifier
    name_zh: Label
    name_en: Label
    township_zh: str = ""
    township_en: str = ""
    county_code: Annotated[
        str, Meta(pattern=r"^[A-Za-z0-9_-]{0,32}$", description="County by its division code; whose staff may see it.")
    ] = ""
    latitude_deg: Annotated[float, Meta(ge=-90, le=90, description="WGS 84.")] | None = None
    longitude_deg: Annotated[float, Meta(ge=-180, le=180, description="WGS 84.")] | None = None
    declared_status: DeclaredStatus = DeclaredStatus.POWER_CUT
    link: Annotated[
        Literal["mobile", "wired"], Meta(description="How its nodes report; silence over a wired link is worse.")
    ] = "mobile"
    uplink: Annotated[
        str,
        Meta(max_length=100, description="Name of the cell or line; sites that share it fall silent together."),
    ] = ""
    feeder: Annotated[
        str, Meta(max_length=100, description="Name of the power line; sites that share it lose power together.")
    ] = ""


class NodeSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A node at a site and the key its alarms are signed with."""

    node_id: Identifier
    site_id: Identifier
    public_key: Annotated[Base64, Meta(min_length=43, max_length=43, description="From `sealwatch edge key`.")]


class PersonSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A named person who answers pages."""

    person_id: Identifier
    name: Label
    role: str = ""
    level: Annotated[int, Meta(ge=1, le=5, description="Level of the five-level responsibility grid.")]
    language: Literal["zh", "en"] = "zh"
    telephone: str = ""
    email: str = ""
    webhook_url: str = ""
    addresses: Annotated[dict[Name, str], Meta(description="Channel -> this person's userid or number there.")] = {}


class StepSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step of the page ladder."""

    after_s: Annotated[float, Meta(ge=0, le=86400, description="Seconds after the incident opened.")]
    person_id: Annotated[str, Meta(description="One person; empty where a roster says who.")] = ""
    roster: Annotated[str, Meta(description="A roster of the service: who is on duty when an incident opens.")] = ""
    channel: Annotated[Name, Meta(description="webhook, email, or the name of one of [[channels]].")]


class ReportSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who gets the morning's report of who can't be reached."""

    person_id: Identifier
    channel: Annotated[Name, Meta(description="webhook, email, or the name of one of [[channels]].")]


class DatabaseSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where incidents, pages and the registry are kept: SQLite in `data_dir`, or a PostgreSQL server."""

    url: Annotated[
        str,
        Meta(
            pattern=r"^(postgresql(\+psycopg)?://[^/]*/[^/]+)?$",
            description="postgresql+psycopg://user@host:5432/database, never with a password; empty: SQLite.",
        ),
    ] = ""
    password: Annotated[str, Meta(description="Reference to the user's password: file:/path or env:NAME.")] = ""


class TelemetrySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where measurements are kept: beside the records, or on a server behind a spool on disk."""

    engine: Annotated[Literal["embedded", "influxdb", "victoria"], Meta(description="'embedded' needs no server.")] = (
        "embedded"
    )
    url: Annotated[str, Meta(pattern=r"^(https?://[^/]+.*)?$", description="Of the server.")] = ""
    query_url: Annotated[
        str,
        Meta(
            pattern=r"^(https?://[^/]+.*)?$",
            description="VictoriaMetrics cluster only: where it is asked, while `url` is where it is written to.",
        ),
    ] = ""
    bucket: Annotated[
        str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="Bucket (2.x) or database (1.x, 3.x).")
    ] = "sealwatch"
    org: Annotated[str, Meta(description="Organisation; InfluxDB 2.x only.")] = "sealwatch"
    token: Annotated[
        str, Meta(description="Reference to the token, or to user:password of 1.x: file:/path or env:NAME.")
    ] = ""
    county: Annotated[
        str, Meta(pattern=r"^[A-Za-z0-9_-]{0,32}$", description="Tag of every point where counties share a server.")
    ] = ""
    raw_days: Annotated[int, Meta(ge=4, le=3650, description="How long single measurements live.")] = 30
    minutes_days: Annotated[int, Meta(ge=0, le=36500, description="How long minute roll-ups live; 0: for ever.")] = 1825
    hours_days: Annotated[int, Meta(ge=0, le=36500, description="How long hour roll-ups live; 0: for ever.")] = 0
    spool_mib: Annotated[
        int, Meta(ge=16, le=1_000_000, description="Bound of what waits for the server; then new points are refused.")
    ] = 2048
    unknown_metrics: Annotated[
        int, Meta(ge=0, le=10_000, description="Metric names outside the catalogue that may make series.")
    ] = 64
    sources_per_site: Annotated[int, Meta(ge=1, le=10_000, description="Sources of one site that may make series.")] = (
        256
    )


class CloudSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything the service must be told."""

    data_dir: Annotated[str, Meta(min_length=1, description="Folder of the databases; relative to this file.")]
    mqtt: MqttSettings
    ingest_group: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9_-]{0,32}$",
            description="Services of one group share the messages (MQTT 5 shared subscription). Empty: this service "
            "takes them all. The embedded broker wants it empty: rumqttd 0.20 ends when the last member of a group "
            "goes away with messages un-acked.",
        ),
    ] = "ingest"
    web: WebSettings = WebSettings()
    oidc: OidcSettings | None = None
    smtp: SmtpSettings | None = None
    webhook: WebhookSettings | None = None
    node_mqtt_url: Annotated[
        str,
        Meta(
            pattern=r"^(mqtts?://[^/]+)?$",
            description="The broker as nodes reach it, told at enrolment; empty: mqtt.url.",
        ),
    ] = ""
    database: DatabaseSettings = DatabaseSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    sites: list[SiteSettings] = []
    nodes: list[NodeSettings] = []
    people: list[PersonSettings] = []
    channels: Annotated[list[Channel], Meta(description="Further ways to reach people.")] = []
    ladder: Annotated[list[StepSettings], Meta(description="Who is paged, in this order, until one answers.")] = []
    heartbeat_url: Annotated[
        str,
        Meta(
            pattern=r"^(https?://[^\s]+)?$",
            description="Asked for once a minute while every worker of the service is well, so that somebody outside "
            "notices when it is not; empty: nobody is told.",
        ),
    ] = ""
    morning_report: Annotated[
        list[ReportSettings], Meta(description="Who is told at 08:00 (UTC+8) which channels and people are out.")
    ] = []
    ladder_repeat_s: Annotated[
        float, Meta(ge=10, le=86400, description="Pause after the last step before the ladder begins again.")
    ] = 300.0


def load_cloud(path: Path) -> CloudSettings:
    """Read and check the service's configuration. Raises SettingsError."""
    cloud = settings.load(CloudSettings, path)
    if cloud.telemetry.engine != "victoria" and cloud.telemetry.query_url:
        raise SettingsError(f"{path}: telemetry.query_url: only a VictoriaMetrics cluster has one; take the line out")
    if cloud.telemetry.engine != "embedded" and not cloud.telemetry.url:
        raise SettingsError(f"{path}: telemetry: engine {cloud.telemetry.engine} wants the url of its server")
    if cloud.web.login == "accounts" and cloud.web.access_token:
        raise SettingsError(f"{path}: web: login by accounts and access_token exclude each other; take one of them out")
    if cloud.oidc is not None and cloud.web.login != "accounts":
        raise SettingsError(f'{path}: oidc: identities log in to accounts; set web.login = "accounts"')
    sites = {s.site_id for s in cloud.sites}
    people = {p.person_id: p for p in cloud.people}
    for node in cloud.nodes:
        if node.site_id not in sites:
            raise SettingsError(f"{path}: nodes: {node.node_id} stands at {node.site_id}, which is not among the sites")
    channels = _channels(cloud, path)
    for report in cloud.morning_report:
        _known_channel(report, channels, path, "morning_report")
        if report.person_id not in people:
            raise SettingsError(f"{path}: morning_report: {report.person_id} is not among the people")
    for step in cloud.ladder:
        if bool(step.person_id) == bool(step.roster):
            raise SettingsError(f"{path}: ladder: a step wants either person_id or roster")
        if step.roster:
            _known_channel(step, channels, path, "ladder")
            continue
        person = people.get(step.person_id)
        if person is None:
            raise SettingsError(f"{path}: ladder: {step.person_id} is not among the people")
        _known_channel(step, channels, path, "ladder")
        needs = channels[step.channel]
        if needs and not address_of(cloud, person, step.channel):
            raise SettingsError(f"{path}: ladder: {step.channel} for {step.person_id} wants that person's {needs}")
        if step.channel == "webhook" and not (person.webhook_url and cloud.webhook):
            raise SettingsError(f"{path}: ladder: webhook for {step.person_id} wants webhook_url and [webhook]")
        if step.channel == "email" and not (person.email and cloud.smtp):
            raise SettingsError(f"{path}: ladder: email for {step.person_id} wants email and [smtp]")
    return cloud


def _known_channel(one: StepSettings | ReportSettings, channels: dict[str, str], path: Path, table: str) -> None:
    if one.channel not in channels:
        raise SettingsError(
            f"{path}: {table}: {one.channel} is no channel; use webhook, email or a name of [[channels]]"
        )


class Reachable(Protocol):
    """Who has addresses: a person of the file, or of the database."""

    @property
    def person_id(self) -> str: ...
    @property
    def telephone(self) -> str: ...
    @property
    def email(self) -> str: ...
    @property
    def webhook_url(self) -> str: ...
    @property
    def addresses(self) -> Mapping[str, str]: ...


def address_of(cloud: CloudSettings, person: Reachable, channel: str) -> str:
    """Where a channel reaches a person: an own address there, else the telephone number; "" where there is none."""
    if channel == "email":
        return person.email
    if channel == "webhook":
        return person.webhook_url
    needs = {settings_.name: settings_.needs for settings_ in cloud.channels}.get(channel, "address")
    if needs == "subscription":
        return person.person_id
    if channel in person.addresses:
        return person.addresses[channel]
    return "" if needs == "address" else person.telephone


def _channels(cloud: CloudSettings, path: Path) -> dict[str, str]:
    """What each channel wants of a person, by the channel's name. Raises SettingsError for a name used twice."""
    found = {"webhook": "", "email": ""}  # their own sentences follow
    for settings_ in cloud.channels:
        if settings_.name in found:
            raise SettingsError(f"{path}: channels: the name {settings_.name} is already taken; choose another")
        found[settings_.name] = f"addresses.{settings_.name}" if settings_.needs == "address" else settings_.needs
        if isinstance(settings_, WebPushSettings):
            _refuse_anonymous(cloud, path)
    return found


def _refuse_anonymous(cloud: CloudSettings, path: Path) -> None:
    """Raises SettingsError where nobody could say whose browser it is that wants a person's pages."""
    if cloud.web.login != "accounts":
        raise SettingsError(
            f'{path}: channels: web_push wants web.login = "accounts": an answer link may have been passed on, and '
            "must not be enough to be paged from then on"
        )


def data_dir(cloud: CloudSettings, path: Path) -> Path:
    """The service's data folder: relative paths are meant from the configuration file."""
    return (path.parent / cloud.data_dir).resolve()
