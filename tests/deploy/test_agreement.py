"""Compose, Kubernetes, systemd, the container and the native stack say the same: versions, commands, health, users, settings."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from scopeline import reference
from scopeline.api import create
from scopeline.check import check
from scopeline.cli import COMMANDS, app
from scopeline.cluster.watchdog import EXIT

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PLANTS = [DEPLOY / "example" / "plant", DEPLOY / "kubernetes" / "overlays" / "example" / "plant"]
VERSIONS = dict(line.split("=") for line in (DEPLOY / "native" / "versions.env").read_text().splitlines() if line[:1].isalpha())
KINDS = ("Deployment", "StatefulSet", "Job")
Overlays = dict[str, list[dict[str, Any]]]


def containers(overlays: Overlays) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{overlay}/{one['kind']}/{one['metadata']['name']}", container)
        for overlay, objects in overlays.items()
        for one in objects
        if one["kind"] in KINDS
        for container in one["spec"]["template"]["spec"]["containers"]
    ]


def of_image(text: str, image: str) -> set[str]:
    return {tag for name, tag in re.findall(r"([\w./-]+):(\d+\.\d+\.\d+)", text) if name.rpartition("/")[2] == image}


def test_versions_are_the_same_everywhere(compose: dict[str, Any], overlays: Overlays):
    images = [service["image"] for service in compose["services"].values()] + [c["image"] for _, c in containers(overlays)]
    text = " ".join(images)
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
    assert of_image(text, "kafka") == {VERSIONS["KAFKA_VERSION"]}
    assert of_image(text, "influxdb") == {VERSIONS["INFLUXDB_VERSION"]}
    assert of_image(text, "scopeline") == {version}
    assert len(of_image(text, "eclipse-mosquitto")) == 1 and len(of_image(text, "grafana")) == 1
    label = re.search(r'image\.version="(.+?)"', (DEPLOY / "container" / "Containerfile").read_text())[1]
    assert label == version


def commands(compose: dict[str, Any], overlays: Overlays, units: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """Every command line of Scopeline in the deployment files: where it stands, and its words after `scopeline`."""
    found = []
    for name, service in compose["services"].items():
        if service["image"].startswith("scopeline:"):
            words = [*service.get("entrypoint", ["scopeline"]), *service.get("command", [])]
            found += [(f"compose {name}", line) for line in lines(words)]
    for place, container in containers(overlays):
        if "scopeline" in container["image"]:
            words = [*container.get("command", ["scopeline"]), *container.get("args", [])]
            found += [(place, line) for line in lines(words)]
    for name, unit in units.items():
        found += [(name, line) for line in lines(shlex.split(unit["Service"]["ExecStart"]))]
    recipe = (DEPLOY / "container" / "Containerfile").read_text()
    found.append(("Containerfile", shlex.split(re.search(r"^CMD \[(.+)\]", recipe, re.MULTILINE)[1].replace(",", " "))))
    return found


def lines(words: list[str]) -> list[list[str]]:
    """The Scopeline commands in an exec form, through a shell where one stands before them."""
    if Path(words[0]).name == "scopeline":
        return [words[1:]]
    parts = [shlex.split(part) for word in words for part in re.split(r"&&|;|\n", word)]
    return [part[1:] for part in parts if part[:1] == ["scopeline"]]


def test_every_command_line_parses(compose: dict[str, Any], overlays: Overlays, units: dict[str, Any]):
    found = commands(compose, overlays, units)
    assert len(found) > 20
    roles, numbers = set(), {"$(MEMBER)": "0", "%i": "0"}
    for place, words in found:
        path, command, rest = "scopeline", typer.main.get_command(app), list(words)
        assert rest[0] in COMMANDS, f"{place}: no command {rest[0]}"
        while parts := dict(reference.inner(command, path)):
            command, path, rest = parts[rest[0]], f"{path} {rest[0]}", rest[1:]
        for placeholder, number in numbers.items():
            rest = [word.replace(placeholder, number) for word in rest]
        context = command.make_context(path, rest, resilient_parsing=False)  # raises on what the command does not know
        assert context.params.get("plant") in (Path("/plant"), Path("/etc/scopeline/plant")), place
        roles.add(context.params.get("role"))
    assert {"ingest", "process", "console"} <= roles


def test_health_is_asked_where_it_is_answered(compose: dict[str, Any], overlays: Overlays, units: dict[str, Any]):
    answered = {"/healthz", "/readyz"}
    guard = (ROOT / "scopeline" / "api" / "guard.py").read_text()
    assert re.search(r'^OPEN = \("/healthz", "/readyz"\)', guard, re.MULTILINE) and callable(create)
    asked = set(re.findall(r"127\.0\.0\.1:(\d+)(/\w+)", (DEPLOY / "container" / "Containerfile").read_text()))
    assert asked == {("8090", "/healthz")}
    served = {place: words[words.index("--port") + 1] for place, words in commands(compose, overlays, units) if "--port" in words}
    assert {port for place, port in served.items() if ".service" not in place} == {"8090"}
    paths = set()
    for place, container in containers(overlays):
        if "scopeline" in container["image"]:
            probes = [container[probe] for probe in ("startupProbe", "livenessProbe", "readinessProbe") if probe in container]
            paths |= {probe["httpGet"]["path"] for probe in probes if "httpGet" in probe}
            assert all(probe["httpGet"]["port"] == "http" for probe in probes if "httpGet" in probe), place
    assert paths == answered


def test_members_are_as_many_as_are_started(compose: dict[str, Any], overlays: Overlays):
    for plant, overlay in zip(PLANTS, ("tryout", "example"), strict=True):
        loaded, _ = check(plant)
        members = {broker.members for broker in loaded.settings.brokers.values()}
        ingest = next(o for o in overlays[overlay] if o["kind"] == "StatefulSet" and o["metadata"]["name"] == "ingest")
        assert members == {ingest["spec"]["replicas"]}, overlay
    assert check(PLANTS[0])[0].settings.brokers["site"].members == 1  # compose has one ingest service
    scaled = next(o for o in overlays["keda"] if o["kind"] == "ScaledObject")["spec"]
    kafka = check(PLANTS[1])[0].settings.kafka
    assert scaled["maxReplicaCount"] <= kafka.partitions
    assert scaled["triggers"][0]["metadata"]["consumerGroup"] == f"{kafka.prefix}.process"
    assert scaled["triggers"][0]["metadata"]["topic"] == f"{kafka.prefix}.raw"


@pytest.mark.parametrize("plant", PLANTS, ids=lambda path: path.relative_to(DEPLOY).as_posix())
def test_the_plants_have_no_errors_and_name_the_mounted_secrets(plant: Path):
    loaded, problems = check(plant)
    assert loaded is not None and loaded.settings.profile == "cluster" and loaded.settings.archive is not None
    assert {problem.severity for problem in problems} <= {"warning", "note"}
    assert all("/run/secrets/" in problem.message for problem in problems), problems
    named = {loaded.settings.influxdb.token_file, *(broker.password_file for broker in loaded.settings.brokers.values())}
    assert named == {"/run/secrets/influxdb_token", "/run/secrets/mqtt_password"}


def test_example_plant_and_servers_name_each_other(compose: dict[str, Any]):
    settings = check(PLANTS[0])[0].settings
    influx = compose["services"]["influxdb"]["environment"]
    assert settings.influxdb.url == "http://influxdb:8086"
    assert (settings.influxdb.org, settings.influxdb.bucket) == (
        influx["DOCKER_INFLUXDB_INIT_ORG"],
        influx["DOCKER_INFLUXDB_INIT_BUCKET"],
    )
    assert settings.kafka.bootstrap_servers == ("kafka:9092",)
    assert "advertised.listeners=PLAINTEXT://kafka:9092" in (DEPLOY / "kafka" / "server.properties").read_text().splitlines()
    assert settings.brokers["site"].host in compose["services"]


def test_environment_variables_are_documented(compose: dict[str, Any], units: dict[str, Any]):
    text = (DEPLOY / "README.md").read_text() + (ROOT / "docs" / "operate.md").read_text()
    raw = (DEPLOY / "compose.yaml").read_text() + (DEPLOY / "container" / "up.sh").read_text()
    used = set(re.findall(r"\$\{(\w+):-", raw)) - {"action"}
    used |= {key for name, s in compose["services"].items() for key in s.get("environment", {}) if key.startswith("SCOPELINE")}
    used -= {"1", "2"}
    assert {"PLANT", "SCOPELINE_MQTT_ADDRESS", "SCOPELINE_CONSOLE_PORT"} <= used
    assert not {name for name in used if f"`{name}`" not in text}
    for variable in ("SCOPELINE_KAFKA_PASSWORD", "SCOPELINE_INFLUXDB_TOKEN", "SCOPELINE_GRAFANA_TOKEN"):
        assert f"`{variable}`" in text


def headings(page: Path) -> set[str]:
    """The anchors of a page."""
    found = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in found}


def test_every_alert_has_its_paragraph_for_operators():
    anchors = headings(ROOT / "docs" / "operate.md")
    asked = set(re.findall(r'anchor="([\w-]+)"', (ROOT / "grafana" / "alerts.py").read_text()))
    asked |= {
        one for page in ("operate.md", "scaling.md") for one in re.findall(r"\]\(#([\w-]+)\)", (ROOT / "docs" / page).read_text())
    }
    assert {"silent-feed", "low-coverage", "lag", "budget", "rule", "watchdog", "influxdb-refuses", "disk"} <= anchors
    assert len(asked) >= 5 and not asked - anchors - headings(ROOT / "docs" / "scaling.md")


def test_exit_codes_of_the_documents_are_those_of_the_code():
    rows = re.findall(r"^\| (\d) \| (.+?) \|", (ROOT / "docs" / "operate.md").read_text(), re.MULTILINE)
    assert [int(code) for code, _ in rows] == [0, 1, 2, EXIT] and "watchdog" in rows[-1][1]
