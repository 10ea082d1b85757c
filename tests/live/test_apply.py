"""apply on a real Kafka: what is published, refused, and when the workers have changed over."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from typer.testing import CliRunner, Result

from schemas.connections import Kafka
from scopeline.cli import app
from scopeline.cluster.plant_record import decode
from scopeline.cluster.plant_topic import PlantTopic, PlantTopicError, Reader, publish
from scopeline.cluster.setup import kafka_topics
from scopeline.plant import fingerprint

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

SECRET = "pass-word-2718"


@pytest.fixture
def settings(kafka: str, unique: str) -> Kafka:
    return Kafka(bootstrap_servers=(kafka,), prefix=unique, partitions=2)


@pytest.fixture
def works(tmp_path: Path, settings: Kafka) -> Path:
    """A plant folder of the cluster profile."""
    folder = tmp_path / "works"
    for name in ("feeds", "sources", "secrets", "factors"):
        (folder / name).mkdir(parents=True)
    (folder / "secrets" / "mqtt").write_text(SECRET)
    (folder / "plant.yaml").write_text(f"""
organisation: Acme
sites: [{{site: duisburg, timezone: Europe/Berlin}}]
reporting: {{base_interval: 15m}}
profile: cluster
brokers: {{local: {{host: 127.0.0.1, username: u, password_file: secrets/mqtt}}}}
kafka: {{bootstrap_servers: ["{settings.bootstrap_servers[0]}"], prefix: {settings.prefix}, partitions: 2}}
influxdb: {{url: "http://127.0.0.1:1", org: scopeline, bucket: {settings.prefix}, token_file: secrets/influxdb}}
archive: {{path: archive}}
""")
    (folder / "feeds" / "gas.yaml").write_text("""
feed: gas
topic: acme/gas
decoder: json
meter: duisburg/boiler
channels: [{channel: gas, value: "$.kwh", unit: kWh_gross, kind: counter}]
""")
    (folder / "sources" / "boiler.yaml").write_text(source("own/gas"))
    (folder / "factors" / "own.csv").write_text(
        "factor_id,activity,region,scope,gas,value,unit,per_unit,basis,boundary,valid_from,valid_to,published,gwp_set,"
        "uncertainty_pct,citation\n"
        "gas,Gas,,1,CO2,0.18,kg,kWh_gross,,,2020-01-01,,2020-01-01,,,lab\n"
        "later,Gas,,1,CO2,0.18,kg,kWh_gross,,,2020-01-01,2025-12-31,2020-01-01,,,lab\n"
        "later,Gas,,1,CO2,0.17,kg,kWh_gross,,,2026-01-01,,2026-01-01,,,lab\n"
    )
    return folder


def source(factor: str) -> str:
    return f"""
source: boiler
site: duisburg
scope: 1
category: stationary_combustion
measured_by: "duisburg/boiler:gas"
factor: {{id: {factor}}}
"""


@pytest.fixture
def made(works: Path, settings: Kafka) -> Path:
    list(kafka_topics(settings, works))
    return works


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def records(settings: Kafka) -> list[Any]:
    """Everything in the plant topic."""
    place = TopicPartition(f"{settings.prefix}.plant", 0)
    reader = KafkaConsumer(bootstrap_servers=list(settings.bootstrap_servers), auto_offset_reset="earliest")
    reader.assign([place])
    reader.seek_to_beginning(place)
    end, found = reader.end_offsets([place])[place], []
    while reader.position(place) < end:
        found += reader.poll(timeout_ms=500).get(place, [])
    reader.close()
    return found


def put(settings: Kafka, key: bytes, value: bytes) -> None:
    sender = KafkaProducer(bootstrap_servers=list(settings.bootstrap_servers))
    sender.send(f"{settings.prefix}.plant", key=key, value=value).get(timeout=90)
    sender.close()


def test_unreachable_servers_are_named(works: Path, monkeypatch):
    text = (works / "plant.yaml").read_text()
    (works / "plant.yaml").write_text(text.replace(text.split('["')[1].split('"]')[0], "127.0.0.1:1"))
    for command in ("setup", "apply"):
        done = run(command, "--plant", str(works))
        assert done.exit_code == 1 and "Kafka at 127.0.0.1:1" in done.output, done.output


def test_apply_before_setup_says_so(works: Path, settings: Kafka):
    done = run("apply", "--plant", str(works))
    assert done.exit_code == 1 and f"there is no topic {settings.prefix}.plant: make it with `scopeline setup`" in done.output


def test_apply_twice_publishes_once(made: Path, settings: Kafka):
    first = run("apply", "--plant", str(made))
    assert first.exit_code == 0, first.output
    assert "source boiler: new" in first.output and "Published as version 000001-" in first.output
    again = run("apply", "--plant", str(made))
    assert again.exit_code == 0 and "nothing changes" in again.output
    (record,) = records(settings)
    assert decode(record.key, record.value).fingerprint == fingerprint(made)


def test_dry_run_publishes_nothing_and_says_from_when_on(made: Path, settings: Kafka):
    assert run("apply", "--plant", str(made)).exit_code == 0
    (made / "sources" / "boiler.yaml").write_text(source("own/later"))
    done = run("apply", "--plant", str(made), "--dry-run", "--json")
    (change,) = [one for one in json.loads(done.stdout)["changes"] if one["what"] == "source"]
    assert change["change"] == "changed" and len(records(settings)) == 1


def test_from_refuses_to_change_what_was_reported(made: Path, settings: Kafka):
    assert run("apply", "--plant", str(made)).exit_code == 0
    own = made / "factors" / "own.csv"
    own.write_text(
        own.read_text().replace(
            "gas,Gas,,1,CO2,0.18,kg,kWh_gross,,,2020-01-01,,2020", "gas,Gas,,1,CO2,0.18,kg,kWh_gross,,,2020-01-01,2025-12-31,2020"
        )
        + "gas,Gas,,1,CO2,0.16,kg,kWh_gross,,,2026-01-01,,2026-01-01,,,lab\n"
    )
    dated = run("apply", "--plant", str(made), "--dry-run")
    assert "source boiler: changed, from 2025-12-31 23:00 UTC on" in dated.output, dated.output
    refused = run("apply", "--plant", str(made), "--from", "2026-02")
    assert refused.exit_code == 1 and "source boiler from 2025-12-31 23:00 UTC on" in refused.output
    assert len(records(settings)) == 1
    assert run("apply", "--plant", str(made), "--from", "2026-01").exit_code == 0
    (made / "feeds" / "gas.yaml").write_text((made / "feeds" / "gas.yaml").read_text().replace("$.kwh", "$.gas"))
    refused = run("apply", "--plant", str(made), "--from", "2026-01")
    assert refused.exit_code == 1 and "feed gas from the beginning" in refused.output


def test_a_broken_folder_is_not_published(made: Path, settings: Kafka):
    (made / "feeds" / "gas.yaml").write_text("feed: gas\ntopic: acme/gas\ndecoder: nonsense\n")
    done = run("apply", "--plant", str(made))
    assert done.exit_code == 1 and "Nothing was published" in done.output and not records(settings)


def test_secrets_stay_where_they_are(made: Path, settings: Kafka):
    assert run("apply", "--plant", str(made)).exit_code == 0
    (record,) = records(settings)
    found = decode(record.key, record.value)
    assert set(found.files) == {"plant.yaml", "feeds/gas.yaml", "sources/boiler.yaml", "factors/own.csv"}
    assert not any(SECRET.encode() in data for data in found.files.values())
    (made / "plant.yaml").write_text((made / "plant.yaml").read_text().replace("secrets/mqtt", "meters/mqtt.csv"))
    (made / "meters").mkdir()
    (made / "meters" / "mqtt.csv").symlink_to(made / "secrets" / "mqtt")
    with pytest.raises(PlantTopicError, match=r"meters/mqtt\.csv is a secret"):
        publish(settings, made)
    assert len(records(settings)) == 1


def test_two_operators_do_not_overwrite_each_other(made: Path, settings: Kafka, tmp_path: Path):
    import shutil

    assert run("apply", "--plant", str(made)).exit_code == 0
    other = shutil.copytree(made, tmp_path / "other")
    (made / "sources" / "boiler.yaml").write_text(source("own/later"))
    assert run("apply", "--plant", str(made)).exit_code == 0
    (other / "feeds" / "gas.yaml").write_text((other / "feeds" / "gas.yaml").read_text() + "# theirs\n")
    refused = run("apply", "--plant", str(other))
    assert refused.exit_code == 1 and "Take their changes over" in refused.output and len(records(settings)) == 2
    assert run("apply", "--plant", str(other), "--force").exit_code == 0 and len(records(settings)) == 3


def test_of_two_at_the_same_instant_one_wins_everywhere(made: Path, settings: Kafka, tmp_path: Path):
    import shutil

    folders = [shutil.copytree(made, tmp_path / f"f{number}") for number in range(4)]
    for number, folder in enumerate(folders):
        (folder / "feeds" / "gas.yaml").write_text((made / "feeds" / "gas.yaml").read_text() + f"# {number}\n")
    ready, outcomes = threading.Barrier(len(folders)), []

    def one(folder: Path) -> None:
        ready.wait()
        try:
            outcomes.append(publish(settings, folder, onto="")[0].version)
        except PlantTopicError as problem:
            outcomes.append(str(problem))

    threads = [threading.Thread(target=one, args=(folder,)) for folder in folders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    won = [text for text in outcomes if text.startswith("000001-") and "published" not in text]
    assert len(outcomes) == 4 and len(won) == 1, outcomes
    reader = Reader(settings, made)
    assert reader.to_end() is not None and reader.newest and reader.newest.version == won[0]
    reader.close()


def test_a_worker_follows_and_survives_bad_records(made: Path, settings: Kafka, tmp_path: Path, until: Any):
    follower = PlantTopic(settings, made, tmp_path / "state")
    assert follower.current() is None
    first, _ = publish(settings, made)
    taken = until(lambda: follower.poll(0.2))
    assert taken and taken.version == first.version and fingerprint(taken.folder) == fingerprint(made)
    assert taken.plant.settings.organisation == "Acme" and not (taken.folder / "secrets").exists()
    for key, value in (
        (b"junk", b"x"),
        (b"000007-aaaaaaaaaaaa", records(settings)[0].value[:-9]),
        (b"000008-bbbbbbbbbbbb", b"\x1f\x8b"),
    ):
        put(settings, key, value)
    assert until(lambda: follower.poll(0.3) or "000008-bbbbbbbbbbbb" in str(follower.problem))
    assert follower.current().version == first.version and "damaged" in str(follower.problem)
    (made / "feeds" / "gas.yaml").write_text((made / "feeds" / "gas.yaml").read_text() + "# more\n")
    mended, fresh = publish(settings, made)
    assert fresh and mended.number == 9
    taken = until(lambda: follower.poll(0.2))
    assert taken and taken.version == mended.version and follower.problem is None
    assert {path.name for path in (tmp_path / "state" / "plant").iterdir()} == {first.version, mended.version}
    follower.close()
    another = PlantTopic(settings, made, tmp_path / "new")
    assert another.current().version == mended.version
    another.close()


def test_apply_waits_until_every_partition_has_changed_over(made: Path, settings: Kafka):
    sender = KafkaProducer(bootstrap_servers=list(settings.bootstrap_servers))
    for number in range(2):
        sender.send(f"{settings.prefix}.raw", value=b"1", partition=number).get(timeout=90)
    sender.close()
    alone = run("apply", "--plant", str(made))
    assert alone.exit_code == 1 and "no worker runs: partitions 0 (never processed), 1 (never processed)" in alone.output
    version = (made / ".scopeline" / "applied").read_text().strip()

    stop = threading.Event()
    worker = threading.Thread(target=changes_over, args=(settings, version, stop))
    worker.start()
    try:
        done = run("apply", "--plant", str(made), "--timeout", "120", "--json")
    finally:
        stop.set()
        worker.join(90)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["workers"] == {"complete": True, "waiting": {}, "workers": 1}


def changes_over(settings: Kafka, version: str, stop: threading.Event) -> None:
    """Stands for a worker: commits the version, one partition after the other."""
    worker = KafkaConsumer(
        bootstrap_servers=list(settings.bootstrap_servers), group_id=f"{settings.prefix}.process", enable_auto_commit=False
    )
    worker.subscribe([f"{settings.prefix}.raw"])
    told: set[TopicPartition] = set()
    while not stop.is_set():
        worker.poll(timeout_ms=300)
        for place in sorted(worker.assignment() - told, key=lambda one: one.partition)[:1]:
            worker.commit({place: OffsetAndMetadata(0, json.dumps({"ref": 0, "plant": version}), -1)})
            told.add(place)
    worker.close()
