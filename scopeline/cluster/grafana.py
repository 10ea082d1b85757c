"""What the plant folder says of dashboards, alerts and data sources, put into a Grafana server: made, updated, or left as it is.

Repeatable: what is there and the same is not touched. What was changed by hand in Grafana is put back (its history keeps it).
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

from grafana_client import GrafanaApi, TokenAuth
from grafana_client.client import GrafanaClientError, GrafanaException
from pydantic import SecretStr

from grafana import Facts, dashboards, plain
from grafana.alerts import alerts, rule
from grafana.datasources import datasources, with_token

TIMEOUT = 15.0
_NEW, _CONFLICT = 404, 412
_REMEDIES = {
    401: "the token is not one of this server's, or it expired: make a service account with the role Editor (Admin for data "
    "sources) in Grafana and write its token into grafana.token_file, or into SCOPELINE_GRAFANA_TOKEN",
    403: "the token may not do this: give its service account the role Admin (data sources), or push with --no-datasources",
    409: "something else has this name already: choose another grafana.folder, or take it away in Grafana",
    412: "somebody saved it at the same moment: push again",
}


class Refused(Exception):
    """Why nothing more could be pushed, with the remedy."""


class Step(NamedTuple):
    """One thing in Grafana, and what became of it."""

    what: Literal["folder", "data source", "dashboard", "alert"]
    name: str
    state: Literal["made", "updated", "same", "deleted"]


def connect(url: str, token: SecretStr) -> GrafanaApi:
    """A client of a Grafana server."""
    return GrafanaApi.from_url(url.rstrip("/") + "/", TokenAuth(token.get_secret_value()), timeout=TIMEOUT)


def push(
    api: GrafanaApi, facts: Facts, read_token: SecretStr | None, dry_run: bool = False, with_datasources: bool = True
) -> Iterator[Step]:
    """Folder, data sources, dashboards and alerts, in this order. read_token: of InfluxDB, for Grafana.

    Raises Refused at the first thing that cannot be done; what was done before stays, and a second push goes on from there.
    """
    yield _folder(api, facts, dry_run)
    if with_datasources:
        for wanted in datasources(facts):
            yield _datasource(api, wanted, read_token, dry_run)
    for made in dashboards(facts).values():
        yield _dashboard(api, facts, made, dry_run)
    yield from _alerts(api, facts, dry_run)


def _folder(api: GrafanaApi, facts: Facts, dry_run: bool) -> Step:
    with _doing(f"folder {facts.folder}"):
        found = _known(api.folder.get_folder, facts.prefix)
        if found is None:
            if not dry_run:
                api.folder.create_folder(facts.folder, facts.prefix)
            return Step("folder", facts.folder, "made")
        if found["title"] == facts.folder:
            return Step("folder", facts.folder, "same")
        if not dry_run:
            api.folder.update_folder(facts.prefix, facts.folder, version=found.get("version"))
        return Step("folder", facts.folder, "updated")


def _datasource(api: GrafanaApi, wanted: dict[str, Any], token: SecretStr | None, dry_run: bool) -> Step:
    """Grafana never gives a secret back, so a known token is written each time: then a changed one is right, too."""
    with _doing(f"data source {wanted['name']}"):
        found = _known(api.datasource.get_datasource_by_uid, wanted["uid"])
        whole = with_token(wanted, token.get_secret_value()) if token else wanted
        if found is None:
            if not dry_run:
                api.datasource.create_datasource(whole)
            return Step("data source", wanted["name"], "made")
        same = holds(found, wanted)
        if not dry_run and (token or not same):
            api.datasource.update_datasource_by_uid(wanted["uid"], whole)
        return Step("data source", wanted["name"], "same" if same else "updated")


def _dashboard(api: GrafanaApi, facts: Facts, made: dict[str, Any], dry_run: bool) -> Step:
    """The newest version's message names what was pushed: Grafana may store a dashboard in a newer form than ours."""
    mark = f"Scopeline {hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()[:16]}"
    name = made["title"]
    with _doing(f"dashboard {name}"):
        found = _known(api.dashboard.get_dashboard, made["uid"])
        if found is not None and found["meta"].get("folderUid") == facts.prefix and _newest(api, made["uid"]) == mark:
            return Step("dashboard", name, "same")
        body = {"dashboard": made | {"id": None}, "folderUid": facts.prefix, "message": mark, "overwrite": False}
        if found is not None:
            body["dashboard"] = made | {"id": found["dashboard"].get("id"), "version": found["dashboard"]["version"]}
        if not dry_run:
            _saved(api, body)
        return Step("dashboard", name, "made" if found is None else "updated")


def _saved(api: GrafanaApi, body: dict[str, Any]) -> None:
    """Save a dashboard; once more over the newest version, where somebody saved it just then."""
    try:
        api.dashboard.update_dashboard(body)
    except GrafanaClientError as error:
        if error.status_code != _CONFLICT or (error.response or {}).get("status") != "version-mismatch":
            raise
        newest = api.dashboard.get_dashboard(body["dashboard"]["uid"])["dashboard"]
        again = body["dashboard"] | {"id": newest.get("id"), "version": newest["version"]}
        api.dashboard.update_dashboard(body | {"dashboard": again})


def _newest(api: GrafanaApi, uid: str) -> str:
    """The message of a dashboard's newest version."""
    found = api.dashboard_versions.get_dashboard_versions_by_uid(uid)
    versions = found["versions"] if isinstance(found, dict) else found
    return max(versions, key=lambda one: one["version"]).get("message", "") if versions else ""


def _alerts(api: GrafanaApi, facts: Facts, dry_run: bool) -> Iterator[Step]:
    """Rules by their uid; rules in our groups that the plant folder no longer has go."""
    with _doing("alert rules"):
        there = {one["uid"]: one for one in api.alertingprovisioning.get_alertrules_all() if one["folderUID"] == facts.prefix}
    wanted = {one["uid"]: one for one in (plain(rule(facts, alert).build()) for alert in alerts(facts))}
    for uid, one in wanted.items():
        with _doing(f"alert {one['title']}"):
            state: Literal["made", "updated", "same"] = (
                "made" if uid not in there else "same" if holds(there[uid], _comparable(one)) else "updated"
            )
            if state == "made" and not dry_run:
                api.alertingprovisioning.create_alertrule(one)
            elif state == "updated" and not dry_run:
                api.alertingprovisioning.update_alertrule(uid, one)
        yield Step("alert", one["title"], state)
    for uid, one in there.items():
        if uid not in wanted and one["ruleGroup"].startswith(f"{facts.folder}: "):
            with _doing(f"alert {one['title']}"):
                if not dry_run:
                    api.alertingprovisioning.delete_alertrule(uid)
            yield Step("alert", one["title"], "deleted")


def _comparable(one: dict[str, Any]) -> dict[str, Any]:
    """What Grafana gives back as it was sent: not the organisation, which the token decides."""
    return {key: value for key, value in one.items() if key != "orgID"}


def holds(found: Any, wanted: Any) -> bool:
    """Whether everything that is wanted is there; what Grafana adds by itself does not matter.

    >>> holds({"a": [1, {"b": 2, "c": 3}], "id": 7}, {"a": [1.0, {"b": 2}]}), holds({"a": [1, 2]}, {"a": [1]})
    (True, False)
    """
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(key in found and holds(found[key], value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(found, list) and len(found) == len(wanted) and all(map(holds, found, wanted))
    return bool(found == wanted)


def _known(ask: Any, uid: str) -> dict[str, Any] | None:
    """What is there under a uid; None where nothing is."""
    try:
        found: dict[str, Any] = ask(uid)
    except GrafanaClientError as error:
        if error.status_code == _NEW:
            return None
        raise
    return found


@contextmanager
def _doing(what: str) -> Iterator[None]:
    """Failures of the server as a sentence with its remedy."""
    try:
        yield
    except GrafanaException as error:
        said = error.response.get("message") if isinstance(error.response, dict) else None
        status = error.status_code
        remedy = _REMEDIES.get(
            status, "look at Grafana's log" if status >= 500 else "is grafana.url the address of Grafana itself?"
        )
        raise Refused(f"{what}: Grafana answered {status or 'too late'}{f' ({said})' if said else ''}: {remedy}.") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        remedy = "does it run, and is grafana.url its address, with http:// or https://?"
        raise Refused(f"{what}: no answer of a Grafana server ({type(error).__name__}): {remedy}") from None
