"""Figures for Prometheus (text format), read at the moment they are asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from sealwatch.cloud.web import views
from sealwatch.cloud.web.events import Hub
from sealwatch.cloud.web.services import WebServices

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_]")


class _Figures(Collector):
    def __init__(self, services: WebServices, hub: Hub) -> None:
        self._services, self._hub = services, hub

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        answers = GaugeMetricFamily("sealwatch_database_answers", "Whether the relational database answered just now.")
        try:
            from_database = list(self._from_database())
        except SQLAlchemyError:  # who watches the service must see its own counters all the same
            from_database = []
        answers.add_metric([], bool(from_database))
        yield answers
        yield from from_database
        yield GaugeMetricFamily("sealwatch_web_live_clients", "Pages listening for changes.", self._hub.client_count)
        for name, value in sorted(self._services.counters().items()):
            metric = "sealwatch_" + _NOT_IN_A_NAME.sub("_", name)
            yield CounterMetricFamily(metric, "Running total since the service started.", value)

    def _from_database(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        with self._services.database.read() as session:
            open_counts = views.open_counts(session)
            refused = views.quarantine_counts(session)
            silent = len(views.silent_nodes(session, now_ms=self._services.clock.wall_ms()))
        incidents = GaugeMetricFamily("sealwatch_open_incidents", "Incidents not closed.", labels=["level", "state"])
        for (level, state), count in sorted(open_counts.items()):
            incidents.add_metric([level, state], count)
        yield incidents
        quarantine = CounterMetricFamily(
            "sealwatch_quarantined", "Messages that could not be taken.", labels=["reason"]
        )
        for row in refused:
            quarantine.add_metric([row.reason], row.count)
        yield quarantine
        yield GaugeMetricFamily("sealwatch_silent_nodes", "Nodes that are offline, overdue or never seen.", silent)


def exposition(services: WebServices, hub: Hub) -> bytes:
    """Everything in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Figures(services, hub))
    return generate_latest(registry)
