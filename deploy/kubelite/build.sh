#!/bin/bash
# Build kubelite from this folder's pinned modules. usage: build.sh [OUTPUT]   (default bin/kubelite)
# The version strings are those that the pinned modules would report from their own release builds.
set -euo pipefail
cd "$(dirname "$0")"
base=k8s.io/component-base/version
export CGO_ENABLED=0 GOFLAGS="${GOFLAGS:--buildvcs=false -modcacherw}"
exec go build -trimpath -o "${1:-bin/kubelite}" -ldflags "-s -w \
  -X $base.gitVersion=v1.36.3 -X $base.gitMajor=1 -X $base.gitMinor=36 -X $base.gitTreeState=clean \
  -X sigs.k8s.io/kwok/pkg/consts.Version=0.8.0" ./kubelite
