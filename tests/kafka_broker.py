"""A real Kafka broker on loopback, for as long as a test needs it.

It starts from a copy of a formatted folder and an archive of its classes (`deploy/kafka`), in some
two seconds of CPU, and is up when it answers an ApiVersions request: a log line may be an old one.
It keeps its ports and its data over `kill` and `start`.
"""

import hashlib
import os
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).resolve().parent.parent / "deploy" / "kafka"
_SECONDS: Final = 90.0  # a start takes 2 to 8 s on two busy cores
_LOOK: Final = 0.05  # seconds between two looks


def cached() -> Path:
    """Where `deploy/kafka/ensure.sh` puts the broker; it need not be there."""
    total = hashlib.sha256()
    for name in ("ensure.sh", "pom.xml", "server.properties"):
        total.update((SOURCE / name).read_bytes())
    cache = Path(os.environ.get("FOREWARN_CACHE", Path.home() / ".cache" / "forewarn"))
    return cache / f"kafka-{total.hexdigest()[:16]}"


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


class Broker:
    """One node.

    Parameters
    ----------
    extra
        Lines of configuration that overrule those of deploy/kafka.
    users
        SCRAM users by name, with their passwords; takes some seconds to format. Empty: none, but
        formatted anew, as a node that is not the template's needs it.
    ports
        Of the broker and of its controller, for nodes that must know each other's.
    """

    def __init__(
        self,
        home: Path,
        folder: Path,
        extra: str = "",
        users: Mapping[str, str] | None = None,
        ports: tuple[int, int] | None = None,
    ) -> None:
        self._home = home
        self._folder = folder
        self._port, controller = ports or free_ports(2)
        self.address = f"127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._secure = "SASL_SSL" in extra
        text = (SOURCE / "server.properties").read_text() + f"\n{extra}\n"
        for name, value in (
            ("DATA", str(folder / "data")),
            ("BROKER", str(self._port)),
            ("CONTROLLER", str(controller)),
        ):
            text = text.replace(f"@{name}@", value)
        (folder / "server.properties").write_text(text)
        if users is None:
            shutil.copytree(home / "template", folder / "data")
            return
        scram = [
            f"--add-scram=SCRAM-SHA-512=[name={name},password={password}]"
            for name, password in users.items()
        ]
        where = ["--cluster-id", "AAAAAAAAAAAAAAAAAAAAAA", "-c", folder / "server.properties"]
        self._java("kafka.tools.StorageTool", "format", *where, *scram, wait=60.0)

    def start(self) -> None:
        """Start, or start again, and return when it answers."""
        with (self._folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    "java",
                    *("-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
                    f"-XX:SharedArchiveFile={self._home / 'kafka.jsa'}",
                    *("-Xlog:cds=off", "-Xlog:cds+dynamic=off"),
                    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
                    *("-cp", f"{self._home / 'libs'}/*", "kafka.Kafka"),
                    str(self._folder / "server.properties"),
                ],
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + _SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                tail = (self._folder / "broker.log").read_text(errors="replace")[-3000:]
                raise RuntimeError(f"the broker does not come up:\n{tail}")
            time.sleep(_LOOK)  # noqa: TID251  # a real server starts in real time

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self._port), 1.0) as to:
                to.settimeout(1.0)
                if self._secure:
                    context = ssl.create_default_context()
                    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                    context.wrap_socket(to).close()
                    return True
                to.sendall(struct.pack(">ihhih", 10, 18, 0, 1, -1))  # ApiVersions v0, no client id
                return len(to.recv(4)) > 0
        except OSError:
            return False

    def kill(self) -> None:
        """End it without a word, as a loss of power to its process would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Shut it down, or kill it where that takes too long."""
        self._end(signal.SIGTERM)

    def java(self, main: str, *args: str, wait: float = 60.0) -> str:
        """Run one of Kafka's own tools against it and return what it prints."""
        return self._java(main, "--bootstrap-server", self.address, *args, wait=wait)

    def _java(self, main: str, *args: str | Path, wait: float) -> str:
        found = subprocess.run(
            [
                "java",
                *("-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
                "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
                *("-cp", f"{self._home / 'libs'}/*", main),
                *args,
            ],
            capture_output=True,
            text=True,
            timeout=wait,
            check=False,
        )
        if found.returncode:
            raise RuntimeError(f"{main}: {found.stdout}\n{found.stderr}")
        return found.stdout

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(20.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
