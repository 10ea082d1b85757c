"""Errors of Kafka in words that name the server, the topic and the remedy."""

from collections.abc import Iterator
from contextlib import contextmanager

from kafka import KafkaConsumer, errors

from schemas.connections import Kafka

PATIENCE_MS = 6_000
"""How long a command waits for a Kafka server that does not answer."""


class KafkaProblem(Exception):
    """Kafka cannot be reached, or refuses; the text says what to do."""


_REMEDIES: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    (
        (errors.UnknownTopicOrPartitionError,),
        "there is no topic {topic}: make it with `scopeline setup`, or let this user see it",
    ),
    (
        (errors.TopicAuthorizationFailedError,),
        "this user may not use {topic}: allow it at the server (docs/operate.md lists the rights)",
    ),
    (
        (errors.SaslAuthenticationFailedError,),
        "user or password is refused: correct kafka.username or kafka.password_file",
    ),
)


@contextmanager
def reaching(kafka: Kafka, topic: str) -> Iterator[None]:
    """Whatever Kafka raises inside becomes a KafkaProblem."""
    try:
        yield
    except (errors.KafkaError, OSError, ValueError) as error:
        servers = ", ".join(kafka.bootstrap_servers)
        for kinds, text in _REMEDIES:
            if isinstance(error, kinds):
                raise KafkaProblem(f"Kafka at {servers}: {text.format(topic=topic)}") from error
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        keys = [key for key in ("username", "password_file", "tls") if getattr(kafka, key)]  # the library says none of these
        also = f" ({', '.join(['bootstrap_servers', *keys])})" if keys else ""
        remedy = f"Start it, or correct kafka: in plant.yaml{also}."
        raise KafkaProblem(f"Kafka at {servers} cannot be used ({what}). {remedy}") from error


def needed(consumer: KafkaConsumer, topic: str) -> int:
    """How many partitions a topic has, asked before anything waits for it; closes the consumer where there is none."""
    if topic not in consumer.topics():
        consumer.close()
        raise errors.UnknownTopicOrPartitionError(topic)
    return len(consumer.partitions_for_topic(topic) or ())
