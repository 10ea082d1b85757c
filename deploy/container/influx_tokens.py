"""Makes InfluxDB tokens with the least rights: processors write the plant's buckets, Grafana only reads them.

python influx_tokens.py PLANT OUT the admin token is the plant's own token_file here; OUT/process/influxdb_token and
                                OUT/grafana/influxdb_token are written, each for the user of its container

Run after `scopeline setup` (it makes the buckets). Repeatable: a token that is still in force is kept.
"""

import os
import sys
from pathlib import Path

from influxdb_client import Authorization, InfluxDBClient, Permission, PermissionResource

from schemas.connections import InfluxDB
from scopeline.plant import load, secret

WHO = {"process": (("read", "write"), 10001), "grafana": (("read",), 472)}
"""Consumer -> what it may do with the buckets, and the user of its container."""


def make(client: InfluxDBClient, store: InfluxDB, out: Path, own: bool = True) -> list[str]:
    """The consumers who got a new token. `own`: give the files to the consumers' users (needs root)."""
    names = [store.bucket, f"{store.bucket}_readings", f"{store.bucket}_health"]
    found = {bucket.name: bucket for bucket in client.buckets_api().find_buckets(org=store.org, limit=100).buckets}
    if missing := [name for name in names if name not in found]:
        raise SystemExit(f"InfluxDB has no bucket {', '.join(missing)}. Run `scopeline setup` first.")
    api, made = client.authorizations_api(), []
    valid = {(one.description, one.token): one for one in api.find_authorizations() if one.status == "active"}
    for who, (actions, user) in WHO.items():
        file, description = out / who / "influxdb_token", f"scopeline {who}"
        kept = file.read_text().strip() if file.exists() else ""
        if (description, kept) in valid:
            continue
        for (old, _), authorization in valid.items():
            if old == description:
                api.delete_authorization(authorization)
        org = found[store.bucket].org_id
        resources = [PermissionResource(type="buckets", id=found[name].id, org_id=org) for name in names]
        permissions = [Permission(action=action, resource=resource) for action in actions for resource in resources]
        answer = api.create_authorization(
            authorization=Authorization(org_id=org, description=description, permissions=permissions)
        )
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        with os.fdopen(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o400), "w") as opened:
            opened.write(answer.token + "\n")
        if own:
            os.chown(file, user, user)
        made.append(who)
    return made


def main() -> None:
    if len(sys.argv) != 3:
        raise SystemExit(f"usage: {sys.argv[0]} PLANT OUT")
    folder = Path(sys.argv[1])
    plant, problems = load(folder)
    if plant is None:
        raise SystemExit(f"{folder}: {len(problems)} problems. `scopeline check` prints them.")
    store = plant.settings.influxdb
    if store is None:
        raise SystemExit("plant.yaml: influxdb: is missing. Name the store of the cluster profile.")
    admin = secret(folder, store.token_file, "SCOPELINE_INFLUXDB_TOKEN")
    if admin is None:
        raise SystemExit("plant.yaml: influxdb.token_file is missing. Name the file of the token.")
    with InfluxDBClient(store.url, token=admin.get_secret_value(), org=store.org, timeout=30_000) as client:
        for who in make(client, store, Path(sys.argv[2])):
            print(f"made a token for {who}")


if __name__ == "__main__":
    main()
