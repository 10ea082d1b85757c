"""`scopeline archive`: the raw log to Parquet for good."""

import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from scopeline.cli.cluster import problems, settings_of
from scopeline.cli.options import LogFormat, LogLevel, Plant, counted, fail
from scopeline.logs import say, setup


def command(
    follow: Annotated[bool, typer.Option("--follow", help="Go on until stopped: as a service.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Up to the end of the log, then stop (the default).")] = False,
    every: Annotated[float, typer.Option(metavar="SECONDS", min=1, help="With --follow: write at least so often.")] = 300,
    member: Annotated[
        str | None, typer.Option(metavar="NAME", help="A name that no other archiver has: after a crash it goes on at once.")
    ] = None,
    metrics_port: Annotated[
        int | None, typer.Option("--metrics-port", metavar="PORT", min=0, max=65535, help="With --follow: /metrics on localhost.")
    ] = None,
    log_format: LogFormat = "text",
    log_level: LogLevel = "info",
    plant: Plant = Path("."),
) -> None:
    """Copy the raw log of the cluster profile into Parquet files by site and day: `archive:` in plant.yaml, a folder or s3://.

    A file is durable and was read back before Kafka is told that its messages are archived, so nothing is lost and nothing is
    archived twice for those who read, whenever this is killed. Small files of days that are over are merged into one by site, day
    and partition. Several may run: they share the partitions. Workers need the archive to recompute what is older than the log.

    **Examples**

    ```sh
    scopeline archive --plant works
    scopeline archive --plant works --follow --metrics-port 9108
    ```
    """
    from scopeline.cluster.archive import METRICS, Archiver
    from scopeline.cluster.health import HealthServer

    if follow and once:
        fail("--follow and --once exclude each other. Leave one out.", 2)
    folder, settings = settings_of(plant, "kafka", "archive")
    assert settings.kafka and settings.archive
    stop = threading.Event()
    for asked in (signal.SIGTERM, signal.SIGINT):
        signal.signal(asked, lambda *_: stop.set())
    setup(log_format, log_level)
    with problems():
        archiver = Archiver(settings.kafka, settings.archive, folder, every, member)
        try:
            if follow:
                say(f"Archiving to {archiver.place.where}; Ctrl-C stops.")
                server = HealthServer(archiver, "127.0.0.1", metrics_port, METRICS) if metrics_port is not None else None
                if server:
                    server.start()
                    say(f"Metrics at http://127.0.0.1:{server.port}/metrics")
                archiver.run(stop)
                if server:
                    server.stop()
            else:
                archiver.once(stop)
        finally:
            archiver.close()
    say(f"{counted(archiver.messages, 'message')} archived in {counted(archiver.files, 'file')} in {archiver.place.where}.")
