"""The ingest role's settings: members, what is missing, what is secret."""

from pathlib import Path
from typing import Any

import pytest

from schemas.plant import Plant
from scopeline.cluster import kafka
from scopeline.cluster.ingest import METRICS, Ingest, IngestSettings, member_of
from scopeline.cluster.kafka import KafkaSettings
from scopeline.cluster.roles import signed_in
from scopeline.cluster.topics import specs, topics


def plant(members: int = 1, **log: Any) -> Plant:
    settings = {
        "organisation": "Works",
        "sites": [{"site": "works", "timezone": "UTC"}],
        "brokers": {"hall": {"host": "127.0.0.1", "port": 1, "members": members}, "yard": {"host": "127.0.0.1", "port": 1}},
        "kafka": {"bootstrap_servers": ["127.0.0.1:1"], **log},
    }
    return Plant.model_validate({"settings": settings})


def test_members_come_from_the_host_name() -> None:
    assert member_of(plant(), None, "laptop-7") == 0, "one member: the name means nothing"
    assert member_of(plant(3), None, "ingest-2") == 2
    assert member_of(plant(3), 1, "ingest-2") == 1
    with pytest.raises(IngestSettings, match="--member 0 to --member 2"):
        member_of(plant(3), None, "laptop")
    for stated in (3, -1):
        with pytest.raises(IngestSettings, match="not one of 0 to 2"):
            member_of(plant(3), stated)
    with pytest.raises(IngestSettings, match="not one of 0 to 0"):
        member_of(plant(), 1)


def test_the_second_member_leaves_brokers_of_one_member_alone(tmp_path: Path) -> None:
    assert [line.name for line in Ingest(tmp_path, plant(2), 0).lines] == ["hall", "yard"]
    second = Ingest(tmp_path, plant(2), 1)
    assert [line.name for line in second.lines] == ["hall"]
    assert second.lines[0].label is None, "the plant's first broker has no label"
    assert Ingest(tmp_path, plant(), None).lines[1].label == "yard"


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    bare = plant()
    with pytest.raises(IngestSettings, match="kafka"):
        Ingest(tmp_path, bare.model_copy(update={"settings": bare.settings.model_copy(update={"kafka": None})}))
    with pytest.raises(IngestSettings, match="brokers"):
        Ingest(tmp_path, bare.model_copy(update={"settings": bare.settings.model_copy(update={"brokers": {}})}))
    with pytest.raises(KafkaSettings, match="SCOPELINE_KAFKA_PASSWORD"):
        Ingest(tmp_path, plant(username="u")).start()
    with pytest.raises(KafkaSettings, match="password_file"):
        Ingest(tmp_path, plant(username="u", password_file="nowhere")).start()
    with pytest.raises(KafkaSettings, match=r"kafka\.tls\.ca_file"):
        Ingest(tmp_path, plant(tls={"ca_file": "nowhere.pem"})).start()


def test_settings_of_kafka(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCOPELINE_KAFKA_PASSWORD", "canary-77")
    (tmp_path / "ca.pem").touch()
    found = kafka.producer(plant(username="u", tls={"ca_file": "ca.pem"}).settings.kafka, tmp_path)
    assert found["security_protocol"] == "SASL_SSL"
    assert (found["sasl_mechanism"], found["sasl_plain_password"]) == ("SCRAM-SHA-512", "canary-77")
    assert found["acks"] == "all"
    assert found["enable_idempotence"]
    consumer = kafka.consumer(plant().settings.kafka, tmp_path)
    assert not consumer["enable_auto_commit"]
    assert (consumer["auto_offset_reset"], consumer["isolation_level"]) == ("earliest", "read_committed")


def test_each_process_signs_in_as_its_own_folder_says(tmp_path: Path) -> None:
    """The published plant folder brings feeds and sites, not the user of who published it."""
    published, mine = plant(username="setup", retention="2d"), plant(username="ingest").settings.kafka
    assert mine
    taken = signed_in(published, mine)
    assert taken.settings.kafka == mine and taken.settings.brokers == published.settings.brokers
    assert published.settings.kafka and published.settings.kafka.username == "setup"


def test_topics_and_how_they_are_made() -> None:
    settings = plant(prefix="acme", partitions=4, replication=3, retention="2d").settings.kafka
    assert settings
    assert topics(settings) == ("acme.raw", "acme.ref", "acme.carry", "acme.plant", "acme.process")
    raw, ref, carry, plants = specs(settings)
    assert (raw.partitions, ref.partitions, carry.partitions, plants.partitions) == (4, 1, 4, 1)
    assert all(one.settings["min.insync.replicas"] == "2" for one in specs(settings))
    assert raw.settings["retention.ms"] == str(2 * 86_400_000)
    assert ref.settings["retention.ms"] == "-1"
    assert carry.settings["cleanup.policy"] == plants.settings["cleanup.policy"] == "compact"


def test_problems_are_told_before_anything_answers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "secret").write_text("canary-78\n")
    one = Ingest(tmp_path, plant(username="u", password_file="secret"))
    one.start()
    try:
        assert [problem.key for problem in one.problems if problem.key.startswith("brokers")] == ["brokers.hall", "brokers.yard"]
        assert set(one.metrics) == set(METRICS)
        assert not one.ready
        assert one.alive
    finally:
        assert one.stop(1), "nothing was received, nothing is left"
    assert "canary-78" not in caplog.text + str(one.problems) + str(one.metrics)
