"""Every route of the HTTP API, its errors, and what it must not give away."""

import base64
import csv
import hashlib
import io
import json
import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import openpyxl
import polars as pl
import pytest
from starlette.testclient import TestClient

from scopeline.api import create
from scopeline.api.health import METRICS, exposition
from scopeline.cluster.archive import METRICS as ARCHIVE
from scopeline.cluster.roles import METRICS as CLUSTER
from scopeline.tokens import Tokens

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"
RANGE = {"from": "2026-03-29", "to": "2026-03-30"}


@pytest.fixture
def app(service, plant_dir):
    return create(service, Tokens(plant_dir), instance_token="of-the-instance")


@pytest.fixture
def client(app):
    return TestClient(app, base_url="http://localhost:8090/api/v1", client=("127.0.0.1", 5000), raise_server_exceptions=False)


def test_figures_as_json(client):
    rows = client.get("/figures", params={**RANGE, "group_by": "source", "basis": "location"}).json()
    assert {row["source"]: row["co2e_kg"] for row in rows} == {"boiler": 43.2648, "trucks": None, "works-power": 48}
    assert {row["source"]: row["status"] for row in rows}["trucks"] == "unpriced"
    assert rows[0]["period"] == "2026-03-29" and rows[0]["interval_start"] == "2026-03-28T23:00:00Z"


def test_every_format_says_the_same(client):
    asked = {**RANGE, "interval": "1h", "group_by": "site,source"}
    want = client.get("/figures", params=asked).json()
    # a spring day of 23 hours, from the first reading on: boiler 22, works-power 22 in two bases, trucks 19
    assert len(want) == 22 + 2 * 22 + 19
    as_csv = client.get("/figures", params={**asked, "format": "csv"})
    rows = list(csv.DictReader(io.StringIO(as_csv.text)))
    assert [float(row["co2e_kg"]) if row["co2e_kg"] else None for row in rows] == [row["co2e_kg"] for row in want]
    parquet = pl.read_parquet(io.BytesIO(client.get("/figures", params={**asked, "format": "parquet"}).content))
    assert parquet["co2e_kg"].to_list() == [row["co2e_kg"] for row in want] and parquet["site"][0] == "duisburg"
    sheet = openpyxl.load_workbook(io.BytesIO(client.get("/figures", params={**asked, "format": "xlsx"}).content)).active
    column = next(n for n, cell in enumerate(sheet[1]) if cell.value == "co2e_kg")
    assert [row[column].value for row in sheet.iter_rows(min_row=2)] == [row["co2e_kg"] for row in want]


def test_a_download_brings_its_proof(client):
    answer = client.get("/figures", params={**RANGE, "format": "csv"})
    meta = json.loads(answer.headers["x-scopeline-meta"])
    assert meta["sha256"] == hashlib.sha256(answer.content).hexdigest()
    assert meta["log_position"] == 198 and meta["arguments"]["from"] == "2026-03-29" and meta["gwp"] == "AR6"
    again = client.get("/figures", params={**RANGE, "format": "csv"})
    assert again.content == answer.content, "same question, same position: same bytes"
    assert "attachment" in answer.headers["content-disposition"]


def test_base_intervals(client):
    rows = client.get("/figures", params={**RANGE, "interval": "base", "where": "source=boiler"}).json()
    assert len(rows) == 48 and {row["component"] for row in rows} == {"main"} and rows[0]["tag_line"] is None
    assert sum(row["co2_kg"] for row in rows) == pytest.approx(43.2)


def test_a_download_leaves_nothing_behind(client, plant_dir, service):
    def parts():
        return list((plant_dir / ".scopeline").glob("export-*"))

    assert client.get("/figures", params={**RANGE, "format": "csv"}).status_code == 200 and not parts()
    assert client.get("/figures", params={**RANGE, "format": "csv", "dialect": "x"}).status_code == 400 and not parts()
    (plant_dir / ".scopeline" / "export-left").mkdir()
    create(service, Tokens(plant_dir))
    assert not parts(), "what a killed instance left"


def test_readings_in_order_and_units(client):
    rows = client.get("/readings", params={"meter": "duisburg/main:power", **RANGE}).json()
    assert len(rows) == 145 and rows[0]["value"] == 10 and rows[0]["unit"] == "kW"
    assert [row["observed_at"] for row in rows] == sorted(row["observed_at"] for row in rows)
    lines = client.get("/readings", params={"meter": "duisburg/main:power", **RANGE, "format": "ndjson"}).text.splitlines()
    assert [json.loads(line) for line in lines] == rows
    text = client.get("/readings", params={"meter": "duisburg/tank:fill", **RANGE, "format": "csv"}).text
    assert "'=ticket-3" in text, "no spreadsheet takes an event id for a formula"
    assert client.get("/readings", params={"meter": "duisburg/main:power", "from": "2025", "to": "2026"}).json() == []


def test_messages_are_a_message_file(client):
    text = client.get("/messages", params=RANGE).text
    lines = [json.loads(line) for line in text.splitlines()]
    assert len(lines) == 198 and {"topic", "payload", "received_at"} == set(lines[0])
    assert [line["topic"] for line in lines if "payload_base64" in line] == ["acme/main"], "quarantined ones too"
    some = client.get("/messages", params={**RANGE, "topic": "acme/+"}).text
    assert some == text and len(client.get("/messages", params={**RANGE, "topic": "acme/gas"}).text.splitlines()) == 49


def test_feeds(client):
    rows = {row["feed"]: row for row in client.get("/feeds").json()}
    assert rows["main"]["decoded"] == 145 and rows["main"]["quarantine_reasons"] == {"malformed": 1}
    assert rows["silent"]["silent"] and rows["silent"]["last_received_at"] is None and rows[None]["unmatched"] == 1
    one = client.get("/feeds/main").json()
    assert {r["channel"]: (r["value"], r["unit"]) for r in one["readings"]} == {
        "energy": ("1120.0", "kWh"),
        "power": ("10000", "W"),
    }


def test_quarantine_list_show_redrive(client, host):
    (row,) = client.get("/quarantine").json()
    assert row["reason"] == "malformed" and row["topic"] == "acme/main"
    shown = client.get(f"/quarantine/{row['message']}").json()
    assert base64.b64decode(shown["payload_base64"]) == b"\xff{broken" and shown["rejects"][0]["detail"]
    assert client.post(f"/quarantine/{row['message']}/redrive").json() == {"tried": 1, "read": 0, "still": 1}
    assert client.post("/quarantine/redrive", params={"feed": "gas"}).json() == {"tried": 0, "read": 0, "still": 0}
    assert client.post("/quarantine/1/redrive").status_code == 404


def test_a_message_is_in_the_log_when_the_answer_comes(client, host):
    at = (DAY12 := datetime(2026, 3, 29, 12, 15, tzinfo=UTC)).isoformat()
    answer = client.post("/messages/acme/gas", content=json.dumps({"t": at, "kwh": 745}).encode())
    assert answer.status_code == 200 and answer.json() == {"message": 199}
    rows = client.get("/figures", params={**RANGE, "interval": "base", "where": "source=boiler"}).json()
    assert rows[-1]["interval_start"] == (DAY12 - timedelta(minutes=15)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize("topic", ["a/%2B/b", "%23", "$SYS/x", "a%00b"])
def test_topics_that_mqtt_forbids_are_refused(client, host, topic):
    answer = client.post(f"/messages/{topic}", content=b"1")
    assert answer.status_code == 400 and not host.published


def test_payloads_have_a_limit(client, host):
    assert client.post("/messages/a", content=b"x" * (4 * 1024 * 1024 + 1)).status_code == 413 and not host.published


def test_try_changes_nothing(client, host):
    body = {"topic": "acme/main", "payload": json.dumps({"t": "2026-03-29T10:00:00Z", "kwh": "12.5"})}
    found = client.post("/try", json=body).json()
    assert [(r["meter"], r["value"], r["unit"]) for r in found["readings"]] == [("duisburg/main:energy", "12.5", "kWh")]
    raw = {"topic": "acme/main", "payload_base64": base64.b64encode(b"{broken").decode()}
    assert client.post("/try", json=raw).json()["rejects"][0]["reason"] == "malformed"
    assert client.post("/try", json={"topic": "nobody", "payload": "1"}).json()["outcomes"][0]["outcome"] == "unmatched"
    late = {**body, "received_at": "2020-01-01T00:00:00Z"}
    assert "in_future" in {reject["reason"] for reject in client.post("/try", json=late).json()["rejects"]}
    assert client.post("/try", json={"topic": "a"}).status_code == 400
    assert client.post("/try", json={"topic": "a", "payload": "1", "feed": "nothing"}).status_code == 404
    assert host.store.position() == 198


def test_factors_and_trace_and_plant(client):
    assert client.get("/factors/own/gas").json()["citation"] == "a supplier bill"
    assert client.get("/factors", params={"search": "natural gas", "set": "desnz"}).json()
    found = client.get("/trace", params={"source": "boiler", "at": "2026-03-29T05:04"}).json()
    assert found["interval_start"] == "2026-03-29T03:00:00Z" and len(found["messages"]) == 2
    assert client.get("/plant").json()["sites"][0]["timezone"] == "Europe/Berlin"
    assert client.get("/problems").json() == []
    assert client.get("/live").json()["rate_kg_per_h"] == pytest.approx(7.6054)


def test_read_tokens_change_nothing(app, plant_dir):
    now = datetime.now(UTC)
    texts = {role: Tokens(plant_dir).create(role, role, timedelta(days=1), now) for role in ("read", "operate")}
    there = TestClient(app, base_url="http://plant.example/api/v1", client=("10.0.0.9", 1))
    seen = 0
    for path, verbs in app.openapi()["paths"].items():
        for verb in verbs:
            if path in ("/healthz", "/readyz"):
                continue
            seen += 1
            url = "http://plant.example" + re.sub(r"\{\w+\}", "1", path)
            assert there.request(verb, url).status_code == 401, (verb, path)
            if verb == "post" and not path.endswith("/try"):
                refused = there.request(verb, url, headers={"authorization": f"Bearer {texts['read']}"})
                assert refused.status_code == 403 and "operate" in refused.json()["remedy"]
                assert there.request(verb, url, headers={"authorization": f"Bearer {texts['operate']}"}).status_code in (
                    200,
                    400,
                    404,
                )
    assert seen > 15


def test_health_and_metrics(client, service, monkeypatch):
    assert client.get("http://localhost:8090/healthz").text == "ok\n"
    assert client.get("http://localhost:8090/readyz").status_code == 200
    text = client.get("http://localhost:8090/metrics").text
    assert "scopeline_messages_total 198" in text and 'scopeline_feed_messages_total{feed="main",outcome="quarantined"} 1' in text
    assert set(re.findall(r"^# TYPE (\w+)", text, re.M)) == set(METRICS)
    monkeypatch.setattr(type(service.host), "running", False)
    assert client.get("http://localhost:8090/readyz").status_code == 503


def test_metrics_are_documented():
    documented = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", DOCS.read_text(), re.M))
    assert documented == {name: kind for name, (kind, _) in (METRICS | CLUSTER | ARCHIVE).items()}


def test_labels_cannot_break_the_format():
    (line,) = [x for x in exposition({"scopeline_feed_silent": [({"feed": 'a"\n\\b'}, 1.0)]}) if not x.startswith("#")]
    assert line == 'scopeline_feed_silent{feed="a\\"\\n\\\\b"} 1'


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.links = [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("href", "src")]


def test_docs_list_every_route_and_load_nothing_from_elsewhere(client, app):
    answer = client.get("http://localhost:8090/api/docs")
    page = Page()
    page.feed(answer.text)
    assert "script" not in page.tags and page.links == ["/api/openapi.json"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    paths = app.openapi()["paths"]
    assert len(paths) > 15 and all(f"<code>{path}</code>" in answer.text for path in paths)
    assert client.get("http://localhost:8090/api/openapi.json").json()["info"]["title"] == "Scopeline"
    for path in ("figures", "readings", "feeds", "quarantine", "factors", "trace", "messages", "try", "messages/{topic}"):
        assert f"/api/v1/{path}" in paths
