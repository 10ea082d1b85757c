"""An InfluxQL query as a data query of the SDK, which knows none for InfluxDB."""

from typing import Any, Literal

from grafana_foundation_sdk.cog import builder, variants
from grafana_foundation_sdk.models import dashboard

TYPE = "influxdb"


class InfluxQuery(variants.Dataquery):
    """What Grafana's InfluxDB data source stores for an InfluxQL query written as text."""

    def __init__(self, query: str, ref_id: str, shape: Literal["time_series", "table"], alias: str, uid: str) -> None:
        self.query, self.ref_id, self.shape, self.alias, self.uid = query, ref_id, shape, alias, uid

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "datasource": {"type": TYPE, "uid": self.uid},
            "query": self.query,
            "rawQuery": True,
            "refId": self.ref_id,
            "resultFormat": self.shape,
        }
        return found | ({"alias": self.alias} if self.alias else {})


class Influx(builder.Builder[variants.Dataquery]):
    """Builds an InfluxQuery; its text is checked already (grafana.influxql.checked)."""

    def __init__(
        self, query: str, uid: str, ref_id: str = "A", shape: Literal["time_series", "table"] = "time_series", alias: str = ""
    ) -> None:
        self._internal = InfluxQuery(query, ref_id, shape, alias, uid)

    def build(self) -> InfluxQuery:
        return self._internal


class EventsTarget(dashboard.AnnotationTarget):
    """The query of an annotation: which column is its text, which are its tags."""

    def __init__(self, query: str, text: str, tags: str) -> None:
        super().__init__()
        self._query, self._text, self._tags = query, text, tags

    def to_json(self) -> dict[str, object]:
        return {
            "fromAnnotations": True,
            "query": self._query,
            "rawQuery": True,
            "refId": "Anno",
            "resultFormat": "table",
            "tagsColumn": self._tags,
            "textColumn": self._text,
        }


def ref(uid: str) -> dashboard.DataSourceRef:
    """A reference to one of our data sources."""
    return dashboard.DataSourceRef(type_val=TYPE, uid=uid)
