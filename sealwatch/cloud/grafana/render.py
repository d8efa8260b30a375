"""Every file of `deploy/grafana`, as text by path: dashboards, data sources, alert rules, and who loads them."""

from __future__ import annotations

import json
from typing import Any

from sealwatch.cloud.grafana import alerts, datasources
from sealwatch.cloud.grafana.boards import BOARDS
from sealwatch.cloud.grafana.datasources import Access
from sealwatch.cloud.grafana.panels import Look, render
from sealwatch.cloud.grafana.queries import Engine, Sources
from sealwatch.cloud.grafana.records import schema_sql

_LOADER = """\
# Grafana loads the dashboards of one language from the folder that is mounted here.
apiVersion: 1
providers:
  - name: sealwatch
    folder: SealWatch
    type: file
    disableDeletion: true
    allowUiUpdates: false
    updateIntervalSeconds: 60
    options:
      path: /etc/grafana/sealwatch/dashboards
"""
# Grafana fills in what begins with a dollar sign: from its environment, and from files that only it may read.
_ACCESS = Access(
    series_url="$SEALWATCH_SERIES_URL",
    series_token="$__file{/etc/grafana/sealwatch/series.token}",  # noqa: S106 - a reference, not the token
    bucket="${SEALWATCH_BUCKET}",
    records_host="$SEALWATCH_RECORDS_HOST",
    records_database="$SEALWATCH_RECORDS_DATABASE",
    records_user="$SEALWATCH_RECORDS_USER",
    records_password="$__file{/etc/grafana/sealwatch/records.password}",  # noqa: S106 - a reference
)


def pretty(data: Any) -> str:
    """JSON that reads and compares well."""
    return json.dumps(data, ensure_ascii=False, indent=2) + "\n"


def files(*, county: str = "", service_url: str = "http://127.0.0.1:8000") -> dict[str, str]:
    """Text by path. JSON is YAML too: data sources are files that Grafana reads as YAML."""
    found = {"provisioning/dashboards/sealwatch.yaml": _LOADER, "records.sql": schema_sql()}
    for engine in Engine:
        sources = Sources(engine, county)
        listed = {"apiVersion": 1, "datasources": datasources.everything(sources, _ACCESS)}
        found[f"{engine}/provisioning/datasources/sealwatch.yaml"] = pretty(listed)
        for language in ("zh", "en"):
            look = Look(sources=sources, language=language, service_url=service_url)
            for board in BOARDS:
                found[f"{engine}/dashboards/{language}/{board.key}.json"] = pretty(render(board, look))
            rules = alerts.provisioning(look, "SealWatch")
            found[f"{engine}/provisioning/alerting-{language}/sealwatch.json"] = pretty(rules)
    return found
