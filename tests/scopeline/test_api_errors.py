"""What the HTTP API refuses: misuse, names that are not there, paths that are none, and failures that tell nothing."""

import re

import pytest
from starlette.testclient import TestClient

from scopeline.api import create
from scopeline.tokens import Tokens

RANGE = {"from": "2026-03-29", "to": "2026-03-30"}


@pytest.fixture
def app(service, plant_dir):
    return create(service, Tokens(plant_dir))


@pytest.fixture
def client(app):
    return TestClient(app, base_url="http://localhost:8090/api/v1", client=("127.0.0.1", 5000), raise_server_exceptions=False)


@pytest.mark.parametrize(
    ("path", "parameters", "says"),
    [
        ("/figures", {"from": "march", "to": "2026"}, "from"),
        ("/figures", {}, "from is missing"),
        ("/figures", {**RANGE, "interval": "2h"}, "interval"),
        ("/figures", {**RANGE, "format": "pdf"}, "format"),
        ("/figures", {**RANGE, "where": "site=elsewhere"}, "elsewhere"),
        ("/figures", {**RANGE, "format": "csv", "dialect": "x"}, "dialect"),
        ("/readings", {"meter": "duisburg/main:power", "from": "2026-03-30", "to": "2026-03-29"}, "before"),
        ("/readings", {}, "meter"),
        ("/quarantine", {"limit": "0"}, "limit"),
        ("/live", {"by": "colour"}, "by"),
        ("/figures", {**RANGE, "where": "source=boilr"}, "boilr"),
        ("/figures", {**RANGE, "where": "category=cat_16"}, "cat_16"),
        ("/figures", {**RANGE, "group": "site"}, "no parameter 'group'"),
        ("/feeds", {"feed": "main"}, "no parameter"),
        ("/readings", {"meter": "duisburg/main:power", "from": "2027"}, "from=2027 is not before to=now"),
        ("/messages", {"topic": "a/#/b"}, "'#' must be the last level"),
        ("/quarantine", {"feed": "nothing"}, "no feed 'nothing'"),
        ("/quarantine", {"reason": "bad"}, "reason='bad'"),
        ("/factors", {"search": "gas", "limit": "-1"}, "limit"),
        ("/trace", {"source": "nothing", "at": "2026-03-29T03:00:00Z"}, "no source 'nothing'"),
        ("/trace", {"source": "boiler", "at": "2026-03-29T03:00:00Z", "basis": "both"}, "basis"),
    ],
)
def test_misuse_is_400_with_a_remedy(client, path, parameters, says):
    answer = client.get(path, params=parameters)
    assert answer.status_code == 400 and says in answer.json()["error"] and answer.json()["remedy"]


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/feeds/nothing",
        "/quarantine/1",
        "/quarantine/99999",
        "/factors/own/nothing",
        "/readings?meter=duisburg/x:y",
        "/trace?source=boiler&at=2020-01-01",
    ],
)
def test_what_is_not_there_is_404(client, path):
    answer = client.get(path)
    assert answer.status_code == 404 and set(answer.json()) == {"error", "remedy"}


def test_what_could_have_been_meant(client):
    def remedy(path: str) -> str:
        return client.get(path).json()["remedy"]

    assert remedy("/trace?source=boilr&at=2026-03-29T03:00:00Z") == "Sources are: boiler, trucks, works-power."
    assert "duisburg/main:power" in remedy("/readings?meter=main:power") and "main" in remedy("/feeds/nothing")
    assert "begins at 2026-03-29 " in remedy("/trace?source=boiler&at=2026-03-30T03:00:00Z")


@pytest.mark.parametrize(("verb", "path", "status"), [("GET", "nothing", 404), ("POST", "figures", 405), ("PUT", "try", 405)])
def test_the_console_behind_it_takes_no_api_path(app, verb, path, status):
    app.mount("/", lambda scope, receive, send: None)  # as the console stands there
    answer = TestClient(app, base_url="http://localhost:8090/api/v1", client=("127.0.0.1", 5000)).request(verb, f"/{path}")
    assert answer.status_code == status and set(answer.json()) == {"error", "remedy"}


def test_an_error_of_ours_is_not_a_missing_name(client, service, monkeypatch):
    monkeypatch.setattr(service, "feeds", lambda: {}["feed"])
    assert client.get("/feeds").status_code == 500


def test_failures_tell_nothing(client, service, monkeypatch, caplog):
    def broken():
        raise RuntimeError("secret-path /etc/x")

    monkeypatch.setattr(service, "feeds", broken)
    answer = client.get("/feeds")
    assert answer.status_code == 500 and set(answer.json()) == {"error", "remedy"}
    assert "secret" not in answer.text and "Traceback" not in answer.text
    assert re.search(r"id \w{8}", answer.json()["remedy"])[0] in caplog.text
