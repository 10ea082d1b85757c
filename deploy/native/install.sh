#!/usr/bin/env bash
# Installs the real servers that the live tests and `make stack-up` need: Mosquitto, Kafka and InfluxDB, without containers.
# Mosquitto is the system's package; Kafka's jars come from Maven Central; influxd is built from its Go module.
# What is there is left alone. Versions: versions.env. Place: SCOPELINE_CACHE, else ~/.cache/scopeline.
#   deploy/native/install.sh            all three
#   deploy/native/install.sh kafka      only those named
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/versions.env"
cache=${SCOPELINE_CACHE:-$HOME/.cache/scopeline}
log=$cache/install.log

say() { echo "install.sh: $*" >&2; }
fail() { # message, remedy
  say "$1"
  say "Remedy: $2"
  exit 1
}
quietly() { # remedy, command...: runs it, shows the end of its output if it fails
  local remedy=$1
  shift
  "$@" >"$log" 2>&1 || { tail -n 40 "$log" >&2; fail "failed: $*" "$remedy"; }
}
packages() { # of Debian or Ubuntu
  local as_root=""
  [ "$(id -u)" -eq 0 ] || as_root="sudo"
  command -v apt-get >/dev/null || fail "no apt-get here to install: $*" "install them with this system's package tool, then run this again"
  say "installing packages: $*"
  quietly "needs root or sudo, and the package mirror" $as_root apt-get -qq update
  quietly "install by hand: apt-get install $*" $as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get -qq install -y --no-install-recommends "$@"
}
need() { # command package...: the package that brings the command, where the command is missing
  PATH=$PATH:/usr/sbin command -v "$1" >/dev/null || packages "${@:2}"
}

install_mosquitto() {
  need mosquitto mosquitto
}

install_kafka() {
  need java default-jre-headless
  local place=$cache/kafka-$KAFKA_VERSION
  [ -d "$place" ] && return
  need mvn maven
  say "fetching Kafka $KAFKA_VERSION (54 MB)"
  rm -rf "$place.part"
  quietly "Maven Central must be reachable; settings of a mirror or proxy stand in ~/.m2/settings.xml" \
    mvn --batch-mode --no-transfer-progress -f "$here/pom.xml" -Dkafka.version="$KAFKA_VERSION" \
    -Dlog4j.version="$KAFKA_LOG4J_VERSION" dependency:copy-dependencies -DoutputDirectory="$place.part"
  mv "$place.part" "$place"
}

install_influxdb() {
  local place=$cache/influxdb-$INFLUXDB_VERSION
  [ -x "$place/influxd" ] && return
  command -v go >/dev/null || fail "influxd is built with Go, which is missing" "install Go 1.21 or newer: https://go.dev/dl"
  command -v cargo >/dev/null || fail "influxd's query engine is built with cargo, which is missing" "install Rust: https://rustup.rs"
  need cc gcc libc6-dev
  need clang clang
  need protoc protobuf-compiler
  say "building influxd $INFLUXDB_VERSION (three to ten minutes, once)"
  # A file system of its own, not /tmp, which may be a small one in memory: the build needs 3 GB for a while.
  local build=$cache/influxdb-build
  rm -rf "$build"
  mkdir -p "$build/bin" "$place"
  # `go install module@version` refuses modules with replace directives, so influxd is built inside its unpacked module.
  quietly "the Go module proxy must be reachable; GOPROXY names another" \
    go mod download "github.com/influxdata/influxdb/v2@v$INFLUXDB_VERSION"
  cp -r --no-preserve=mode "$(go env GOMODCACHE)/github.com/influxdata/influxdb/v2@v$INFLUXDB_VERSION" "$build/source"
  quietly "the Go module proxy must be reachable; GOPROXY names another" \
    env GOBIN="$build/bin" go install "github.com/influxdata/pkg-config@v$INFLUXDB_PKG_CONFIG_VERSION"
  # The query engine's Rust forbids warnings, and compilers newer than it warn of more.
  printf '#!/bin/sh\nexec "$@" --cap-lints=warn\n' >"$build/bin/rustc-lenient"
  chmod +x "$build/bin/rustc-lenient"
  # Its sources name a Rust toolchain of their own time; the one that is here builds them as well.
  local toolchain=""
  if command -v rustup >/dev/null; then toolchain=$(rustup show active-toolchain | cut -d' ' -f1); fi
  (
    cd "$build/source"
    export PKG_CONFIG=$build/bin/pkg-config RUSTC_WRAPPER=$build/bin/rustc-lenient GOFLAGS=-mod=mod CGO_ENABLED=1
    [ -z "$toolchain" ] || export RUSTUP_TOOLCHAIN=$toolchain
    quietly "read $log; the build needs Go, Rust, clang, protoc, 4 GB of memory and the proxies of Go and Rust" \
      go build -trimpath -tags sqlite_foreign_keys,sqlite_json -ldflags "-s -w -X main.version=$INFLUXDB_VERSION" \
      -o "$place/influxd.part" ./cmd/influxd
  )
  mv "$place/influxd.part" "$place/influxd"
  rm -rf "$build"
}

mkdir -p "$cache"
# One installation at a time: two would build in the same folder.
exec 9>"$cache/install.lock"
flock 9
for server in "${@:-mosquitto kafka influxdb}"; do
  for one in $server; do
    case $one in
      mosquitto | kafka | influxdb) "install_$one" ;;
      *) fail "no server is called $one" "name mosquitto, kafka or influxdb, or nothing for all" ;;
    esac
  done
done
say "ready in $cache"
