"""Files from which a Grafana provisions itself at its start: data sources, a folder of dashboards, alert rules.

JSON is YAML, so that the files are written by the standard library alone. The token is no part of them: Grafana reads it from the
file that compose.yaml gives it.
"""

import json
from typing import Any

from grafana import dashboards, plain
from grafana.alerts import alerts, grouped, rule
from grafana.datasources import datasources, with_token
from grafana.facts import Facts

TOKEN = "$__file{/run/secrets/influxdb_token}"
DASHBOARDS = "/etc/grafana/provisioning/dashboards/scopeline"
"""Where the container sees the folder of dashboards."""


def files(facts: Facts, dashboards_at: str = DASHBOARDS) -> dict[str, str]:
    """Path below the provisioning folder -> text; nothing else belongs there."""
    provider = {
        "name": facts.prefix,
        "folder": facts.folder,
        "folderUid": facts.prefix,
        "type": "file",
        "disableDeletion": False,
        "allowUiUpdates": False,
        "updateIntervalSeconds": 30,
        "options": {"path": dashboards_at},
    }
    groups = [
        {"orgId": 1, "name": name, "folder": facts.folder, "interval": "1m", "rules": [_in_file(one) for one in rules]}
        for name, rules in grouped([plain(rule(facts, alert).build()) for alert in alerts(facts)]).items()
    ]
    found = {
        "datasources/scopeline.yaml": {
            "apiVersion": 1,
            "prune": True,
            "datasources": [with_token(one | {"orgId": 1, "editable": False}, TOKEN) for one in datasources(facts)],
        },
        "dashboards/scopeline.yaml": {"apiVersion": 1, "providers": [provider]},
        "alerting/scopeline.yaml": {"apiVersion": 1, "groups": groups},
        **{f"dashboards/scopeline/{name}.json": made for name, made in dashboards(facts).items()},
    }
    return {path: json.dumps(content, indent=2, ensure_ascii=False) + "\n" for path, content in found.items()}


def _in_file(one: dict[str, Any]) -> dict[str, Any]:
    """A rule of the HTTP API as files write it: the group says folder and organisation.

    Grafana takes queries and annotations of a file as they are; elsewhere a `$` would be a variable, and there is none.
    """
    return {key: value for key, value in one.items() if key not in ("folderUID", "orgID", "ruleGroup")}
