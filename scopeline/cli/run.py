"""`scopeline run`: the service."""

import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from scopeline.cli.options import LogFormat, LogLevel, Plant, existing, fail
from scopeline.logs import hide, say, setup

if TYPE_CHECKING:
    from scopeline.cluster.follower import Follower
    from scopeline.runtime import Runtime

SHUTDOWN = 3
"""Seconds that open pages and downloads get when the service stops."""


def command(
    plant: Plant = Path("."),
    profile: Annotated[
        Literal["embedded", "cluster"] | None, typer.Option(help="Default: the one in plant.yaml.", show_default=False)
    ] = None,
    role: Annotated[Literal["all", "ingest", "process", "console"], typer.Option(help="Cluster: which part runs here.")] = "all",
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port of console and API. Default: console: in plant.yaml.", show_default=False),
    ] = None,
    mqtt_port: Annotated[
        int | None,
        typer.Option("--mqtt-port", min=1, max=65535, help="Port of the embedded broker. Default: 1883.", show_default=False),
    ] = None,
    console: Annotated[bool, typer.Option("--console/--no-console", help="With the pages, or the API alone.")] = True,
    member: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Cluster, ingest: which of a broker's members this is, from 0. Default: the host name's last number.",
            show_default=False,
        ),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(help="Cluster: address of health and metrics. Default: 127.0.0.1.", show_default=False),
    ] = None,
    log_format: LogFormat = "text",
    log_level: LogLevel = "info",
) -> None:
    """Receive messages, compute figures, serve console and API, until Ctrl-C.

    Without `brokers:` in plant.yaml an MQTT broker runs inside, for this machine only. A QoS 1 message is acknowledged when it
    and the figures it changes are stored. Edits of the plant folder are picked up at once.

    In the cluster profile each process has a role: ingest (brokers to Kafka), process (Kafka to InfluxDB), console; start as many
    of each as the load needs, after `scopeline setup` and `scopeline apply`. `--port` serves /healthz, /readyz and /metrics of
    ingest and process, too. Exit codes: 0 stopped, 1 settings or servers, 2 misuse, 3 the watchdog: start it again.

    **Examples**

    ```sh
    scopeline run --plant works
    scopeline run --port 9000 --mqtt-port 1884
    scopeline run --profile cluster --role ingest --member 0 --port 8091
    scopeline run --profile cluster --role process --port 8092 --log-format json
    scopeline run --profile cluster --role console
    ```
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: everything is stopped in order
    existing(plant)
    setup(log_format, log_level)
    try:
        if _cluster(plant, profile, role, member):
            from scopeline.cli.run_cluster import run

            run(plant, role, member, port, host, console)
        else:
            _run(plant, port, mqtt_port, console)
    except KeyboardInterrupt:
        pass
    except RuntimeError as error:  # what DuckDB makes of a signal that comes amid a query
        if "interrupted" not in str(error):
            raise
    say("Stopped.")


def _run(plant: Path, port: int | None, mqtt_port: int | None, console: bool) -> None:
    """Start, serve, stop; a KeyboardInterrupt passes through when all is stopped."""
    from scopeline.broker import BrokerStart
    from scopeline.log import StateError
    from scopeline.runtime import PlantInvalid, Runtime

    begun = time.monotonic()
    runtime = Runtime(plant, mqtt_port)
    try:
        runtime.start()
        serve(runtime, port, console, begun)
    except PlantInvalid as invalid:
        fail(f"{invalid}\nScopeline does not start with errors in the plant folder; `scopeline check` lists all problems.", 1)
    except (StateError, BrokerStart) as error:
        fail(str(error), 1)
    finally:
        runtime.stop()


def _cluster(plant: Path, profile: str | None, role: str, member: int | None) -> bool:
    """Whether the cluster profile is meant."""
    from scopeline.plant import load

    found, _ = load(plant)
    if (profile or (found.settings.profile if found else "embedded")) == "cluster":
        return True
    for option, given in ((f"--role {role}", role != "all"), (f"--member {member}", member is not None)):
        if given:
            fail(f"{option} belongs to the cluster profile. The embedded profile runs all in one process: leave it out.", 2)
    return False


def serve(runtime: "Runtime | Follower", port: int | None, console: bool, begun: float) -> None:
    import uvicorn

    from scopeline.api import create
    from scopeline.remote import announce, withdraw
    from scopeline.service import Service
    from scopeline.tokens import Tokens

    settings = runtime.configuration.plant.settings.console
    host, port = settings.host, settings.port if port is None else port
    listening = _listen(host, port)
    port = int(listening.getsockname()[1])
    service, token = Service(runtime), secrets.token_urlsafe(32)
    hide(token)
    app = create(service, Tokens(runtime.plant_dir), token, hosts=[host])
    if console:
        from scopeline.console.app import mount

        mount(app, service, secrets.token_urlsafe(32))
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,  # to our log, in its format
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=SHUTDOWN,
            server_header=False,
            lifespan="on",
        )
    )
    stop_on_signals(lambda: setattr(server, "should_exit", True))  # also before the server listens to signals itself
    shown = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host
    address = f"http://{shown}:{port}"

    def told() -> None:
        while not server.started and not server.should_exit:
            time.sleep(0.02)
        if server.started:
            announce(runtime.plant_dir, address, token)
            for line in _where(runtime, address, console, time.monotonic() - begun):
                say(line)

    threading.Thread(target=told, name="announce", daemon=True).start()
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listening])
    withdraw(runtime.plant_dir)


def stop_on_signals(stop: Callable[[], None]) -> None:
    """Ctrl-C and SIGTERM stop in order."""
    for asked in (signal.SIGINT, signal.SIGTERM):
        signal.signal(asked, lambda *_: stop())


def _listen(host: str, port: int) -> socket.socket:
    found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
    except OSError as error:
        found.close()
        fail(
            f"Port {port} on {host} cannot be used ({error.strerror}). Choose another with --port, or console: in plant.yaml.", 1
        )
    return found


def _where(runtime: "Runtime | Follower", address: str, console: bool, seconds: float) -> list[str]:
    """What is where, once everything answers."""
    lines = [f"Scopeline runs ({seconds:.1f} s). Ctrl-C stops it."]
    lines += [f"  console  {address}"] if console else []
    lines.append(f"  API      {address}/api/docs")
    if runtime.broker:
        lines.append(
            f"  MQTT     {runtime.broker.host}:{runtime.broker.port}   embedded broker, QoS 1 acknowledged after the commit"
        )
    lines += [f"  MQTT     {one.subscriber.address}   broker {one.name}" for one in runtime.external]
    lines.append(f"  plant    {runtime.plant_dir}")
    lines.append(f"  data     {runtime.store.log.path}")
    return lines
