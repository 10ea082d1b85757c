"""What the commands of the cluster profile share: the plant's connections, and problems of servers as messages."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.plant import PlantFile
from scopeline.cli.options import existing, fail

_EXAMPLES = {
    "kafka": "kafka: {bootstrap_servers: ['localhost:9092']}",
    "influxdb": "influxdb: {url: 'http://localhost:8086', org: acme, bucket: scopeline, token_file: secrets/influxdb}",
    "archive": "archive: {path: archive}",
}


def settings_of(plant: Path, *needed: str) -> tuple[Path, PlantFile]:
    """The plant folder and its plant.yaml; leaves with the remedy where it cannot be read, or lacks one of these keys."""
    from scopeline.plant import read

    folder = existing(plant)
    found = read(folder)
    if found.readable is None:
        fail("\n".join(str(problem) for problem in found.problems if problem.severity == "error"), 1)
    settings = found.readable.settings
    for key in needed:
        if getattr(settings, key) is None:
            fail(f"plant.yaml has no `{key}:`, which this command needs. Add like: {_EXAMPLES[key]}", 2)
    return folder, settings


@contextmanager
def problems() -> Iterator[None]:
    """Whatever a server or its settings say becomes a message and exit code 1."""
    from scopeline.cluster.history import HistoryMissing
    from scopeline.cluster.kafka import KafkaSettings
    from scopeline.cluster.plant_record import PlantTopicError
    from scopeline.cluster.reach import KafkaProblem
    from scopeline.cluster.vault import VaultProblem
    from sinks.influx import InfluxProblem

    try:
        yield
    except (KafkaProblem, KafkaSettings, PlantTopicError, VaultProblem, InfluxProblem, HistoryMissing) as problem:
        fail(str(problem), 1)
