#!/bin/bash
# Starts Kafka in its container: formats the data folder when it is new, then runs with the settings as they are shipped.
# The image's own start script writes into the image; this one leaves the root file system read-only.
set -euo pipefail
settings=/etc/kafka/scopeline/server.properties
if [ ! -f /var/lib/kafka/data/meta.properties ]; then
  /opt/kafka/bin/kafka-storage.sh format --cluster-id "$(/opt/kafka/bin/kafka-storage.sh random-uuid)" --config "$settings"
fi
exec /opt/kafka/bin/kafka-server-start.sh "$settings"
