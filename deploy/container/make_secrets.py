"""Makes the secrets of compose.yaml, each a file of its own with a strong random value; what is there is never changed.

python3 deploy/container/make_secrets.py deploy/secrets        needs nothing but Python 3.9 or newer

The folder is for its owner only (0700), the files too (0600). To change one: delete its file and run `make up` again, and for
InfluxDB and Grafana also change it there (docs/operate.md).
"""

import base64
import hashlib
import os
import secrets
import sys
from pathlib import Path

RANDOM = (
    "mqtt_password",  # of the MQTT user scopeline, who reads
    "mqtt_sensors_password",  # of the MQTT user sensors, who writes: for gateways and devices
    "mqtt_health_password",  # of the MQTT user health: the broker's health check
    "influxdb_password",  # of InfluxDB's first user, for its own pages
    "influxdb_admin_token",  # may do everything in InfluxDB: only set-up gets it
    "grafana_password",  # of Grafana's user admin
    "grafana_secret_key",  # encrypts what Grafana stores of its data sources
)
USERS = {"scopeline": "mqtt_password", "sensors": "mqtt_sensors_password", "health": "mqtt_health_password"}
ROUNDS = 10_000
"""Of the password hash. The passwords are random, 256 bits: more rounds would only slow connecting down."""


def write(file: Path, text: str) -> None:
    """Whole or not at all, and never readable by others, not even for a moment."""
    part = file.with_name(f".{file.name}.{os.getpid()}")
    with os.fdopen(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="ascii") as opened:
        opened.write(text)
    part.replace(file)


def hashed(password: str, salt: bytes) -> str:
    """A password as Mosquitto's password file has it: PBKDF2 with SHA-512."""
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ROUNDS)
    return "$".join(["", "7", str(ROUNDS), base64.b64encode(salt).decode(), base64.b64encode(key).decode()])


def make(folder: Path) -> list[str]:
    """Every file that is missing; returns their names. The broker's password file follows the passwords."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    made = [name for name in RANDOM if not (folder / name).exists()]
    for name in made:
        write(folder / name, secrets.token_urlsafe(32) + "\n")
    of_broker = (folder / "mosquitto_passwords", folder / "mosquitto_sub")
    if not all(file.exists() for file in of_broker) or set(made) & set(USERS.values()):
        passwords = {user: (folder / name).read_text(encoding="ascii").strip() for user, name in USERS.items()}
        lines = (f"{user}:{hashed(password, os.urandom(12))}\n" for user, password in passwords.items())
        write(of_broker[0], "".join(lines))
        write(of_broker[1], f"--username health\n--pw {passwords['health']}\n")  # options of mosquitto_sub, off its command line
        made += [file.name for file in of_broker]
    return made


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} FOLDER")
    try:
        for name in make(Path(sys.argv[1])):
            print(f"made {Path(sys.argv[1]) / name}")
    except OSError as error:
        sys.exit(f"{error.filename}: {error.strerror}. Name a folder that you may write to.")
