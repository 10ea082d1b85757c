"""The real servers on this machine, for trying things out: `make stack-up`, `make stack-down`.

python3 deploy/native/stack.py up        starts all three in the background and prints their addresses
python3 deploy/native/stack.py run       the same in the foreground, until Ctrl-C
python3 deploy/native/stack.py down      stops those that were started with the same folder
"""

import argparse
import contextlib
import signal
import sys
from pathlib import Path

from server_process import Server, StackError
from servers import InfluxDB, Kafka, Mosquitto


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["up", "run", "down"])
    parser.add_argument("--dir", type=Path, default=Path(".stack"), help="where data, logs and the token lie (default: .stack)")
    parser.add_argument("--mqtt-port", type=int, default=1883)
    parser.add_argument("--kafka-port", type=int, default=9092)
    parser.add_argument("--influxdb-port", type=int, default=8086)
    return parser.parse_args()


def main() -> None:
    given = arguments()
    mosquitto = Mosquitto(given.dir / "mosquitto", given.mqtt_port)
    kafka = Kafka(given.dir / "kafka", given.kafka_port)
    influxdb = InfluxDB(given.dir / "influxdb", given.influxdb_port)
    servers: list[Server] = [mosquitto, kafka, influxdb]
    if given.action == "down":
        return down(servers)
    started = []
    try:
        for server in servers:
            if not server.alive:
                started.append(server)
                server.start()
    except BaseException:
        down(started)
        raise
    print(f"MQTT      {mosquitto.address}")
    print(f"Kafka     {kafka.address}")
    print(f"InfluxDB  {influxdb.url}  organisation {influxdb.org}, bucket {influxdb.bucket}, token in {influxdb.token_file}")
    print(f"Logs      {given.dir}/*/log", flush=True)
    if given.action == "run":
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
        down(started)


def down(servers: list[Server]) -> None:
    """Stops what runs, the broker first, so that nothing new comes in."""
    for server in servers:
        if server.alive:
            server.stop()
            print(f"stopped {server.name}")


if __name__ == "__main__":
    try:
        main()
    except StackError as problem:
        print(f"stack: {problem}", file=sys.stderr)
        sys.exit(1)
