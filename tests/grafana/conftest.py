"""Plants for dashboards, and a server that follows the published HTTP API of Grafana 12 as far as a push needs it."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import grafana
from schemas.plant import Plant
from scopeline.plant import load

ROOT = Path(__file__).parents[2]
TARGETS = {
    "budgets": [
        {"budget": "year", "basis": "market", "scope": [1, 2], "amount": "12000 t", "from": "2026-01-01", "to": "2026-12-31"},
        {"budget": "mill", "site": "sheffield", "amount": "3 t", "from": "2026-01-01", "to": "2026-06-30", "owner": "Ann"},
    ],
    "rules": [
        {"rule": "hot", "meter": "sheffield/main:power", "above": 1, "unit": "MW", "for": "5m", "severity": "critical"},
        {"rule": "band", "meter": "sheffield/main:power", "above": 900, "below": 10, "unit": "kW"},
    ],
}


@pytest.fixture(scope="session")
def demo() -> Plant:
    """The demo's plant: two sites in two time zones, two tags; with budgets and rules."""
    plant, problems = load(ROOT / "scopeline" / "demo" / "plant")
    assert plant, problems
    return Plant.model_validate({**{name: getattr(plant, name) for name in Plant.model_fields}, **TARGETS})


@pytest.fixture(scope="session")
def facts(demo) -> grafana.Facts:
    return grafana.facts(demo)


@pytest.fixture(scope="session")
def small() -> Callable[..., grafana.Facts]:
    """A plant of one site: small(reporting={...}, grafana={...}, feeds=[...])."""

    def make(feeds: tuple[Any, ...] = (), **settings: Any) -> grafana.Facts:
        plain = {"organisation": "Works", "sites": [{"site": "works", "timezone": "Europe/Berlin"}], **settings}
        return grafana.facts(Plant.model_validate({"settings": plain, "feeds": feeds}))

    return make


class Answer(Exception):
    """An answer of the server."""

    def __init__(self, status: int, body: Any) -> None:
        self.status, self.body = status, body


class Server:
    """State and rules of a Grafana: folders, data sources, dashboards with versions, alert rules. `calls` are its log."""

    def __init__(self) -> None:
        self.token, self.role = "glsa_right", "Admin"
        self.folders: dict[str, dict[str, Any]] = {}
        self.datasources: dict[str, dict[str, Any]] = {}
        self.dashboards: dict[str, list[dict[str, Any]]] = {}
        self.rules: dict[str, dict[str, Any]] = {}
        self.calls: list[tuple[str, str]] = []
        self.meanwhile: Callable[[], None] | None = None
        self._next = 0

    def number(self) -> int:
        self._next += 1
        return self._next

    def answer(self, method: str, path: str, token: str, body: Any) -> Any:
        self.calls.append((method, path))
        if token != f"Bearer {self.token}":
            raise Answer(401, {"message": "Invalid API key"})
        for kind, pattern, act in self.routes():
            found = re.fullmatch(pattern, path)
            if kind == method and found:
                return act(*found.groups(), *([body] if method in ("POST", "PUT") else []))
        raise Answer(404, {"message": "Not found"})

    def routes(self) -> list[tuple[str, str, Callable[..., Any]]]:
        rules = "/api/v1/provisioning/alert-rules"
        return [
            ("GET", "/api/folders/([^/]+)", lambda uid: self.there(self.folders, uid, "folder not found")),
            ("POST", "/api/folders", self.new_folder),
            ("PUT", "/api/folders/([^/]+)", self.change_folder),
            (
                "GET",
                "/api/datasources/uid/([^/]+)",
                lambda uid: self.shown(self.there(self.datasources, uid, "Data source not found")),
            ),
            ("POST", "/api/datasources", self.new_datasource),
            ("PUT", "/api/datasources/uid/([^/]+)", self.change_datasource),
            ("GET", "/api/dashboards/uid/([^/]+)", self.dashboard),
            ("GET", "/api/dashboards/uid/([^/]+)/versions", self.versions),
            ("POST", "/api/dashboards/db", self.save),
            ("GET", rules, lambda: list(self.rules.values())),
            ("POST", rules, self.new_rule),
            ("PUT", f"{rules}/([^/]+)", self.change_rule),
            ("DELETE", f"{rules}/([^/]+)", self.delete_rule),
        ]

    @staticmethod
    def there(of: dict[str, Any], uid: str, message: str) -> Any:
        if uid not in of:
            raise Answer(404, {"message": message, "status": "not-found"})
        return of[uid]

    def new_folder(self, body: Any) -> Any:
        if body["uid"] in self.folders or body["title"] in [one["title"] for one in self.folders.values()]:
            raise Answer(409, {"message": "a folder with the same name already exists in the current location"})
        self.folders[body["uid"]] = {"id": self.number(), "uid": body["uid"], "title": body["title"], "version": 1}
        return self.folders[body["uid"]]

    def change_folder(self, uid: str, body: Any) -> Any:
        folder = self.there(self.folders, uid, "folder not found")
        if not body.get("overwrite") and body.get("version") != folder["version"]:
            raise Answer(412, {"message": "The folder has been changed by someone else", "status": "version-mismatch"})
        folder.update(title=body["title"], version=folder["version"] + 1)
        return folder

    def admin(self) -> None:
        if self.role != "Admin":
            raise Answer(
                403,
                {"message": "You'll need additional permissions to perform this action. Permissions needed: datasources:create"},
            )

    def new_datasource(self, body: Any) -> Any:
        self.admin()
        if body["uid"] in self.datasources or body["name"] in [one["name"] for one in self.datasources.values()]:
            raise Answer(409, {"message": "data source with the same name already exists"})
        self.datasources[body["uid"]] = {"id": self.number(), "orgId": 1, "version": 1, **body}
        return {"message": "Datasource added", "datasource": self.shown(self.datasources[body["uid"]])}

    def change_datasource(self, uid: str, body: Any) -> Any:
        self.admin()
        was = self.there(self.datasources, uid, "Data source not found")
        self.datasources[uid] = {**was, **body, "version": was["version"] + 1}
        return {"message": "Datasource updated", "datasource": self.shown(self.datasources[uid])}

    @staticmethod
    def shown(found: Any) -> Any:
        secret = found.get("secureJsonData", {})
        return {key: value for key, value in found.items() if key != "secureJsonData"} | {
            "secureJsonFields": dict.fromkeys(secret, True),
            "readOnly": False,
        }

    def save(self, body: Any) -> Any:
        if self.meanwhile:
            self.meanwhile, act = None, self.meanwhile
            act()
        made = body["dashboard"]
        if not made.get("title") or len(made["uid"]) > 40:
            raise Answer(400, {"message": "Dashboard title cannot be empty, or the uid is too long"})
        if body.get("folderUid") not in self.folders:
            raise Answer(400, {"message": "folder not found", "status": "not-found"})
        before = self.dashboards.get(made["uid"], [])
        newest = before[-1]["dashboard"]["version"] if before else 0
        if before and not body.get("overwrite") and made.get("version") != newest:
            raise Answer(412, {"message": "The dashboard has been changed by someone else", "status": "version-mismatch"})
        number = before[-1]["dashboard"]["id"] if before else self.number()
        # newer servers store a dashboard in their own, newer form
        kept = {**made, "id": number, "version": newest + 1, "schemaVersion": 41}
        version = {"dashboard": kept, "folderUid": body["folderUid"], "message": body.get("message", "")}
        self.dashboards[made["uid"]] = [*before, version]
        return {"id": number, "uid": made["uid"], "status": "success", "version": newest + 1, "slug": "", "url": ""}

    def dashboard(self, uid: str) -> Any:
        newest = self.there(self.dashboards, uid, "Dashboard not found")[-1]
        return {"dashboard": newest["dashboard"], "meta": {"folderUid": newest["folderUid"], "isFolder": False}}

    def versions(self, uid: str) -> Any:
        found = self.there(self.dashboards, uid, "Dashboard not found")
        listed = [{"version": one["dashboard"]["version"], "message": one["message"]} for one in reversed(found)]
        return {"continueToken": "", "versions": listed}

    def checked(self, body: Any) -> dict[str, Any]:
        for key in ("title", "ruleGroup", "folderUID", "condition", "data", "execErrState", "noDataState", "for"):
            if not body.get(key):
                raise Answer(400, {"message": f"invalid alert rule: {key} is empty"})
        if body["condition"] not in [one["refId"] for one in body["data"]] or body["folderUID"] not in self.folders:
            raise Answer(400, {"message": "invalid alert rule: no such condition or folder"})
        if len(body["uid"]) > 40 or len(body["title"]) > 190 or not re.fullmatch(r"(\d+(ms|[smhdwy]))+", body["for"]):
            raise Answer(400, {"message": "invalid alert rule"})
        for one in body["data"]:
            span = one.get("relativeTimeRange", {"from": 0, "to": 0})
            if one["datasourceUid"] != "__expr__" and span["from"] <= span["to"]:
                raise Answer(400, {"message": "invalid relative time range"})
        data = [
            {**one, "queryType": "", "model": {"intervalMs": 1000, "maxDataPoints": 43200, **one["model"]}}
            for one in body["data"]
        ]
        return {**body, "id": self.number(), "orgID": 1, "updated": "2026-01-01T00:00:00Z", "provenance": "api", "data": data}

    def new_rule(self, body: Any) -> Any:
        titles = [(one["folderUID"], one["title"]) for one in self.rules.values()]
        if body["uid"] in self.rules or (body["folderUID"], body["title"]) in titles:
            raise Answer(409, {"message": "a conflicting alert rule is found: rule title under the same organisation and folder"})
        self.rules[body["uid"]] = self.checked(body)
        raise Answer(201, self.rules[body["uid"]])

    def change_rule(self, uid: str, body: Any) -> Any:
        self.there(self.rules, uid, "alert rule not found")
        self.rules[uid] = self.checked(body)
        return self.rules[uid]

    def delete_rule(self, uid: str) -> Any:
        self.rules.pop(uid, None)
        raise Answer(204, None)


@pytest.fixture
def grafana_server() -> Iterator[tuple[str, Server]]:
    """The address and the state of a server that starts empty."""
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def act(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            text = self.rfile.read(size)
            try:
                body = json.loads(text) if text and self.command in ("POST", "PUT") else None
                status, said = 200, state.answer(self.command, self.path, self.headers.get("Authorization", ""), body)
            except Answer as answer:
                status, said = answer.status, answer.body
            content = b"" if said is None else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = act

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", state
    server.shutdown()
    server.server_close()
    thread.join(5)
