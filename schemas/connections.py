"""Connections of plant.yaml: brokers, log, store, archive, dashboards. Secrets stand in files or the environment, never here."""

from datetime import timedelta
from typing import Literal

from pydantic import Field

from schemas.scalars import Duration, Id, Model, Text, Whole


class Tls(Model):
    """Certificates of a connection, as paths of PEM files."""

    ca_file: Text | None = Field(default=None, description="certificate authorities to trust")
    cert_file: Text | None = Field(default=None, description="client certificate")
    key_file: Text | None = Field(default=None, description="key of the client certificate")


class Broker(Model):
    """An MQTT broker; the password stands in a file or in the environment, never here."""

    host: Text = Field(description="name or address")
    port: Whole = Field(default=1883, ge=1, le=65535, description="8883 is usual with TLS")
    username: Text | None = Field(default=None, description="name to sign in with")
    password_file: Text | None = Field(default=None, description="file whose first line is the password")
    tls: Tls | None = Field(default=None, description="certificates; without: no TLS")
    transport: Literal["tcp", "websockets"] = Field(default="tcp", description="plain TCP, or WebSockets")
    version: Literal["3.1.1", "5"] = Field(default="3.1.1", description="MQTT version; 3.1.1 is the faster one here")
    client_id: Text | None = Field(default=None, description="id of the session; default: made from the plant folder")
    members: Whole = Field(
        default=1, ge=1, le=64, description="cluster: ingest processes that share the load by a shared subscription"
    )


class Kafka(Model):
    """The log of the cluster profile."""

    bootstrap_servers: tuple[Text, ...] = Field(min_length=1, description="like localhost:9092")
    prefix: Id = Field(
        default="scopeline", description="topics are named <prefix>.raw, <prefix>.ref, <prefix>.carry, <prefix>.plant"
    )
    partitions: Whole = Field(
        default=12, ge=1, le=1024, description="of the raw topic; fixed: growing means a new prefix and a replay"
    )
    replication: Whole = Field(default=1, ge=1, le=9, description="copies of each topic; 3 with three or more Kafka servers")
    retention: Duration = Field(
        default=timedelta(days=7), description="how long the raw topic keeps messages; the archive has them all"
    )
    horizon: Duration = Field(
        default=timedelta(hours=48),
        description="how far back a worker without state reads again; older readings need the archive",
    )
    username: Text | None = Field(default=None, description="SASL name to sign in with")
    password_file: Text | None = Field(default=None, description="file whose first line is the SASL password")
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(default="SCRAM-SHA-512", description="SASL mechanism")
    tls: Tls | None = Field(default=None, description="certificates; without: no TLS")


class InfluxDB(Model):
    """The store of the cluster profile."""

    url: Text = Field(description="like http://localhost:8086")
    org: Text = Field(description="organisation")
    bucket: Text = Field(description="bucket of the figures")
    token_file: Text | None = Field(default=None, description="file whose first line is the token")
    retention: Duration | None = Field(default=None, description="of figures; default: for ever (late data would be refused)")
    readings_retention: Duration = Field(default=timedelta(days=400), description="of the bucket of readings")
    health_retention: Duration = Field(default=timedelta(days=90), description="of the bucket of health")
    max_series: Whole = Field(
        default=10_000, ge=1, description="meters of one feed that are written; more are refused and reported"
    )
    timeout: Duration = Field(default=timedelta(seconds=10), description="of one write")


class Archive(Model):
    """Raw messages for good, in Parquet by site and day."""

    path: Text = Field(description="a folder, or s3://bucket/prefix")
    endpoint: Text | None = Field(default=None, description="of an S3-compatible store, like http://minio:9000")
    region: Text | None = Field(default=None, description="of an S3 bucket")
    credentials_file: Text | None = Field(
        default=None, description="file with access key and secret key, a line each; default: the usual AWS variables"
    )


class Grafana(Model):
    """A Grafana server."""

    url: Text = Field(description="like http://localhost:3000")
    token_file: Text | None = Field(default=None, description="file whose first line is a service account token")
    folder: Text = Field(default="Scopeline", description="folder of the dashboards")
    prometheus: Text | None = Field(
        default=None, description="a Prometheus that scrapes Scopeline, as Grafana reaches it: alerts on the MQTT brokers ask it"
    )
