"""The peer of ingest: Telegraf from MQTT to Kafka, persistent session, QoS 1, acknowledged after Kafka, payloads as they are."""

import os
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from kafka import KafkaConsumer, TopicPartition

from scopeline.bench.measure import Failed, Measured

CONFIGURATION = """\
[agent]
  interval = "1s"
  flush_interval = "100ms"
  metric_batch_size = 1000
  metric_buffer_limit = 200000
  omit_hostname = true
  quiet = true
[[inputs.mqtt_consumer]]
  servers = ["tcp://{host}:{port}"]
  topics = ["{prefix}/works/+"]
  qos = 1
  persistent_session = true
  client_id = "{client}"
  max_undelivered_messages = 5000
  data_format = "value"
  data_type = "string"
[[outputs.kafka]]
  brokers = ["{kafka}"]
  topic = "{topic}"
  required_acks = -1
  compression_codec = 3
  data_format = "json"
"""
WITHIN = 300.0
_START = "import os, sys; os.execvp(sys.argv[1], sys.argv[1:])"


class Drained(NamedTuple):
    """What Telegraf took, its start (some tens of milliseconds) included."""

    messages: int
    cpu_s: float
    wall_s: float
    peak_mb: float


def drain(telegraf: str, mqtt: tuple[str, int], kafka: str, prefix: str, client: str, topic: str, messages: int) -> Drained:
    """Let Telegraf empty the session `client`, which holds so many messages, into a topic of one partition."""
    with tempfile.TemporaryDirectory(prefix="scopeline-bench-") as folder:
        file = Path(folder) / "telegraf.conf"
        host, port = mqtt
        file.write_text(CONFIGURATION.format(host=host, port=port, prefix=prefix, client=client, kafka=kafka, topic=topic))
        place = TopicPartition(topic, 0)
        consumer = KafkaConsumer(bootstrap_servers=kafka)
        begun = time.perf_counter()
        try:
            with Measured(["-c", _START, telegraf, "--config", str(file)]) as process:
                while (there := int(consumer.end_offsets([place])[place])) < messages:
                    if time.perf_counter() - begun > WITHIN:
                        raise Failed(f"Telegraf has sent {there} of {messages} messages: {process.last_words()}")
                    time.sleep(0.05)
                wall = time.perf_counter() - begun
                process.interrupt()
                _, cost = process.end(60)
        finally:
            consumer.close()
    return Drained(messages, cost.cpu_s, wall, cost.peak_mb)


def found(telegraf: str | None) -> str | None:
    """The program, given or on PATH; None where there is none. Failed where the given one cannot be run."""
    import shutil

    if telegraf and not os.access(telegraf, os.X_OK):
        raise Failed(f"--telegraf {telegraf}: cannot be run")
    return telegraf or shutil.which("telegraf")
