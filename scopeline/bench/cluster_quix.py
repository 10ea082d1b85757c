"""The peer of processing: Quix Streams, counter messages of JSON to kg by a stateful difference and a factor, back into Kafka.

`PYTHON cluster_quix.py KAFKA IN OUT MESSAGES STATE_DIR`, by a Python that has quixstreams; it imports nothing of ours, and
prints processor and wall seconds from its first message on. What it does is a part of what the worker does: no units, no
intervals, no late readings.
"""

import json
import logging
import sys
import time
from typing import Any

FACTOR = 0.25


def main(kafka: str, source: str, target: str, count: int, folder: str) -> None:
    from quixstreams import Application

    begun: list[tuple[float, float]] = []

    def kilograms(value: dict[str, Any], state: Any) -> dict[str, Any]:
        if not begun:
            begun.append((time.process_time(), time.perf_counter()))
        before = state.get("kwh")
        state.set("kwh", value["kwh"])
        return {
            "at": value["at"],
            "meter": value["meter"],
            "co2e_kg": 0.0 if before is None else (value["kwh"] - before) * FACTOR,
        }

    app = Application(
        broker_address=kafka, consumer_group=f"{source}.group", auto_offset_reset="earliest", state_dir=folder, loglevel="ERROR"
    )
    into, out = app.topic(source, value_deserializer="json"), app.topic(target, value_serializer="json")
    app.dataframe(into).apply(kilograms, stateful=True).to_topic(out)
    app.run(count=count)
    print(json.dumps([time.process_time() - begun[0][0], time.perf_counter() - begun[0][1]]))


if __name__ == "__main__":
    logging.disable(logging.ERROR)
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5])
