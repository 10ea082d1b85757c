"""How to reach Kafka: what plant.yaml's `kafka:` says as settings of the client library, with the defaults that lose data set."""

from pathlib import Path
from typing import Any

from schemas.connections import Kafka, Tls
from scopeline.plant import secret

PASSWORD = "SCOPELINE_KAFKA_PASSWORD"


class KafkaSettings(Exception):
    """A connection that cannot be tried; the text names key and remedy."""


def connection(kafka: Kafka, plant_dir: Path) -> dict[str, Any]:
    """Servers, TLS and SASL, for every client (producer, consumer, admin). The dictionary may hold a password: never print it.

    Raises KafkaSettings where a file that is named cannot be read.

    >>> connection(Kafka(bootstrap_servers=("localhost:9092",)), Path())
    {'bootstrap_servers': ['localhost:9092'], 'security_protocol': 'PLAINTEXT'}
    """
    settings: dict[str, Any] = {"bootstrap_servers": list(kafka.bootstrap_servers)}
    secure = kafka.tls is not None
    if kafka.username is not None:
        settings |= {
            "security_protocol": "SASL_SSL" if secure else "SASL_PLAINTEXT",
            "sasl_mechanism": kafka.mechanism,
            "sasl_plain_username": kafka.username,
            "sasl_plain_password": _password(kafka, plant_dir),
        }
    else:
        settings["security_protocol"] = "SSL" if secure else "PLAINTEXT"
    return settings | (_tls(kafka.tls, plant_dir) if kafka.tls else {})


def producer(kafka: Kafka, plant_dir: Path) -> dict[str, Any]:
    """Settings of a producer that loses nothing: acks of all copies, idempotent, no topic made by a misspelt name."""
    return connection(kafka, plant_dir) | {
        "acks": "all",
        "enable_idempotence": True,
        "max_in_flight_requests_per_connection": 5,
        "allow_auto_create_topics": False,
    }


def consumer(kafka: Kafka, plant_dir: Path) -> dict[str, Any]:
    """Settings of a consumer that skips nothing: no commit by itself, from the earliest record, committed records only."""
    return connection(kafka, plant_dir) | {
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "isolation_level": "read_committed",
        "reconnect_backoff_max_ms": 5_000,
        "allow_auto_create_topics": False,
    }


def _password(kafka: Kafka, plant_dir: Path) -> str:
    try:
        found = secret(plant_dir, kafka.password_file, PASSWORD)
    except OSError as error:
        raise KafkaSettings(
            f"kafka.password_file: {kafka.password_file} cannot be read ({error.strerror}). "
            f"Write the password into that file, or set {PASSWORD}."
        ) from None
    if found is None:
        raise KafkaSettings(f"kafka.username is set, but there is no password: set password_file, or {PASSWORD}.")
    return found.get_secret_value()


def _tls(tls: Tls, plant_dir: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"ssl_check_hostname": True}
    for key, setting in (("ca_file", "ssl_cafile"), ("cert_file", "ssl_certfile"), ("key_file", "ssl_keyfile")):
        name = getattr(tls, key)
        if name is None:
            continue
        if not (plant_dir / name).is_file():
            raise KafkaSettings(
                f"kafka.tls.{key}: there is no file {plant_dir / name}. Put the PEM file there, or correct the path."
            )
        found[setting] = str(plant_dir / name)
    return found
