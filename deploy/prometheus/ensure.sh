#!/bin/bash
# Print the path of promtool, building it into the cache when it is not there yet.
# usage: ensure.sh [--where]      with --where: print the path, or end with status 1 where it is not built
#
# Plain Go, some minutes of CPU: promtool brings all of Prometheus' service discovery along. The cache key is the sha256
# of this file, which holds the pin. Progress goes to stderr.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
say() { printf 'promtool: %s\n' "$*" >&2; }
version=v0.301.0 # Prometheus 3.1.0

key=$(sha256sum "$here/ensure.sh" | cut -c1-16)
folder="${FOREWARN_CACHE:-$HOME/.cache/forewarn}/promtool-$key"
binary="$folder/promtool"
if [ -x "$binary" ]; then echo "$binary"; exit 0; fi
if [ "${1:-}" = --where ]; then exit 1; fi
command -v go >/dev/null || { say "go is needed to build it, and is not on PATH"; exit 1; }
mkdir -p "$folder"
exec 9>"$folder/lock"
flock 9
if [ -x "$binary" ]; then echo "$binary"; exit 0; fi

began=$SECONDS
say "building (log: $folder/build.log)"

# Its go.mod replaces a module, which `go install` refuses: a module of our own takes the replacement along.
build() {
  mkdir -p "$folder/module"
  cd "$folder/module"
  source=$(GOFLAGS="" go mod download -json "github.com/prometheus/prometheus@$version" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
  sed 's#^module .*#module forewarn/promtool#' "$source/go.mod" >go.mod
  sed -i "0,/^require (/s##require (\n\tgithub.com/prometheus/prometheus $version#" go.mod
  cp --no-preserve=mode "$source/go.sum" go.sum
  CGO_ENABLED=0 GOFLAGS="-mod=mod -buildvcs=false" nice go build -ldflags "-s -w" -o "$binary.part" \
    github.com/prometheus/prometheus/cmd/promtool
  cd "$folder"
  mv "$binary.part" "$binary"
  rm -rf "$folder/module"
}
build >"$folder/build.log" 2>&1 || { tail -n 20 "$folder/build.log" >&2; say "the build failed"; exit 1; }
say "built in $((SECONDS - began)) s"
echo "$binary"
