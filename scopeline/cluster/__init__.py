"""The cluster profile: the same decoders and processors between MQTT brokers, Kafka and InfluxDB (docs/cluster.md)."""
