#!/bin/bash
# Make the demo tape: record (or take a recording that is there), stretch, add usage.
#
# usage: make_demo.sh [RECORDING_FOLDER]
#
# With a folder that holds a recording, only stretches it and adds usage: the same bytes each time. Without one, records
# first (MINUTES, default 32, of real time). PYTHON names the interpreter with the project's packages.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
folder=${1:-$(mktemp -d)}

if [ ! -f "$folder/meta.json" ]; then
  binary=$("$root/deploy/kubelite/ensure.sh")
  "$python" "$here/record_demo.py" "$folder" --kubelite "$binary" \
    --cluster-scripts "$root/deploy/kubelite/cluster" --minutes "${MINUTES:-32}"
  echo "the recording is in $folder"
fi
factor=$("$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))["factor"])' "$folder/meta.json")
"$python" "$here/stretch.py" "$folder" "$folder/stretched.tape.zst" "$folder/truth.json"
"$python" "$here/usage.py" "$folder/stretched.tape.zst" "$folder/demo.tape.zst" "$folder/truth.json" --factor "$factor"
cp "$folder/demo.tape.zst" "$here/demo.tape.zst"
cp "$folder/truth.json" "$here/demo.truth.json"
