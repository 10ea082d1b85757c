"""Kafka over TLS with SASL and ACLs, as docs/operate.md describes it: setup, apply, ingest, process, doctor; and who may not."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourceType,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]
TEMPLATE = Path(__file__).with_name("cluster_plant")
DOCS = Path(__file__).parents[2] / "docs" / "operate.md"
LOGIN = 'bootstrap_servers: ["@secure@"], username: @user@, password_file: "@secrets@/@user@", mechanism: @mechanism@, '
USERS = {"setup": "SCRAM-SHA-256", "ingest": "SCRAM-SHA-512", "process": "PLAIN", "stranger": "SCRAM-SHA-512"}
"""User -> its mechanism: each of those that plant.yaml knows."""


def password(user: str) -> str:
    return f"canary-of-{user}"


class Secure:
    """A Kafka that strangers cannot use: `address` with TLS and SASL; `inside` without, for its administrator."""

    def __init__(self, kit: Any, folder: Path) -> None:
        folder.mkdir()
        self.folder, self.ca = folder, folder / "ca.pem"
        certificates(folder)
        inside, outside, controller = (kit.free_port() for _ in range(3))
        self.inside, self.address = f"127.0.0.1:{inside}", f"127.0.0.1:{outside}"
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        plain = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        users = " ".join(f'user_{user}="{password(user)}"' for user, how in USERS.items() if how == "PLAIN")
        kit.start_kafka(
            port=inside,
            settings={
                "listeners": f"PLAINTEXT://{self.inside},SASL_SSL://{self.address},CONTROLLER://127.0.0.1:{controller}",
                "advertised.listeners": f"PLAINTEXT://{self.inside},SASL_SSL://{self.address}",
                "controller.quorum.voters": f"1@127.0.0.1:{controller}",
                "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT",
                "sasl.enabled.mechanisms": "SCRAM-SHA-256,SCRAM-SHA-512,PLAIN",
                "listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config": scram,
                "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": scram,
                "listener.name.sasl_ssl.plain.sasl.jaas.config": f"{plain} {users};",
                "ssl.keystore.type": "PEM",
                "ssl.keystore.location": folder / "server.keystore.pem",
                "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                "super.users": "User:ANONYMOUS",
            },
        )
        for user in USERS:
            (folder / user).write_text(f"{password(user)}\n")

    def admit(self, prefix: str) -> None:
        """Users, and what they may do: the table of docs/operate.md."""
        admin = KafkaAdminClient(bootstrap_servers=self.inside)
        kinds = {"SCRAM-SHA-256": ScramMechanism.SCRAM_SHA_256, "SCRAM-SHA-512": ScramMechanism.SCRAM_SHA_512}
        given = [UserScramCredentialUpsertion(u, kinds[how], password(u)) for u, how in USERS.items() if how in kinds]
        assert not any(admin.alter_user_scram_credentials(given).values())
        assert not admin.create_acls(list(granted(prefix)))["failed"]
        admin.close()


def granted(prefix: str) -> Any:
    """Rights of the users, read from the documentation."""
    kinds = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP}
    for line in DOCS.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) != 3 or "<prefix>" not in line or cells[0].split(",")[0].strip("` ") not in ("setup", "ingest", "process"):
            continue
        user = cells[0].split(",")[0].strip("` ")
        for kind, cell in zip(("topic", "group"), cells[1:], strict=True):
            for clause in filter(None, cell.split(";")):
                rights, _, names = clause.strip().removeprefix("process also ").partition(" on ")
                for name in names.split(","):
                    wanted = name.strip().replace("`", "").replace("<prefix>", prefix)
                    how = ACLResourcePatternType.PREFIXED if wanted.endswith("*") else ACLResourcePatternType.LITERAL
                    place = ResourcePattern(kinds[kind], wanted.rstrip("*"), how)
                    for right in rights.split(","):
                        operation = ACLOperation[right.strip().upper()]
                        yield ACL(f"User:{user}", "*", operation, ACLPermissionType.ALLOW, place)


def certificates(folder: Path) -> None:
    """An authority, and a server's certificate for 127.0.0.1 beside its key, as Kafka reads them."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    (folder / "san").write_text("subjectAltName=IP:127.0.0.1")
    new = ("req", "-newkey", "rsa:2048", "-nodes")
    openssl(*new, "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=test")
    openssl(*new, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=kafka")
    signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "san", "-days", "2")
    openssl("x509", "-req", "-in", "server.csr", *signing, "-out", "server.pem")
    both = (folder / "server.key").read_text() + (folder / "server.pem").read_text()
    (folder / "server.keystore.pem").write_text(both)


@pytest.fixture
def secure(server_kit: Any, tmp_path: Path) -> Secure:
    return Secure(server_kit, tmp_path / "kafka-secrets")


@pytest.fixture
def works(cluster: Any, secure: Secure, tmp_path: Path) -> Any:
    """A plant whose connection to Kafka is TLS with SASL; `start(role, others=as_user(...))` signs in as another user."""
    template = tmp_path / "template"
    shutil.copytree(TEMPLATE, template)
    file = template / "plant.yaml"
    open_, mine = 'bootstrap_servers: ["@kafka@"], ', LOGIN + "tls: {ca_file: @ca@}, "
    assert open_ in file.read_text()
    file.write_text(file.read_text().replace(open_, mine))
    given = {"secure": secure.address, "secrets": secure.folder, "ca": secure.ca, **as_user("setup")}
    plant = cluster(at=secure.inside, setup=False, template=template, **given)
    secure.admit(plant.prefix)
    return plant


def as_user(user: str) -> dict[str, str]:
    return {"user": user, "mechanism": USERS[user]}


def test_every_role_over_tls_with_its_own_user_and_no_more_rights_than_documented(works: Any) -> None:
    works.setup()
    again = works.command("setup")
    assert "made" not in again.stdout, again.stdout
    works.start("ingest", others=as_user("ingest")).ready()
    works.start("process", others=as_user("process")).ready()
    gauge = works.gauge()
    works.send(gauge, 0, 200)
    works.check()
    works.command("apply")
    works.plant_dir = works.folder / "plant-process-1"
    found = json.loads(works.command("doctor", "--json", check=False).stdout)["findings"]
    of_kafka = [one for one in found if one["about"] in ("kafka", "process")]
    assert of_kafka and not [one for one in of_kafka if one["severity"] in ("error", "warning")], of_kafka
    assert "canary" not in works.said() + str(found)


def test_who_may_not_is_told_what_to_do(works: Any, secure: Secure) -> None:
    """A user without rights, a wrong password, an authority that signed somebody else: named, and the password is not."""

    def refused(*arguments: str, **other: Any) -> str:
        works.plant_dir = works._write(works.folder / f"plant-{len(list(works.folder.iterdir()))}", **other)
        done = works.command(*arguments, check=False)
        assert done.returncode == 1 and "canary" not in done.stdout + done.stderr
        return done.stderr

    works.setup()
    assert "may not" in refused("setup", **as_user("stranger"))
    assert "let this user see it" in refused("apply", **as_user("stranger")), "Kafka hides what a user may not describe"
    (secure.folder / "ingest").write_text("canary-that-is-wrong\n")
    assert "correct kafka: in plant.yaml (bootstrap_servers, username, password_file, tls)" in refused(
        "apply", **as_user("ingest")
    )
    (secure.folder / "other").mkdir()
    certificates(secure.folder / "other")
    said = refused("apply", ca=secure.folder / "other" / "ca.pem", **as_user("setup"))
    assert "correct kafka: in plant.yaml (bootstrap_servers, username, password_file, tls)" in said
