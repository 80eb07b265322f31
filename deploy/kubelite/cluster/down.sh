#!/bin/bash
# Stop exactly the processes that up.sh recorded in DIR/pids, last started first.   usage: down.sh DIR
pids=${1:?usage: down.sh DIR}/pids
[ -f "$pids" ] || exit 0
alive() { while read -r pid _; do kill -0 "$pid" 2>/dev/null && return 0; done < "$pids"; return 1; }
tac "$pids" | while read -r pid _; do kill "$pid" 2>/dev/null; done
for _ in $(seq 50); do alive || break; sleep 0.2; done
while read -r pid _; do kill -9 "$pid" 2>/dev/null; done < "$pids"
rm -f "$pids"
