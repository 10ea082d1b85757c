"""compose.yaml by an operator's eye: hardened, pinned, secrets as files, nothing open that need not be."""

import re
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from scopeline.cli import app

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
LOCAL = re.compile(r"^(127\.0\.0\.1|\$\{SCOPELINE_MQTT_ADDRESS:-127\.0\.0\.1\}):")
SERVERS = {"mosquitto", "kafka", "influxdb", "grafana"}
OURS = {"setup", "tokens", "ingest", "process", "archive", "console"}
ONCE = {"secrets", "setup", "tokens"}


def test_everything_that_the_profile_needs_is_there(compose: dict[str, Any]):
    assert set(compose["services"]) == SERVERS | OURS | {"secrets"}


def test_every_service_is_hardened(compose: dict[str, Any]):
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert re.fullmatch(r"\d+[mg]", service["mem_limit"]), name
        assert service["pids_limit"] > 0 and service["stop_grace_period"] in ("10s", "30s"), name
        assert service["restart"] == ("no" if name in ONCE else "unless-stopped"), name
        assert service["logging"]["options"] == {"max-size": "10m", "max-file": "5"}, name
        assert "privileged" not in service and "pid" not in service and service.get("network_mode") in (None, "none"), name


def test_only_what_hands_secrets_over_is_root(compose: dict[str, Any]):
    for name, service in compose["services"].items():
        root = str(service.get("user", "10001")).startswith("0")
        assert root == (name in ("secrets", "tokens")), name
        assert service.get("cap_add", []) == (["CHOWN", "DAC_OVERRIDE"] if root else []), name


def test_images_are_pinned(compose: dict[str, Any]):
    for name, service in compose["services"].items():
        assert re.fullmatch(r"[\w./-]+:\d+\.\d+\.\d+", service["image"]), f"{name}: {service['image']}"


def test_nothing_is_published_beyond_this_machine(compose: dict[str, Any]):
    published = {name: port for name, service in compose["services"].items() for port in service.get("ports", [])}
    assert set(published) == {"mosquitto", "grafana", "console"}
    for name, port in published.items():
        assert LOCAL.match(port), f"{name}: {port}"
        assert name == "mosquitto" or port.startswith("127.0.0.1:"), f"{name}: only MQTT may go beyond this machine"


def test_zones(compose: dict[str, Any]):
    networks = compose["networks"]
    inner = {name for name, one in networks.items() if one and one.get("internal")}
    assert inner == {"broker", "log", "store"}
    seen = {name: set(service.get("networks", [])) for name, service in compose["services"].items()}
    assert seen["kafka"] == {"log"} and seen["influxdb"] == {"store"}
    assert {name for name, nets in seen.items() if "edge" in nets} == {"mosquitto", "grafana", "console"}
    assert {name for name, nets in seen.items() if "store" in nets} == {"influxdb", "grafana", "setup", "tokens", "process"}
    assert "broker" not in seen["process"] | seen["console"] | seen["archive"]


def test_what_serves_is_watched_and_waited_for(compose: dict[str, Any]):
    services = compose["services"]
    for name, service in services.items():
        test = service.get("healthcheck", {})
        if name in SERVERS:
            assert test["test"][0] == "CMD" and test["interval"] and test["timeout"] and test["retries"], name
        for other, how in service.get("depends_on", {}).items():
            once = other in ONCE
            assert how["condition"] == ("service_completed_successfully" if once else "service_healthy"), f"{name} {other}"
    after = {name: set(service.get("depends_on", {})) for name, service in services.items()}
    assert {"kafka", "influxdb"} <= after["setup"] and "setup" in after["tokens"] and "tokens" in after["process"]
    for name in ("ingest", "archive", "console"):
        assert "setup" in after[name], name


def test_volumes_are_named_or_files_that_exist(compose: dict[str, Any]):
    looked = set()
    for name, service in compose["services"].items():
        for volume in service.get("volumes", []):
            source, target, *mode = re.fullmatch(r"(\$\{[^}]*\}|[^:]+):([^:]+)(?::(ro))?", volume).groups()
            if source.startswith("${PLANT"):
                assert target == "/plant" and mode == ["ro"], f"{name}: the plant folder is only read"
                source = source.split(":-")[1].rstrip("}")
            if source.startswith("."):
                assert (DEPLOY / source).exists(), f"{name}: {source}"
                assert mode == ["ro"], f"{name}: {volume}: files of the repository are only read"
                looked.add(source)
            else:
                assert source in compose["volumes"], f"{name}: {source}"
    assert {"./mosquitto", "./kafka", "./influxdb", "./example/plant"} <= looked


def test_state_and_secrets_are_of_one_service_each(compose: dict[str, Any]):
    users: dict[str, set[str]] = {}
    for name, service in compose["services"].items():
        for volume in service.get("volumes", []):
            users.setdefault(volume.split(":")[0], set()).add(name)
    states = {v for name, s in compose["services"].items() for v in s.get("volumes", []) if v.endswith("/plant/.scopeline")}
    assert len(states) == 5 and all(len(users[state.split(":")[0]]) == 1 for state in states)
    reading = {
        volume: {n for n in who if f"{volume}:/run/secrets:ro" in compose["services"][n]["volumes"]}
        for volume, who in users.items()
        if volume.startswith("secrets-")
    }
    assert reading == {
        "secrets-mosquitto": {"mosquitto"},
        "secrets-influxdb": {"influxdb"},
        "secrets-grafana": {"grafana"},
        "secrets-setup": {"setup", "tokens"},
        "secrets-ingest": {"ingest"},
        "secrets-process": {"process"},
    }


def test_no_secret_stands_in_the_file(compose: dict[str, Any]):
    looked = 0
    for name, service in compose["services"].items():
        for key, value in service.get("environment", {}).items():
            looked += 1
            if re.search(r"PASSWORD|TOKEN|SECRET", key):
                assert key.endswith("_FILE") and value.startswith("/run/secrets/"), f"{name}: {key}"
    assert looked > 15
    files = {entry["file"] for entry in compose["secrets"].values()}
    assert files == {f"secrets/{name}" for name in compose["services"]["secrets"]["secrets"]}
    assert "deploy/secrets/" in (ROOT / ".gitignore").read_text().splitlines()


def test_every_secret_that_is_named_is_handed_over(compose: dict[str, Any]):
    handed = set(re.findall(r"give \d+ (\w+) (\w+)/(\w+)", compose["services"]["secrets"]["command"][0]))
    assert {source for source, _, _ in handed} == set(compose["secrets"])
    by_volume = {(to, file) for _, to, file in handed}
    for name in ("influxdb", "grafana"):
        for key, value in compose["services"][name]["environment"].items():
            if key.endswith("_FILE"):
                assert (name, Path(value).name) in by_volume, f"{name}: {key}"
    assert {("ingest", "mqtt_password"), ("setup", "influxdb_token"), ("mosquitto", "mosquitto_passwords")} <= by_volume


def test_grafana_gets_the_dashboards_of_this_plant_and_its_own_token(compose: dict[str, Any], tmp_path: Path):
    services = compose["services"]
    assert "provisioning:/etc/grafana/provisioning:ro" in services["grafana"]["volumes"]
    assert "provisioning:/provisioning" in services["setup"]["volumes"]
    assert "scopeline grafana write /provisioning --plant /plant" in services["setup"]["command"][0]
    words = ["grafana", "write", str(tmp_path), "--plant", str(DEPLOY / "example" / "plant")]
    assert CliRunner().invoke(app, words).exit_code == 0
    source = (tmp_path / "datasources" / "scopeline.yaml").read_text()
    assert "$__file{/run/secrets/influxdb_token}" in source, "the reading token, which influx_tokens.py makes"
    assert "http://influxdb:8086" in source and list((tmp_path / "dashboards").rglob("*.json"))
