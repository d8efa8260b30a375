"""Alert rules for the platform itself, in Grafana-managed form: the service can't page about its own silence."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from sealwatch.base import text
from sealwatch.cloud.grafana.panels import Look, board_uid
from sealwatch.cloud.grafana.queries import Measure

GROUP: Final = "sealwatch"
INTERVAL_S: Final = 60
_RANGE_S: Final = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A measure, how it is reduced, and the bound that it must not pass. `no_data`: what silence means."""

    key: str
    measure: Measure
    reducer: str
    evaluator: str
    bound: float
    no_data: str
    severity: str


RULES: Final = (
    Rule(
        key="ingest_lag",
        measure=Measure(metric="ingest_lag_ms", aggregate="max", by="node_id", site=False, window="1m"),
        reducer="last",
        evaluator="gt",
        bound=60_000,
        no_data="OK",  # no message, no lag; a silent node has an alarm of its own
        severity="warning",
    ),
    Rule(
        key="dead_worker",
        measure=Measure(metric="worker_alive", aggregate="max", by="source_id", site=False, window="5m"),
        reducer="last",
        evaluator="lt",
        bound=1,
        no_data="Alerting",
        severity="critical",
    ),
)


def rule(wanted: Rule, look: Look) -> dict[str, Any]:
    """One rule as both the provisioning file and the provisioning API take it."""
    target = wanted.measure.target(look.sources, "A").to_json()
    # A rule has no dashboard and so no variables, and a dollar sign in a provisioning file would be filled in.
    for name in ("query", "expr"):
        if name in target:
            query = str(target[name]).replace("$county", look.sources.county)
            target[name] = query.replace("$timeFilter", f"time > now() - {_RANGE_S}s")
    target.pop("alias", None)
    source = look.sources.series()
    span = {"from": _RANGE_S, "to": 0}
    nothing = {"from": 0, "to": 0}
    expression = {"type": "__expr__", "uid": "__expr__"}
    found = {
        "uid": board_uid(wanted.key.replace("_", "-"), look.sources.county),
        "title": text.say(look.language, f"grafana.alert.{wanted.key}"),
        "condition": "C",
        "data": [
            {
                "refId": "A",
                "relativeTimeRange": span,
                "datasourceUid": source.uid,
                "model": target | {"intervalMs": 60_000, "maxDataPoints": 100},
            },
            {
                "refId": "B",
                "relativeTimeRange": nothing,
                "datasourceUid": "__expr__",
                "model": {
                    "refId": "B",
                    "type": "reduce",
                    "expression": "A",
                    "reducer": wanted.reducer,
                    "datasource": expression,
                },
            },
            {
                "refId": "C",
                "relativeTimeRange": nothing,
                "datasourceUid": "__expr__",
                "model": {
                    "refId": "C",
                    "type": "threshold",
                    "expression": "B",
                    "conditions": [{"evaluator": {"type": wanted.evaluator, "params": [wanted.bound]}}],
                    "datasource": expression,
                },
            },
        ],
        "noDataState": wanted.no_data,
        "execErrState": "Error",
        "for": "5m",
        "annotations": {"summary": text.say(look.language, f"grafana.alert.{wanted.key}_text")},
        "labels": {"severity": wanted.severity, "system": "sealwatch"},
        "isPaused": False,
    }
    plain: dict[str, Any] = json.loads(json.dumps(found, cls=JSONEncoder))
    return plain


def provisioning(look: Look, folder: str) -> dict[str, Any]:
    """The content of a file under `provisioning/alerting`."""
    return {
        "apiVersion": 1,
        "groups": [
            {
                "orgId": 1,
                "name": GROUP,
                "folder": folder,
                "interval": f"{INTERVAL_S}s",
                "rules": [rule(wanted, look) for wanted in RULES],
            }
        ],
    }
