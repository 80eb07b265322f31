#!/bin/bash
# Print the path of a kubelite binary, building it into the cache when it is not there yet.
#
# The cache key is the sha256 of go.mod, go.sum and kubelite/*.go, so a changed pin makes a new binary and an old one is
# never mistaken for it. (No `go mod download` here: it would add lines to go.sum, and so change the key.) A cold build
# downloads 0.7 GB of modules and takes 7 to 20 minutes on two cores. Progress goes to stderr, so that the path is all
# of stdout. Of two builds at once, the second waits for the first.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
say() { printf 'kubelite: %s\n' "$*" >&2; }

cd "$here"
key=$(cat go.mod go.sum kubelite/*.go | sha256sum | cut -c1-16)
folder="${FOREWARN_CACHE:-$HOME/.cache/forewarn}/kubelite-$key"
binary="$folder/kubelite"
if [ -x "$binary" ]; then echo "$binary"; exit 0; fi

command -v go >/dev/null || { say "go is needed to build it (see go.mod for the version), and is not on PATH"; exit 1; }
mkdir -p "$folder"
exec 9>"$folder/lock"
flock 9
if [ -x "$binary" ]; then echo "$binary"; exit 0; fi

began=$SECONDS
say "no binary for key $key; compiling 2,800 packages (and downloading their modules, where the module cache lacks them)"
nice ./build.sh "$binary.part" >&2 &
build=$!
while kill -0 "$build" 2>/dev/null; do
  sleep 1
  if [ $(((SECONDS - began) % 30)) = 0 ]; then say "building, $((SECONDS - began)) s"; fi
done
wait "$build"
mv "$binary.part" "$binary"
say "built in $((SECONDS - began)) s"
echo "$binary"
