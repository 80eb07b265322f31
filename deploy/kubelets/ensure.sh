#!/bin/bash
# Print the path of the kubelets' binary, building it into the cache when it is not there yet (half a minute of CPU).
# The cache key is the sha256 of go.mod, go.sum and main.go. Progress goes to stderr. Of two builds, the second waits.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
say() { printf 'kubelets: %s\n' "$*" >&2; }

cd "$here"
key=$(cat go.mod go.sum main.go | sha256sum | cut -c1-16)
folder="${FOREWARN_CACHE:-$HOME/.cache/forewarn}/kubelets-$key"
binary="$folder/kubelets"
if [ -x "$binary" ]; then echo "$binary"; exit 0; fi

command -v go >/dev/null || { say "go is needed to build it (see go.mod for the version), and is not on PATH"; exit 1; }
mkdir -p "$folder"
exec 9>"$folder/lock"
flock 9
if [ -x "$binary" ]; then echo "$binary"; exit 0; fi
say "building for key $key"
CGO_ENABLED=0 GOFLAGS="-buildvcs=false" nice go build -trimpath -ldflags "-s -w" -o "$binary.part" . >&2
mv "$binary.part" "$binary"
say "built"
echo "$binary"
