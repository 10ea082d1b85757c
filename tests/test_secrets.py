"""No secret is ever in an output, a log, a metric, an error or a file that is published: canaries, hunted everywhere.

Servers here are worse than real ones: what they refuse, they repeat. tests/live/test_canaries.py hunts on real ones, that work
and that refuse.
"""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from canary import leaks
from waiting import until

from scopeline import logs
from scopeline.cluster.plant_record import collect
from scopeline.plant import secret

ROOT = Path(__file__).parents[1]
SECRETS = {
    "mqtt": "canary-mqtt-5RkQ",
    "kafka": "canary-kafka-8TzW",
    "influx": "canary-influx-2LmX==",
    "read": "canary-read-9PqA",
    "grafana": "glsa_canary-grafana-4HvD",
    "s3key": "CANARYS3KEY7JUB",
    "s3secret": "canary/s3secret+1NcE",
}
VARIABLES = {
    "SCOPELINE_MQTT_HALL_PASSWORD": "mqtt",
    "SCOPELINE_KAFKA_PASSWORD": "kafka",
    "SCOPELINE_INFLUXDB_TOKEN": "influx",
    "SCOPELINE_INFLUXDB_READ_TOKEN": "read",
    "SCOPELINE_GRAFANA_TOKEN": "grafana",
    "AWS_ACCESS_KEY_ID": "s3key",
    "AWS_SECRET_ACCESS_KEY": "s3secret",
}
PLANT = """\
organisation: Canary works
profile: cluster
sites: [{{site: works, timezone: UTC}}]
brokers: {{hall: {{host: 127.0.0.1, port: {mqtt}, username: us{mqtt_file}}}}}
kafka: {{bootstrap_servers: ["127.0.0.1:{kafka}"], username: us, mechanism: PLAIN{kafka_file}}}
influxdb: {{url: "http://127.0.0.1:{http}", org: us, bucket: us, timeout: 2s{influx_file}}}
archive: {{path: "s3://us/them", endpoint: "http://127.0.0.1:{http}", region: eu{s3_file}}}
grafana: {{url: "http://127.0.0.1:{http}"{grafana_file}}}
console: {{port: 1}}
"""
FEED = """\
feed: meters
topic: "works/{device}"
decoder: json
meter: "works/{device}"
channels: [{channel: energy, value: "$.kwh", unit: kWh, kind: counter}]
"""
FILES = {
    "mqtt": "password_file",
    "kafka": "password_file",
    "influx": "token_file",
    "grafana": "token_file",
    "s3": "credentials_file",
}
DAY = ("--from", "2026-05-01", "--to", "2026-05-02")
COMMANDS = (
    ("check",),
    ("setup",),
    ("setup", "--dry-run", "--json"),
    ("apply", "--no-wait"),
    ("apply", "--dry-run"),
    ("doctor",),
    ("doctor", "--json"),
    ("grafana", "push", "--dry-run"),
    ("grafana", "write", "@out"),
    ("export", *DAY, "--out", "@out.csv"),
    ("messages", *DAY),
    ("readings", "works/a:energy", *DAY),
    ("trace", "--source", "a", "--at", "2026-05-01"),
    ("quarantine", "list"),
    ("replay", *DAY),
    ("import", "@rows.csv", "--feed", "meters", "--topic", "works/a"),
    ("factors", "search", "diesel", "--limit", "1"),
    ("token", "list"),
)
ROLES = ("ingest", "process", "console", "archive")
RUN = """
import json, sys
from typer.testing import CliRunner
from scopeline import logs
from scopeline.cli import app
logs.setup("text", "debug")
for arguments in json.loads(sys.argv[1]):
    done = CliRunner().invoke(app, arguments)
    print("==", *arguments, "->", done.exit_code, repr(done.exception))
    print(done.output)
    if done.exc_info and not isinstance(done.exception, SystemExit):
        sys.excepthook(*done.exc_info)
"""


class Echo(BaseHTTPRequestHandler):
    """Refuses, and repeats all that it was sent."""

    def _refuse(self) -> None:
        body = json.dumps({"message": f"unauthorized: {self.headers}", "error": str(self.headers)}).encode()
        self.send_response(401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = do_PATCH = _refuse

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def refusing() -> Iterator[dict[str, int]]:
    """Ports of servers that let nobody in: HTTP that repeats, MQTT that says bad password, one that sends all back."""
    http = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    listeners = {}
    for name, answer in (("mqtt", b"\x20\x02\x00\x05"), ("kafka", None)):
        listeners[name] = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=_refuse, args=(listeners[name], answer), daemon=True).start()
    yield {"http": http.server_address[1], **{name: one.getsockname()[1] for name, one in listeners.items()}}
    http.shutdown()
    http.server_close()
    for one in listeners.values():
        one.close()


def _refuse(listener: socket.socket, answer: bytes | None) -> None:
    while True:
        try:
            client, _ = listener.accept()
            client.settimeout(2)
            got = client.recv(4096)
            client.sendall(got if answer is None else answer)
            client.close()
        except TimeoutError:
            continue
        except OSError:
            if listener.fileno() < 0:
                return


def unreachable() -> dict[str, int]:
    """Ports at which nothing listens."""
    found = {}
    for name in ("mqtt", "kafka", "http"):
        with socket.create_server(("127.0.0.1", 0)) as one:
            found[name] = one.getsockname()[1]
    return found


def plant(folder: Path, ports: dict[str, int], by_file: bool) -> dict[str, str]:
    """A plant folder; the environment of its commands."""
    (folder / "feeds").mkdir(parents=True)
    (folder / "secrets").mkdir()
    named = {f"{name}_file": f", {key}: secrets/{name}" if by_file else "" for name, key in FILES.items()}
    (folder / "plant.yaml").write_text(PLANT.format(**ports, **named))
    (folder / "feeds" / "meters.yaml").write_text(FEED)
    (folder.parent / "rows.csv").write_text("kwh\n1\n2\n")
    if by_file:
        for name in ("mqtt", "kafka", "influx", "grafana"):
            (folder / "secrets" / name).write_text(SECRETS[name] + "\n")
        (folder / "secrets" / "s3").write_text(f"{SECRETS['s3key']}\n{SECRETS['s3secret']}\n")
    given = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    given |= {"AWS_EC2_METADATA_DISABLED": "true"}
    return given if by_file else given | {name: SECRETS[key] for name, key in VARIABLES.items()}


def written(folder: Path) -> dict[str, str]:
    """Every file but the secrets themselves."""
    files = [path for path in folder.rglob("*") if path.is_file() and "secrets" not in path.parts]
    return {str(path): path.read_bytes().decode("utf-8", "replace") for path in files}


def roles(folder: Path, environment: dict[str, str], names: tuple[str, ...], seconds: float) -> dict[str, str]:
    """What each role says, at debug, until it has said what is wrong and is stopped; its exit code first."""
    main = [sys.executable, "-c", "from scopeline.cli import main; main()"]
    asked: dict[str, list[str]] = {
        role: ["run", "--role", role, "--port", "0", "--log-format", form]
        for role, form in (("ingest", "json"), ("process", "text"), ("console", "json"))
    }
    asked["archive"] = ["archive", "--follow", "--log-format", "json"]
    running = {}
    asked = {name: arguments for name, arguments in asked.items() if name in names}
    for name, arguments in asked.items():
        with (folder.parent / f"{name}.log").open("w") as out:
            running[name] = subprocess.Popen(
                [*main, *arguments, "--log-level", "debug", "--plant", str(folder)],
                cwd=ROOT, env=environment, stdout=out, stderr=out,
            )  # fmt: skip
    texts = {name: (folder.parent / f"{name}.log").read_text for name in asked}
    until(lambda: all(_troubled(texts[name](), one) for name, one in running.items()), seconds, every=0.2)
    for one in running.values():
        one.send_signal(signal.SIGTERM)
    return {name: f"{one.wait(120)}\n{texts[name]()}" for name, one in running.items()}


def _troubled(text: str, process: "subprocess.Popen[bytes]") -> bool:
    """Whether it has said what is wrong, or has ended."""
    return (
        process.poll() is not None
        or ('"logger": "scopeline", "message": "' in text and '"level": "error"' in text)
        or " ERROR scopeline:" in text
    )


def commands(folder: Path, environment: dict[str, str], which: tuple[tuple[str, ...], ...]) -> str:
    """What all commands say, one after the other in one process, at debug."""
    asked = [
        [str(folder.parent / part[1:]) if part.startswith("@") else part for part in one] + ["--plant", str(folder)]
        for one in which
    ]
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(asked)], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout + done.stderr


def hunt(
    folder: Path,
    environment: dict[str, str],
    asked: tuple[tuple[str, ...], ...] = COMMANDS,
    names: tuple[str, ...] = ROLES,
    seconds: float = 180,
) -> dict[str, str]:
    """Everything that is said and written, none of it with a secret."""
    said = {"commands": commands(folder, environment, asked), **roles(folder, environment, names, seconds)}
    for name, text in {**said, **written(folder.parent)}.items():
        assert not leaks(text, SECRETS), f"{name} holds {leaks(text, SECRETS)}"
    return said


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_servers_that_refuse_and_repeat_what_they_were_sent(tmp_path, refusing):
    folder = tmp_path / "plant"
    said = hunt(folder, plant(folder, refusing, by_file=False))
    assert "***" in said["commands"], "the echo came, and was blacked out"
    assert "unauthorized" in said["process"] and said["process"].startswith("0\n") and said["ingest"].startswith("0\n")
    for role in ("ingest", "console", "archive"):
        code, *lines = said[role].strip().splitlines()
        assert lines and all({"time", "level", "message"} <= json.loads(line).keys() for line in lines), role
        assert code in ("0", "1")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_servers_that_are_not_there(tmp_path):
    folder = tmp_path / "plant"
    few = (("setup",), ("apply", "--dry-run"), ("doctor",), ("grafana", "push", "--dry-run"))
    said = hunt(folder, plant(folder, unreachable(), by_file=True), few, ("process",))
    assert "cannot be" in said["process"] and "Connection refused" in said["commands"]


def test_what_apply_publishes_has_no_secret(tmp_path):
    folder = tmp_path / "plant"
    plant(folder, unreachable(), by_file=True)
    published = collect(folder)
    assert "plant.yaml" in published and not leaks("".join(data.decode() for data in published.values()), SECRETS)


def test_a_secret_that_was_read_is_black_in_text_json_and_tracebacks(tmp_path, capsys):
    (tmp_path / "token").write_text("canary-token-77\n")
    found = secret(tmp_path, "token", "SCOPELINE_NOBODY")
    assert found and found.get_secret_value() == "canary-token-77" and "canary" not in repr(found)
    for form in (logs.Text(), logs.Json()):
        try:
            raise ValueError("Token canary-token-77 is refused")
        except ValueError:
            record = logging.LogRecord("a", logging.ERROR, "", 0, "with %s", ("canary-token-77",), sys.exc_info())
        text = form.format(record)
        assert "canary" not in text and text.count("***") >= 2 and "Traceback" in text
