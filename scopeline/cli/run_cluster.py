"""`scopeline run --profile cluster`: one process of the cluster, in the role it is given."""

import threading
import time
from pathlib import Path

from schemas.plant import Plant
from scopeline.cli.options import fail
from scopeline.cli.run import serve, stop_on_signals
from scopeline.cluster.follower import Follower, NotPublished
from scopeline.cluster.health import HealthServer
from scopeline.cluster.ingest import IngestSettings
from scopeline.cluster.kafka import KafkaSettings
from scopeline.cluster.news import told
from scopeline.cluster.plant_topic import KafkaProblem
from scopeline.cluster.replica import Stopping
from scopeline.cluster.roles import Roles
from scopeline.log import StateError
from scopeline.logs import say
from scopeline.plant import load


def run(plant_dir: Path, role: str, member: int | None, port: int | None, host: str | None, console: bool) -> None:
    """Serve until Ctrl-C or SIGTERM. Exit codes: 0 stopped, 1 settings or servers, 2 misuse, 3 the watchdog ended the process."""
    plant, problems = load(plant_dir)
    if plant is None:
        fail("\n".join(str(problem) for problem in problems if problem.severity == "error"), 1)
    for key in ("kafka", "influxdb", "archive", "brokers"):
        if not getattr(plant.settings, key):
            fail(f"plant.yaml lacks {key}:, which the cluster profile needs. `scopeline check` says more.", 1)
    begun = time.monotonic()
    try:
        roles = Roles(plant_dir.resolve(), plant, role, member)
        roles.start()
        try:
            if role in ("console", "all"):
                _console(plant_dir, plant, roles, port, console, begun)
            else:
                _wait(plant_dir, role, roles, port, host)
        finally:
            roles.stop()
    except (KafkaProblem, KafkaSettings, IngestSettings, NotPublished, StateError) as error:
        fail(str(error), 1)


def _console(plant_dir: Path, plant: Plant, roles: Roles, port: int | None, console: bool, begun: float) -> None:
    follower, started = Follower(plant_dir, plant, roles=roles), threading.Event()
    try:
        with told(lambda: follower.problems if started.is_set() else roles.problems):
            follower.start()
            started.set()
            serve(follower, port, console, begun)
    except Stopping:
        pass
    finally:
        follower.stop()


def _wait(plant_dir: Path, role: str, roles: Roles, port: int | None, host: str | None) -> None:
    """No page to serve: health on a port where one is given, and wait for the signal."""
    stop = threading.Event()
    stop_on_signals(stop.set)
    server = None
    if port is not None:
        try:
            server = HealthServer(roles, host or "127.0.0.1", port)
        except OSError as error:
            fail(f"Port {port} cannot be used ({error.strerror}). Choose another with --port.", 1)
        server.start()
    say(f"Scopeline runs: {role} of {plant_dir.resolve()}. Ctrl-C stops it.")
    if server:
        say(f"  health   http://{host or '127.0.0.1'}:{server.port}/readyz, /healthz, /metrics")
    with told(lambda: roles.problems):
        stop.wait()
    if server:
        server.stop()
