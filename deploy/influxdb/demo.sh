#!/bin/bash
# Play the demo with a real InfluxDB beside it, in a folder that goes when it ends. usage: demo.sh [ARGS for `forewarn demo`]
# Takes 2.7 where it is built, else 1.8 (built now, some two minutes). Grafana: see docs/influxdb.md.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
forewarn="$here/../../.venv/bin/forewarn"
say() { printf 'demo: %s\n' "$*" >&2; }

major=2
server=$("$here/ensure.sh" --where 2) || { major=1; server=$("$here/ensure.sh" 1); }
folder=$(mktemp -d)
influxd=""
end() {
  if [ -n "$influxd" ]; then kill "$influxd" 2>/dev/null && wait "$influxd" 2>/dev/null || true; fi
  rm -rf "$folder"
}
trap end EXIT
port=${INFLUXDB_PORT:-8086}
url="http://127.0.0.1:$port"

if [ "$major" = 2 ]; then
  token=$(od -An -tx1 -N16 /dev/urandom | tr -d ' \n')
  "$server" --reporting-disabled --ui-disabled --bolt-path "$folder/bolt" --sqlite-path "$folder/sqlite" \
    --engine-path "$folder/engine" --http-bind-address "127.0.0.1:$port" >"$folder/log" 2>&1 &
else
  token=any:thing
  cat >"$folder/influxdb.conf" <<CONF
reporting-disabled = true
bind-address = "127.0.0.1:0"
[meta]
  dir = "$folder/meta"
[data]
  dir = "$folder/data"
  wal-dir = "$folder/wal"
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:$port"
  flux-enabled = false
  log-enabled = false
CONF
  "$server" run -config "$folder/influxdb.conf" >"$folder/log" 2>&1 &
fi
influxd=$!
for _ in $(seq 100); do
  if curl -sf "$url/health" >/dev/null; then break; fi
  kill -0 "$influxd" 2>/dev/null || { tail -n 5 "$folder/log" >&2; say "InfluxDB did not start (is port $port taken?)"; exit 1; }
  sleep 0.1
done
if [ "$major" = 2 ]; then
  curl -sf "$url/api/v2/setup" -H 'Content-Type: application/json' >/dev/null -d "{\"username\":\"admin\",
    \"password\":\"$token\",\"org\":\"forewarn\",\"bucket\":\"forewarn\",\"token\":\"$token\"}"
fi

(umask 077 && printf '%s' "$token" >"$folder/token")
cat >"$folder/forewarn.yaml" <<YAML
cluster: demo
influxdb:
  url: $url
  token_file: $folder/token
  compress: false
  retention: 0
YAML
"$forewarn" influxdb setup --config "$folder/forewarn.yaml" >&2
say "InfluxDB is at $url, database forewarn, token in $folder/token; it goes when the demo ends"
"$forewarn" demo --config "$folder/forewarn.yaml" "$@"
