"""TLS, SCRAM and the least rights, on a broker that knows nobody else."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from forewarn.config import Config
from forewarn.transactions import settle
from stream.bus import Outgoing, Position, TopicSpec
from stream.clock import SystemClock
from stream.errors import Corrupt, ForewarnError, Rejected
from stream.kafka import KafkaBus
from stream.kafka_settings import KafkaSasl, KafkaSettings, KafkaTls
from tests.conftest import missing
from tests.kafka.test_transactions import half_told, predecessor
from tests.kafka_broker import Broker

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

PASSWORDS = {"admin": "admin-canary", "forewarn": "worker-canary", "stranger": "other-canary"}
SECURE = """
listeners=SASL_SSL://127.0.0.1:@BROKER@,CONTROLLER://127.0.0.1:@CONTROLLER@
advertised.listeners=SASL_SSL://127.0.0.1:@BROKER@
listener.security.protocol.map=SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=SASL_SSL
sasl.enabled.mechanisms=SCRAM-SHA-512
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.\
ScramLoginModule required username="admin" password="admin-canary";
ssl.keystore.type=PKCS12
ssl.keystore.location={folder}/keys.p12
ssl.keystore.password=changeit
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:admin;User:ANONYMOUS
transaction.partition.verification.enable=false
"""
ADMIN = """
security.protocol=SASL_SSL
sasl.mechanism=SCRAM-SHA-512
sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \
username="admin" password="admin-canary";
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
"""
TOPICS = [TopicSpec("in", 1, None), TopicSpec("out", 1, None)]
# As in docs/kafka.md.
RIGHTS = (
    ("--operation", "Read", "--operation", "Describe", "--topic", "sec.", "--group", "sec."),
    ("--operation", "Write", "--operation", "Describe", "--topic=sec.", "--transactional-id=sec."),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate for 127.0.0.1 that is its own authority."""
    if shutil.which("keytool") is None:
        missing("Java's keytool", "run `make components`")
    folder = tmp_path_factory.mktemp("secure")
    store = ["-keystore", folder / "keys.p12", "-storepass", "changeit", "-alias", "broker"]
    made = ["-genkeypair", "-keyalg", "EC", "-dname", "CN=127.0.0.1", "-ext", "san=ip:127.0.0.1"]
    subprocess.run(["keytool", *made, *store, "-storetype", "PKCS12"], check=True)
    exported = ["-exportcert", "-rfc", "-file", folder / "ca.pem"]
    subprocess.run(["keytool", *exported, *store], check=True, capture_output=True)
    for name, password in PASSWORDS.items():
        (folder / name).write_text(f"{password}\n")
    (folder / "admin.properties").write_text(ADMIN.format(folder=folder))
    return folder


@pytest.fixture(scope="module")
def secure(kafka_home: Path, folder: Path) -> Iterator[Broker]:
    extra = SECURE.replace("{folder}", str(folder))
    broker = Broker(kafka_home, folder, extra, PASSWORDS)
    broker.start()
    for rights in RIGHTS:
        broker.java(
            "org.apache.kafka.tools.AclCommand",
            *("--command-config", str(folder / "admin.properties")),
            *("--add", "--allow-principal", "User:forewarn", *rights),
            *("--resource-pattern-type", "prefixed"),
        )
    yield broker
    broker.stop()


def settings(secure: Broker, folder: Path, user: str, password: str = "") -> KafkaSettings:
    return KafkaSettings(
        bootstrap=(secure.address,),
        prefix="sec.",
        replication_factor=1,
        min_insync_replicas=1,
        request_timeout=5.0,
        security_protocol="SASL_SSL",
        tls=KafkaTls(ca_file=folder / "ca.pem"),
        sasl=KafkaSasl(username=user, password_file=folder / (password or user)),
    )


async def test_the_least_rights_are_enough_and_no_more(secure: Broker, folder: Path) -> None:
    async with KafkaBus.open(settings(secure, folder, "admin")) as bus:
        await bus.ensure(TOPICS)
        await (await bus.own("app", 0, ["in"])).release()  # makes the changelog's topic
        await bus.publish([], Position("x", b""))  # and that of positions
    async with KafkaBus.open(settings(secure, folder, "forewarn")) as bus:
        await bus.ensure(TOPICS)  # they are there
        await bus.publish([Outgoing("in", 0, b"k", b"v")], Position("s", b"1"))
        assert await bus.position("s") == b"1"
        owner = await bus.own("app", 0, ["in"])
        owner.seek({})
        await bus.settled("in")
        [batch] = await owner.poll(10)
        await owner.commit(
            [Outgoing("out", 0, b"k", b"w")], {b"k": b"v"}, {"in": batch.next_offset}
        )
        await bus.settled("out")
        assert (await owner.committed())["in"] == batch.next_offset
        async with bus.subscribe(["out"], "group") as group:
            assert await group.poll(10, 5.0)
            await group.commit()
        with pytest.raises(Rejected, match=r"does not make the topic sec\.new"):
            await bus.ensure([TopicSpec("new", 1, None)])


async def test_who_may_not_end_what_hangs_stops_before_its_decision_is_forgotten(
    secure: Broker, folder: Path
) -> None:
    admin, worker = settings(secure, folder, "admin"), settings(secure, folder, "forewarn")
    async with KafkaBus.open(admin) as bus:
        await bus.ensure([TopicSpec("told", 1, None), TopicSpec("untold", 1, None)])
        await (await bus.own("hung", 0, [])).release()
    async with predecessor(admin, "hung-0") as producer:
        await half_told(producer, admin, "told", "untold")
        await producer.commit_transaction()
    async with KafkaBus.open(worker) as bus:
        for _ in range(2):
            with pytest.raises(Corrupt, match="give our user Alter on the cluster"):
                await bus.own("hung", 0, [])
    [ended] = await settle(Config(bus="kafka", kafka=admin), SystemClock())
    assert ended.place.topic == "sec.untold"


async def test_who_has_no_rights_is_told_so(secure: Broker, folder: Path) -> None:
    async with KafkaBus.open(settings(secure, folder, "stranger")) as bus:
        with pytest.raises(ForewarnError) as refused:
            await bus.own("app", 0, ["in"])
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize("wrong", ["password", "certificate"])
async def test_a_wrong_secret_is_refused_without_being_shown(
    secure: Broker, folder: Path, wrong: str
) -> None:
    given = settings(secure, folder, "forewarn", "stranger" if wrong == "password" else "")
    if wrong == "certificate":
        given = given.model_copy(update={"tls": KafkaTls()})  # the system's authorities
    with pytest.raises(ForewarnError, match="cannot reach Kafka") as refused:
        async with KafkaBus.open(given):
            pass
    assert "canary" not in str(refused.value)
