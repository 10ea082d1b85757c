#!/usr/bin/env bash
# `make up` and `make down`: the servers and Scopeline in containers (deploy/compose.yaml).
#   deploy/container/up.sh up [PLANT]     builds, makes missing secrets, starts, waits until everything is healthy
#   deploy/container/up.sh down           stops; data and secrets stay
set -euo pipefail
deploy=$(cd "$(dirname "$0")/.." && pwd)
compose=(docker compose --file "$deploy/compose.yaml")

fail() { # message, remedy
  echo "make ${action:-up}: $1" >&2
  echo "Remedy: $2" >&2
  exit 1
}
engine() {
  command -v docker >/dev/null || fail "no docker command here" \
    "install Docker Engine with the compose plugin (https://docs.docker.com/engine/install), or try the servers without containers: make stack-up"
  docker compose version >/dev/null 2>&1 || fail "docker has no compose plugin" \
    "install docker-compose-plugin, version 2.24 or newer (https://docs.docker.com/compose/install)"
  docker info >/dev/null 2>&1 || fail "no Docker engine answers: it does not run, or you may not use it" \
    "start it (systemctl start docker), or join its group (docker's documentation says what that means), or without containers: make stack-up"
}

action=${1:-}
case $action in
  up)
    plant=${2:-}
    [ -n "$plant" ] || { plant=$deploy/example/plant && echo "No PLANT named: starting with the example, deploy/example/plant"; }
    [ -f "$plant/plant.yaml" ] || fail "there is no plant.yaml in $plant" "make up PLANT=path/to/plant; deploy/example/plant is one to copy"
    engine
    PLANT=$(cd "$plant" && pwd)
    export PLANT
    # A read-only plant folder cannot get the folder that the state's volume is mounted on.
    mkdir -p "$PLANT/.scopeline" || fail "$PLANT cannot be written" "make the folder $PLANT/.scopeline as its owner, once"
    "${PYTHON:-python3}" "$deploy/container/make_secrets.py" "$deploy/secrets" || fail "secrets could not be made" \
      "Python 3.9 or newer is needed: make up PYTHON=/path/to/python3"
    "${compose[@]}" build secrets || fail "the image could not be built" "the message above says why; the registries must be reachable"
    # `up --wait` takes services that end, as setup does, for broken: the servers and workers are waited for, set-up before them.
    "${compose[@]}" up --detach --wait --wait-timeout 300 mosquitto kafka influxdb grafana ingest process archive console || {
      "${compose[@]}" ps --all >&2
      fail "not everything became healthy" "docker compose --file $deploy/compose.yaml logs setup (or what the list above shows)"
    }
    echo "Console  http://127.0.0.1:${SCOPELINE_CONSOLE_PORT:-8090}   any name; the password is a token: deploy/README.md"
    echo "Grafana  http://127.0.0.1:${SCOPELINE_GRAFANA_PORT:-3000}   user admin, password in $deploy/secrets/grafana_password"
    echo "MQTT     ${SCOPELINE_MQTT_ADDRESS:-127.0.0.1}:${SCOPELINE_MQTT_PORT:-1883}   user sensors, password in $deploy/secrets/mqtt_sensors_password"
    ;;
  down)
    engine
    "${compose[@]}" down --remove-orphans
    echo "Stopped. Data are in the volumes scopeline_*, secrets in $deploy/secrets."
    ;;
  *)
    echo "usage: $0 up [PLANT] | down" >&2
    exit 2
    ;;
esac
