#!/bin/bash
# Print the folder of a Kafka broker that starts in two seconds, making it in the cache when it is not there yet.
#
# libs/        Kafka 4.3.1 and what it needs, from Maven Central (54 MB, some 15 s)
# template/    a formatted log folder: a broker begins with a copy of it, and no formatting JVM runs
# kafka.jsa    the classes of a started broker, archived (AppCDS): halves the CPU of a start
#
# The cache key is the sha256 of this script, pom.xml and server.properties. Progress goes to stderr, so that the folder
# is all of stdout. Of two builds at once, the second waits for the first.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
say() { printf 'kafka: %s\n' "$*" >&2; }

cd "$here"
key=$(cat ensure.sh pom.xml server.properties | sha256sum | cut -c1-16)
folder="${FOREWARN_CACHE:-$HOME/.cache/forewarn}/kafka-$key"
if [ -e "$folder/ready" ]; then echo "$folder"; exit 0; fi

for tool in java mvn python3; do
  command -v $tool >/dev/null || { say "$tool is needed and is not on PATH (Debian: apt-get install default-jre-headless maven)"; exit 1; }
done
mkdir -p "$folder"
exec 9>"$folder/lock"
flock 9
if [ -e "$folder/ready" ]; then echo "$folder"; exit 0; fi

began=$SECONDS
say "fetching the broker's jars with Maven (54 MB)"
rm -rf "$folder/libs"
mvn -B -q -ntp -f pom.xml org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
  -DoutputDirectory="$folder/libs.part" -DincludeScope=runtime >&2
mv "$folder/libs.part" "$folder/libs"

say "formatting a log folder"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
read -r broker controller < <(python3 - <<'PY'
import socket
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(each.getsockname()[1] for each in held))
PY
)
sed -e "s|@DATA@|$work/data|; s|@BROKER@|$broker|g; s|@CONTROLLER@|$controller|g" server.properties > "$work/server.properties"
flags=(-Xms256m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
  -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$folder/libs/*")
java "${flags[@]}" kafka.tools.StorageTool format --cluster-id AAAAAAAAAAAAAAAAAAAAAA \
  -c "$work/server.properties" --ignore-formatted >&2
rm -rf "$folder/template"
cp -r "$work/data" "$folder/template"

say "starting it once to archive its classes"
java "${flags[@]}" -XX:ArchiveClassesAtExit="$folder/kafka.jsa" -Xlog:cds=off -Xlog:cds+dynamic=off \
  kafka.Kafka "$work/server.properties" >"$work/log" 2>&1 &
first=$!
python3 - "$broker" <<'PY' || { say "the broker does not come up:"; tail -20 "$work/log" >&2; kill $first; exit 1; }
import socket, struct, sys, time
for _ in range(1200):  # a minute; a start takes 5 to 20 s on a busy machine
    try:
        with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 1) as to:
            to.sendall(struct.pack(">ihhih", 10, 18, 0, 1, -1))  # ApiVersions v0, no client id
            if to.recv(4):
                sys.exit(0)
    except OSError:
        pass
    time.sleep(0.05)
sys.exit(1)
PY
kill -TERM $first
wait $first || true
touch "$folder/ready"
say "ready after $((SECONDS - began)) s"
echo "$folder"
