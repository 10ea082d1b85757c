"""influxdb-client as we use it: no secret, no thread and no other way out than the queries'."""

import logging
import threading
import traceback

import httpx
import pytest
from pydantic import SecretStr

from schemas.connections import InfluxDB
from sinks.influx import Influx, InfluxProblem, connection, setup

LINES = ["m v=1.0 1"]


class Store:
    """Gives these answers, then 204."""

    def __init__(self, *first):
        self.requests, self.first = [], list(first)

    def __call__(self, request):
        self.requests.append(request)
        answer = self.first.pop(0) if self.first else httpx.Response(204)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(connection, "FIRST_WAIT", 0.001)


@pytest.mark.parametrize("first", [(), (httpx.Response(503, text="busy"),), (httpx.Response(401),), (httpx.ReadError("cut"),)])
def test_the_token_is_in_no_log_and_no_error(opened, caplog, first):
    store = Store(*first)
    influx = opened(store)
    for name in ("urllib3", "influxdb_client", "httpx", "httpcore"):
        caplog.set_level(logging.DEBUG, name)
    told, wait = [], influx.stop.wait
    influx.stop.wait = lambda seconds: told.append(influx.problem) or wait(seconds)
    with caplog.at_level(logging.DEBUG):
        try:
            influx.write("b", LINES)
        except InfluxProblem:
            told.append(traceback.format_exc())
    assert store.requests[0].headers["Authorization"] == "Token canary-token"
    assert "canary" not in caplog.text + repr(told) + repr(vars(influx)) and len(told) == len(first)


@pytest.mark.parametrize("token", ["canary\x07", "canary\r\nX: y", "canaryé"])
def test_a_token_that_cannot_be_sent_is_not_shown_either(token):
    with pytest.raises(InfluxProblem, match="token_file") as raised:
        Influx(InfluxDB(url="http://127.0.0.1:1", org="acme", bucket="b"), SecretStr(token))
    assert "canary" not in str(raised.value)


def test_a_page_of_another_server_is_judged_by_its_status(opened):
    page = "Verstoß".encode("latin-1")
    store = Store(httpx.Response(502, content=page), httpx.Response(500))
    assert opened(store).write("b", LINES) == (1, [])
    for status in (302, 403):
        store = Store(httpx.Response(status, content=page, headers={"Location": "/elsewhere"}))
        with pytest.raises(InfluxProblem, match=f"answers {status}: "):
            opened(store).write("b", LINES)
        assert len(store.requests) == 1
    for answer in (httpx.Response(502, content=page), httpx.Response(200, json={"orgs": [{"id": "0"}]})):
        with pytest.raises(InfluxProblem, match=r"no InfluxDB does -> check influxdb\.url"):
            setup(opened(Store(answer)))


def test_a_write_starts_no_thread_and_keeps_its_connection(opened):
    before, store = set(threading.enumerate()), Store()
    influx = opened(store)
    for _ in range(3):
        influx.write("b", LINES)
    started = [thread.name for thread in set(threading.enumerate()) - before]
    assert sum("process_request_thread" in name for name in started) == 1, "one connection"
    assert sum("serve_forever" in name for name in started) == 1 and len(started) == 2


def test_writes_take_the_proxy_that_queries_take(opened, served, monkeypatch):
    store, direct = Store(), Store()
    for name in ("no_proxy", "NO_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", served(store).replace("//", "//me:canary%21@"))
    influx = opened(direct)
    influx.write("b", LINES)
    influx.ping()
    assert [request.url.port for request in store.requests] == [httpx.URL(influx.settings.url).port] * 2 and not direct.requests
    assert {request.headers["Proxy-Authorization"] for request in store.requests} == {"Basic bWU6Y2FuYXJ5IQ=="}
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    influx = opened(direct)
    influx.write("b", LINES)
    influx.ping()
    assert len(direct.requests) == len(store.requests) == 2
