"""The three InfluxDB data sources: figures, readings and health, each a bucket that InfluxQL reads as a database; and Prometheus.

The token goes in a header, as InfluxDB 2 wants it from InfluxQL; it is no part of what is made here. Prometheus gets none.
"""

from typing import Any

from grafana.facts import Facts
from schemas.influx import buckets

METRICS = "metrics"
"""Kind of the data source that is a Prometheus."""


def datasources(facts: Facts) -> list[dict[str, Any]]:
    """The data sources as Grafana's HTTP API takes them, without their token."""
    found: list[dict[str, Any]] = [
        {
            "uid": facts.datasource(kind),
            "name": f"{facts.folder} {kind}",
            "type": "influxdb",
            "access": "proxy",
            "url": facts.influxdb,
            "database": bucket,
            "isDefault": False,
            "jsonData": {"version": "InfluxQL", "httpMode": "POST", "dbName": bucket, "httpHeaderName1": "Authorization"},
        }
        for kind, bucket in buckets(facts.bucket).items()
    ]
    if facts.prometheus:
        found.append(
            {
                "uid": facts.datasource(METRICS),
                "name": f"{facts.folder} {METRICS}",
                "type": "prometheus",
                "access": "proxy",
                "url": facts.prometheus,
                "isDefault": False,
                "jsonData": {"httpMode": "POST"},
            }
        )
    return found


def with_token(datasource: dict[str, Any], token: str) -> dict[str, Any]:
    """The same with its secret, which Grafana encrypts and never gives back; Prometheus as it is."""
    if datasource["type"] != "influxdb":
        return datasource
    return datasource | {"secureJsonData": {"httpHeaderValue1": f"Token {token}"}}
