"""Operating a cluster: doctor, replay and the sweep on servers that work, hang or are gone; stopping; exit codes; log lines."""

import json
import subprocess
import sys
import time
from datetime import timedelta

import httpx
import pytest
from live_gauge import STOPS_WITHIN, until

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]


def looked(plant, *arguments):
    """doctor's findings as (severity, about, what), and its exit code."""
    done = plant.command("doctor", "--json", *arguments, check=False)
    return [(one["severity"], one["about"], one["what"]) for one in json.loads(done.stdout)["findings"]], done.returncode


def of(findings, about, severity="ok"):
    return [what for level, place, what in findings if (level, place) == (severity, about)]


def test_doctor_replay_and_sweep_on_a_cluster_that_works(cluster):
    plant = cluster()
    plant.start("ingest").ready()
    worker, console = plant.start("process", {"sweep": 1.0}), plant.start("console")
    gauge = plant.gauge()
    plant.send(gauge, 0, 300)
    assert gauge.drained() and plant.settled()
    assert until(lambda: console.asked("readyz")[0] == 200 or "API" in console.said())
    findings, code = looked(plant)
    assert not of(findings, "kafka", "error") and len([what for what in of(findings, "kafka") if what.startswith("topic ")]) == 4
    held = of(findings, "process")
    assert len(held) == 2 and all("0 records behind" in what and "held by" in what for what in held), held
    assert any("sessions, mosquitto version" in what for what in of(findings, "broker"))
    assert len([what for what in of(findings, "influxdb") if "may read and write" in what]) == 3, findings
    assert any("is in force at all workers" in what for what in of(findings, "plant"))
    assert len(of(findings, "clock")) == 2 and of(findings, "versions") and of(findings, "quarantine") and of(findings, "source")
    assert any("no member" in what for what in of(findings, "archive", "warning")) and code == 1, "no archiver runs"

    given = ("--from", (plant.begin - timedelta(hours=1)).isoformat(), "--to", (plant.begin + timedelta(hours=6)).isoformat())
    same = plant.command("replay", *given)
    assert "0 readings and 0 figures changed" in same.stdout and "InfluxDB holds the same" in same.stdout

    asked = {"db": plant.prefix, "q": 'DELETE FROM "figures" WHERE "source"=\'trucks-north\''}
    headers = {"Authorization": f"Token {plant.influx.token}"}
    httpx.post(f"{plant.influx.url}/query", data=asked, headers=headers).raise_for_status()
    assert until(lambda: worker.metric("scopeline_process_corrected_total") > 0, 180, every=0.5), worker.said()[-2000:]
    assert "differed and are written again" in worker.said()
    assert until(lambda: plant.command("replay", *given, check=False).returncode == 0), "the sweep has put it right"

    worker.stop()
    httpx.post(f"{plant.influx.url}/query", data=asked, headers=headers).raise_for_status()
    differs = plant.command("replay", *given, "--json", check=False)
    store = json.loads(differs.stdout)["influxdb"]
    assert (
        differs.returncode == 1 and store["missing"] > 0 and not store["extra"] and store["first"][0]["source"] == "trucks-north"
    )

    assert console.stop() == 0
    out = plant.folder / "figures.csv"
    plant.command("export", *given, "--interval", "all", "--out", str(out))
    assert out.read_text().count("\n") > 3 and plant.command("messages", *given).stdout.count("\n") >= 300
    assert "Nothing is quarantined" in (done := plant.command("quarantine", "list")).stdout + done.stderr
    refused = plant.command("replay", *given, check=False)
    assert refused.returncode == 1 and "run --role console" in refused.stderr
    findings, _ = looked(plant)
    assert any("no console follows the log" in what for what in of(findings, "console", "warning"))
    assert of(findings, "process", "error")


def test_doctor_ends_where_no_server_answers(cluster, proxy, mosquitto, kafka, influxdb):
    ways = [proxy(port) for port in (mosquitto.port, int(kafka.rpartition(":")[2]), int(influxdb.url.rpartition(":")[2]))]
    for way in ways:
        way.black_hole()
    there = influxdb._replace(url=f"http://127.0.0.1:{ways[2].port}")
    plant = cluster(mqtt=ways[0].port, at=f"127.0.0.1:{ways[1].port}", influx=there, setup=False)
    begun = time.monotonic()
    findings, code = looked(plant)
    assert code == 1 and time.monotonic() - begun < 60, "15 s, and the start of a command on a loaded machine"
    for about in ("broker", "kafka", "influxdb"):
        assert of(findings, about, "error"), about
    assert of(findings, "archive", "error") and of(findings, "versions"), "the others went on"
    assert any("no console has run here" in what for what in of(findings, "console", "note"))


def stopped(role):
    """Its exit code; subprocess.TimeoutExpired where it takes longer than promised."""
    return role.stop(STOPS_WITHIN)


def test_every_role_stops_amid_outages(cluster, server_kit):
    broken, store = server_kit.start_kafka(), server_kit.start_influxdb()
    plant = cluster(at=broken.address, influx=store)
    ingest, worker, console = plant.start("ingest").ready(), plant.start("process").ready(), plant.start("console")
    assert until(lambda: "API" in console.said())
    gauge = plant.gauge()
    plant.send(gauge, 0, 200)
    assert gauge.drained() and plant.settled()
    store.kill()
    plant.send(gauge, 200, 100)
    assert until(lambda: "cannot be reached" in worker.asked("readyz")[1]), worker.asked("readyz")
    assert stopped(worker) == 0, "amid an outage of InfluxDB"
    store.start()
    worker.start()
    assert until(lambda: "cannot" not in worker.asked("readyz")[1] and plant.behind() == 0, 180)
    broken.kill()
    plant.send(gauge, 300, 100)
    assert until(lambda: ingest.asked("readyz")[0] == 503), "people are told"
    assert [stopped(role) for role in (ingest, worker, console)] == [0, 0, 0], "amid an outage of Kafka"
    begun = time.monotonic()
    for role in (ingest, worker):
        role.start()
    assert until(lambda: "cannot be used" in worker.asked("readyz")[1])
    assert until(lambda: ingest.asked("readyz")[0] == 503 and "cannot be used" in worker.said_now())
    said, most = worker.said_now(), 1 + (time.monotonic() - begun) // 30
    assert 1 <= said.count("cannot be used") <= most and "Traceback" not in said, "once, then at growing intervals"
    assert [stopped(ingest), stopped(worker)] == [0, 0], "without Kafka from the start"
    assert console.start().wait() == 1 and "cannot be used" in console.said_now(), "a supervisor starts it again"
    broken.start()
    worker.start(SCOPELINE_LOG_FORMAT="json").ready()
    assert stopped(worker) == 0
    said = worker.said_now().splitlines()
    assert all(line.startswith("{") for line in said), said
    lines = [json.loads(line) for line in said]
    assert len(lines) >= 3 and all({"time", "level", "logger", "message"} <= line.keys() for line in lines)


def test_a_worker_stops_amid_catching_up_and_goes_on_afterwards(cluster):
    plant = cluster(window=240)
    ingest, gauge = plant.start("ingest").ready(), plant.gauge()
    for start in range(0, 6000, 1000):
        plant.send(gauge, start, 1000)
    assert gauge.drained()
    assert stopped(ingest) == 0
    worker = plant.start("process")
    assert until(lambda: "partition 0: at" in worker.said())
    assert stopped(worker) == 0
    worker.start()
    plant.check([gauge])
    assert stopped(worker) == 0


def test_exit_codes(tmp_path):
    main = [sys.executable, "-c", "from scopeline.cli import main; main()", "run", "--profile", "cluster"]
    (tmp_path / "plant.yaml").write_text("organisation: a\nsites: [{site: works, timezone: UTC}]\n")
    wrong = subprocess.run([*main, "--role", "process", "--plant", str(tmp_path)], capture_output=True, text=True)
    assert wrong.returncode == 1 and "lacks kafka:" in wrong.stderr
    assert subprocess.run([*main, "--plant", str(tmp_path / "none")], capture_output=True).returncode == 2
    assert subprocess.run([*main, "--role", "nobody", "--plant", str(tmp_path)], capture_output=True).returncode == 2
    code = "from scopeline import logs; from scopeline.cluster.watchdog import end; logs.setup('json'); end('it hangs')"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 3 and json.loads(ended.stderr)["level"] == "critical"
