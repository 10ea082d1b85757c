"""The formats that Scopeline reads, by name. A feed's `decoder:` names one, or a chain of them: `[gzip, json]`.

To add a format:

1. Write `ingest/decoders/<format>.py` with `DECODER = Decoder(...)` (see decoder.py). `parse` turns payload bytes into a document
   of tokens and raises Unreadable. That is all for a format whose values the operator names by path.
2. A format that names its values itself has `fields(document, place)` too: one Field a value, with the unit where the format
   fixes it, never from a guess. `place(topic)` says what of the topic it needs; `topics` are where such devices publish.
3. If `parse` reads JSON and `fields` looks at keys only, never into tokens, say `by_shape=True`: it then runs once for a whole
   batch of payloads of one shape (ingest/shapes.py). Nothing else is needed for speed.
4. A format that only wraps bytes (compression, an envelope) has `open`: bytes to bytes, and stands before others in a chain.
5. Name it in DECODERS below, put a genuine payload into tests/payloads with its readings, and run `make test T=payloads`.

Decoders are pure and never see a clock, a file or a network.
"""

from ingest.decoders import csv, gzip, influx, json, plain, senml, shelly, tasmota, zigbee2mqtt
from ingest.decoders.decoder import Decoder

DECODERS: dict[str, Decoder] = {
    "json": json.DECODER,
    "plain": plain.DECODER,
    "csv": csv.DECODER,
    "senml": senml.DECODER,
    "influx": influx.DECODER,
    "tasmota": tasmota.DECODER,
    "shelly": shelly.DECODER,
    "zigbee2mqtt": zigbee2mqtt.DECODER,
    "gzip": gzip.DECODER,
}
