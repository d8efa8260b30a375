"""What an administrator wants, and where everything lies: pure values that every step reads.

One folder holds what is written once (`folder`), another what the service keeps (`data`):

  folder/cloud.toml      the service's configuration
  folder/secrets/NAME    one secret a file
  folder/tls/            the service's certificate, the authority's, what was revoked
  folder/broker/         the broker's configuration, access list and certificate
  folder/proxy/          nginx's configuration and the certificate of the pages
  folder/grafana/        data sources, dashboards and alert rules for file provisioning
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from sqlalchemy import URL, make_url

SERVICE_ROLE: Final = "sealwatch"
SERVICE_NAME: Final = "sealwatch-cloud"
"""The name that the broker's access list gives to the service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`layout` says who runs the servers: containers of `deploy/compose.yaml`, or this machine's own units.

    `database` is a URL without a password, "" for SQLite. `series_url` is "" for the embedded store. `node` may be ""
    where no node is to be enrolled yet; `page` is CHANNEL:PERSON of the test page, or "".
    """

    layout: Literal["machine", "compose"]
    host: str
    folder: Path
    data: Path
    county: str = ""
    database: str = ""
    engine: Literal["embedded", "influxdb", "victoria"] = "embedded"
    series_url: str = ""
    site: str = ""
    site_name: str = ""
    node: str = ""
    page: str = ""

    @property
    def compose(self) -> bool:
        return self.layout == "compose"

    @property
    def config(self) -> Path:
        return self.folder / "cloud.toml"

    def secret(self, name: str) -> Path:
        return self.folder / "secrets" / name

    @property
    def broker_host(self) -> str:
        """As the service reaches the broker."""
        return "broker" if self.compose else "127.0.0.1"

    @property
    def broker_hosts(self) -> tuple[str, ...]:
        """Every name in the broker's certificate."""
        return tuple(dict.fromkeys([self.host, self.broker_host, "localhost", "127.0.0.1"]))

    @property
    def web_hosts(self) -> tuple[str, ...]:
        """Every name in the certificate of the pages."""
        return tuple(dict.fromkeys([self.host, "localhost", "127.0.0.1"]))

    @property
    def cloud_url(self) -> str:
        """As nodes and people reach the pages."""
        return f"https://{self.host}"

    @property
    def database_url(self) -> URL | None:
        return make_url(self.database).set(drivername="postgresql+psycopg") if self.database else None

    @property
    def grafana_role(self) -> str:
        """The read-only role of the county's dashboards."""
        return f"grafana_{self.county.lower().replace('-', '_')}" if self.county else "grafana"

    def secrets(self) -> tuple[str, ...]:
        """Names of the secrets that are drawn once."""
        found = ["webhook-secret"]
        if self.database:
            found += ["database-password", "grafana-records-password"]
        if self.engine == "influxdb":
            found += ["influx-admin-token", "influx-password"]
        if self.compose:
            found += ["postgres-password", "grafana-password"]
        return tuple(found)


def compose(host: str, folder: Path, data: Path, county: str, **more: str) -> Plan:
    """The plan of `deploy/compose.yaml`: its servers by their names there."""
    return Plan(
        layout="compose",
        host=host,
        folder=folder,
        data=data,
        county=county,
        database=f"postgresql://{SERVICE_ROLE}@postgres:5432/sealwatch",
        engine="influxdb",
        series_url="http://influxdb:8086",
        **more,
    )
