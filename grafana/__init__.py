"""Dashboards, alerts and data sources of Grafana as code: made from the plant folder, checked against the schema of InfluxDB."""

import json
from collections.abc import Callable
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana import feeds, inventory, live, source
from grafana.facts import Facts, facts

__all__ = ["DASHBOARDS", "Facts", "dashboards", "facts", "plain"]

DASHBOARDS: dict[str, Callable[[Facts], Dashboard]] = {
    "live": live.build,
    "feeds": feeds.build,
    "inventory": inventory.build,
    "source": source.build,
}
"""Name -> what builds it."""


def dashboards(of: Facts) -> dict[str, dict[str, Any]]:
    """Name -> the dashboard as Grafana's JSON."""
    return {name: plain(build(of)) for name, build in DASHBOARDS.items()}


def plain(value: Any) -> Any:
    """What the SDK's types mean, as plain JSON."""
    return json.loads(json.dumps(value, cls=JSONEncoder))
