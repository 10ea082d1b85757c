"""Tokens and the guard: what is kept, who may ask, and from where."""

import base64
import json
import stat
from datetime import UTC, datetime, timedelta

import pytest
from fastapi import FastAPI, Request, WebSocket
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from scopeline.api.guard import Failures, Guard, credentials, is_loopback
from scopeline.tokens import Tokens

NOW = datetime(2026, 3, 29, 12, tzinfo=UTC)
DAYS = timedelta(days=90)


@pytest.fixture
def tokens(tmp_path):
    return Tokens(tmp_path)


def test_a_token_is_found_until_it_expires_or_is_revoked(tokens):
    text = tokens.create("power-bi", "read", DAYS, NOW)
    assert tokens.find(text, NOW).name == "power-bi"
    assert tokens.find(text, NOW + DAYS - timedelta(seconds=1)) is not None
    assert tokens.find(text, NOW + DAYS) is None
    assert Tokens(tokens.path.parents[1]).find(text, NOW) is not None, "another process sees it"
    assert tokens.revoke("power-bi") and not tokens.revoke("power-bi")
    assert tokens.find(text, NOW) is None


def test_only_a_hash_is_kept_and_only_the_owner_reads_it(tokens):
    text = tokens.create("a", "operate", DAYS, NOW)
    kept = tokens.path.read_text()
    assert text not in kept and text.split("_", 2)[2] not in kept
    assert stat.S_IMODE(tokens.path.stat().st_mode) == 0o600
    assert [f.name for f in tokens.path.parent.iterdir()] == ["tokens.json"], "no temporary file stays"


@pytest.mark.parametrize(
    ("name", "role", "expires", "says"),
    [
        ("../x", "read", DAYS, "no name"),
        ("", "read", DAYS, "no name"),
        ("ok", "admin", DAYS, "read"),
        ("ok", "read", timedelta(0), "--expires"),
    ],
)
def test_what_cannot_be_a_token_is_refused_with_the_remedy(tokens, name, role, expires, says):
    with pytest.raises(ValueError, match=says):
        tokens.create(name, role, expires, NOW)
    assert not tokens.path.exists()


def test_a_name_is_used_once(tokens):
    tokens.create("a", "read", DAYS, NOW)
    with pytest.raises(ValueError, match="Revoke it first"):
        tokens.create("a", "read", DAYS, NOW)
    tokens.create("a", "read", DAYS, NOW + DAYS)  # the old one has expired
    assert len(tokens.all()) == 1


def test_an_unreadable_file_is_not_taken_for_no_tokens(tokens):
    tokens.create("a", "read", DAYS, NOW)
    tokens.path.write_text("{")
    with pytest.raises(ValueError, match=r"tokens\.json"):
        tokens.all()


@given(st.text())
def test_no_text_is_a_token_by_chance(text):
    assert credentials(text) is None or isinstance(credentials(text), str)
    assert Tokens.find.__get__(_Empty())(text, NOW) is None


class _Empty:
    def all(self):
        return ()


def application(tokens, **more):
    app = FastAPI()

    @app.get("/who")
    @app.post("/who")
    def who(request: Request):
        return {"user": request.scope["scopeline.user"], "role": request.scope["scopeline.role"]}

    @app.get("/healthz")
    def healthz():
        return "ok"

    @app.websocket("/ws")
    async def ws(socket: WebSocket):
        await socket.accept()
        await socket.send_text(socket.scope["scopeline.user"])
        await socket.close()

    return Guard(app, tokens, now=lambda: NOW, **more)


def client(app, address="127.0.0.1", host="localhost:8090"):
    return TestClient(app, base_url=f"http://{host}", client=(address, 5000))


def test_this_machine_needs_no_token_and_others_do(tokens):
    app = application(tokens)
    assert client(app).get("/who").json() == {"user": "localhost", "role": "operate"}
    assert client(app, "::1").get("/who").status_code == 200
    refused = client(app, "192.168.1.7").get("/who")
    assert refused.status_code == 401 and refused.json()["remedy"] and refused.headers["www-authenticate"].startswith("Basic")
    assert client(app, "192.168.1.7").get("/healthz").status_code == 200
    for header in ("x-forwarded-for", "forwarded"):  # a proxy on this machine speaks for others
        assert client(app).get("/who", headers={header: "1.2.3.4"}).status_code == 401


def test_bearer_and_basic_and_never_the_url(tokens):
    text = tokens.create("excel", "read", DAYS, NOW)
    there = client(application(tokens), "10.0.0.9", "plant.example")
    assert there.get("/who", headers={"authorization": f"Bearer {text}"}).json() == {"user": "excel", "role": "read"}
    basic = "Basic " + base64.b64encode(f"anyone:{text}".encode()).decode()
    assert there.get("/who", headers={"authorization": basic}).json()["user"] == "excel"
    for name in ("token", "access_token", "authorization"):
        assert there.get("/who", params={name: text}).status_code == 401


def test_a_browser_gets_a_session_that_ends_with_the_token(tokens):
    text = tokens.create("ann", "operate", DAYS, NOW)
    basic = "Basic " + base64.b64encode(f"ann:{text}".encode()).decode()
    there = client(application(tokens), "10.0.0.9", "plant.example")
    answer = there.get("/who", headers={"authorization": basic, "accept": "text/html"})
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and text not in cookie
    assert there.get("/who").json()["user"] == "ann"
    with there.websocket_connect("ws://plant.example/ws") as socket:
        assert socket.receive_text() == "ann"
    tokens.revoke("ann")
    assert there.get("/who").status_code == 401


def test_a_name_that_is_re_pointed_here_is_refused(tokens):
    assert client(application(tokens), host="evil.example").get("/who").status_code == 421
    assert client(application(tokens, hosts=["works.local"]), host="works.local:8090").get("/who").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"origin": "http://localhost:3000"},
    ],
)
def test_pages_of_other_sites_change_nothing_and_open_no_socket(tokens, headers):
    here = client(application(tokens))
    assert here.post("/who", headers=headers).status_code == 403
    with pytest.raises(WebSocketDisconnect), here.websocket_connect("ws://localhost:8090/ws", headers=headers):
        pass
    own = {"origin": "http://localhost:8090"}
    assert here.post("/who", headers=own).status_code == 200
    with here.websocket_connect("ws://localhost:8090/ws", headers=own) as socket:
        assert socket.receive_text() == "localhost"


def test_guessing_is_slowed_down_by_address(tokens):
    text = tokens.create("a", "read", DAYS, NOW)
    app = application(tokens)
    there = client(app, "10.0.0.9", "plant.example")
    wrong = {"authorization": "Bearer scl_00000000_guess"}
    assert [there.get("/who", headers=wrong).status_code for _ in range(11)] == [401] * 10 + [429]
    right = {"authorization": f"Bearer {text}"}
    assert there.get("/who", headers=right).status_code == 429
    assert client(app, "10.0.0.10", "plant.example").get("/who", headers=right).status_code == 200


def test_failures_are_forgotten_after_a_minute_and_grouped_by_network():
    clock = [0.0]
    failures = Failures(tries=2, within_s=60, clock=lambda: clock[0])
    failures.add("2001:db8::1")
    failures.add("2001:db8::2")
    assert failures.wait_s("2001:db8::3") == 60 and failures.wait_s("2001:db9::1") == 0
    clock[0] = 61
    assert failures.wait_s("2001:db8::3") == 0
    for n in range(11_000):
        failures.add(f"10.{n // 65536}.{n // 256 % 256}.{n % 256}")
    assert len(failures._failed) == 10_000


def test_loopback_addresses():
    assert [is_loopback(a) for a in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "10.0.0.1", "testclient", "")] == (
        [True] * 4 + [False] * 3
    )


def test_every_answer_carries_safe_headers(tokens):
    for answer in (client(application(tokens)).get("/who"), client(application(tokens), "10.0.0.9").get("/who")):
        assert answer.headers["x-frame-options"] == "DENY" and answer.headers["x-content-type-options"] == "nosniff"


def test_the_instance_token_of_commands(tokens):
    app = application(tokens, instance_token="secret")
    assert client(app, "127.0.0.1").get("/who", headers={"authorization": "Bearer secret"}).json()["user"] == "command"
    assert json.loads(client(app).get("/who", headers={"authorization": "Bearer secreT"}).content)["error"]
