"""Dashboards as code: one definition for InfluxDB and VictoriaMetrics, Chinese or English, rendered or installed."""
