#!/bin/bash
# Print the path of an InfluxDB server, building it into the cache when it is not there yet.
# usage: ensure.sh 1|2            build where needed, then print the path
#        ensure.sh --where 1|2    print the path, or end with status 1 where it is not built
#
# 1 is InfluxDB 1.8.10: plain Go, some two CPU minutes. 2 is 2.7.12: it links the Flux engine, which is Rust, so it needs
# cargo as well and some nine CPU minutes. The cache key is the sha256 of this file: it holds every pin and every flag.
# Progress goes to stderr, so that the path is all of stdout. Of two builds at once, the second waits for the first.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
say() { printf 'influxdb: %s\n' "$*" >&2; }

only_where=""
if [ "${1:-}" = --where ]; then only_where=yes; shift; fi
major=${1:-}
case "$major" in
  1) version=1.8.10 ;;
  2) version=2.7.12 ;;
  *) say "usage: ensure.sh [--where] 1|2"; exit 2 ;;
esac
flux=0.196.1 # what 2.7.12's go.mod requires

key=$(sha256sum "$here/ensure.sh" | cut -c1-16)
folder="${FOREWARN_CACHE:-$HOME/.cache/forewarn}/influxdb-$version-$key"
binary="$folder/influxd"
if [ -x "$binary" ]; then echo "$binary"; exit 0; fi
if [ -n "$only_where" ]; then exit 1; fi

need() { command -v "$1" >/dev/null || { say "$1 is needed to build $version, and is not on PATH"; exit 1; }; }
need go
mkdir -p "$folder"
exec 9>"$folder/lock"
flock 9
if [ -x "$binary" ]; then echo "$binary"; exit 0; fi

began=$SECONDS
export GOFLAGS=-buildvcs=false
modules=$(go env GOMODCACHE)

build_1() {
  GOBIN="$folder/bin" nice go install -ldflags "-s -w -X main.version=$version" \
    "github.com/influxdata/influxdb/cmd/influxd@v$version"
  mv "$folder/bin/influxd" "$binary"
}

# The module ships a rust-toolchain file for a compiler of 2023 and denies warnings that newer compilers have: both are
# left out. Its release profile (link-time optimisation for size) triples the time for nothing that a test would feel.
build_flux() {
  need cargo
  rm -rf "$folder/flux" && mkdir -p "$folder/flux-dist/lib"
  (cd "$folder" && go mod download "github.com/influxdata/flux@v$flux")
  cp -r --no-preserve=mode,ownership "$modules/github.com/influxdata/flux@v$flux" "$folder/flux"
  rm -f "$folder"/flux/rust-toolchain*
  (
    cd "$folder/flux/libflux"
    export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1
    export CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_DEBUG=false
    nice cargo build --quiet --release --locked -p flux --lib --no-default-features --features cffi
  )
  cp "$folder/flux/libflux/target/release/libflux.a" "$folder/flux-dist/lib/"
  cp -r "$folder/flux/libflux/include" "$folder/flux-dist/include"
  cat >"$folder/flux-dist/flux.pc" <<PC
Name: Flux
Version: $flux
Description: Flux engine
Cflags: -I$folder/flux-dist/include
Libs: -L$folder/flux-dist/lib -lflux -ldl -lpthread -lm
PC
}

# 2.7.12 replaces a module, which `go install` refuses: a module of our own, with its go.mod, takes the replacement along.
build_2() {
  build_flux
  mkdir -p "$folder/module"
  cd "$folder/module"
  (cd "$folder" && go mod download "github.com/influxdata/influxdb/v2@v$version")
  source="$modules/github.com/influxdata/influxdb/v2@v$version"
  sed 's#^module .*#module forewarn/influxd#' "$source/go.mod" >go.mod
  sed -i "0,/^require (/s##require (\n\tgithub.com/influxdata/influxdb/v2 v$version#" go.mod
  cp --no-preserve=mode "$source/go.sum" go.sum
  cp --no-preserve=mode "$source/cmd/influxd/main.go" main.go
  PKG_CONFIG_PATH="$folder/flux-dist" GOFLAGS="-mod=mod -buildvcs=false" nice go build \
    -tags sqlite_foreign_keys,sqlite_json -ldflags "-s -w -X main.version=v$version" -o "$binary.part" .
  cd "$folder"
  mv "$binary.part" "$binary"
  rm -rf "$folder/flux" "$folder/flux-dist" "$folder/module"
}

say "no $version for key $key; building (log: $folder/build.log)"
"build_$major" >"$folder/build.log" 2>&1 &
build=$!
while kill -0 "$build" 2>/dev/null; do
  sleep 1
  if [ $(((SECONDS - began) % 30)) = 0 ]; then say "building $version, $((SECONDS - began)) s"; fi
done
wait "$build" || { tail -n 20 "$folder/build.log" >&2; say "the build of $version failed"; exit 1; }
say "built $version in $((SECONDS - began)) s"
echo "$binary"
