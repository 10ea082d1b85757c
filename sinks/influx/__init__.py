"""InfluxDB: figures, readings and health in by line protocol, out by InfluxQL; buckets and mappings made by `setup`."""

from sinks.influx.bound import Bound
from sinks.influx.buckets import setup
from sinks.influx.client import Influx, Refused, Written
from sinks.influx.connection import InfluxProblem, Stopped
from sinks.influx.reader import Reader, provisional

__all__ = ["Bound", "Influx", "InfluxProblem", "Reader", "Refused", "Stopped", "Written", "provisional", "setup"]
