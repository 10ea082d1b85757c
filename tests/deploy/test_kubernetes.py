"""The built overlays by an operator's eye: containers non-root, read-only, bounded, probed, pinned; no secret in any file."""

import re
from pathlib import Path
from typing import Any

KINDS = ("Deployment", "StatefulSet", "Job")
Overlays = dict[str, list[dict[str, Any]]]


def workloads(overlays: Overlays) -> list[tuple[str, dict[str, Any]]]:
    found = [
        (f"{overlay}/{o['metadata']['name']}", o) for overlay, objects in overlays.items() for o in objects if o["kind"] in KINDS
    ]
    assert len(found) == 5 + 5 + 8
    return found


def test_every_container_is_restricted(overlays: Overlays):
    for place, one in workloads(overlays):
        pod = one["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False and pod["enableServiceLinks"] is False, place
        assert pod["securityContext"]["runAsNonRoot"] is True and pod["securityContext"]["runAsUser"] >= 1000, place
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, place
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod), place
        assert not [volume for volume in pod["volumes"] if "hostPath" in volume], place
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, place


def test_every_container_is_bounded_pinned_and_probed(overlays: Overlays):
    for place, one in workloads(overlays):
        (container,) = one["spec"]["template"]["spec"]["containers"]
        resources = container["resources"]
        assert "memory" in resources["limits"] and {"cpu", "memory"} <= set(resources["requests"]), place
        assert re.fullmatch(r"[\w./-]+:\d+\.\d+\.\d+", container["image"]), f"{place}: {container['image']}"
        if one["kind"] != "Job":
            assert {"livenessProbe", "readinessProbe"} <= set(container), place
        assert one["spec"]["template"]["spec"].get("terminationGracePeriodSeconds", 30) >= 15, place


def test_every_mount_has_its_volume_and_the_plant_is_only_read(overlays: Overlays):
    for place, one in workloads(overlays):
        pod = one["spec"]["template"]["spec"]
        volumes = {v["name"] for v in pod["volumes"]} | {
            v["metadata"]["name"] for v in one["spec"].get("volumeClaimTemplates", [])
        }
        mounts = pod["containers"][0]["volumeMounts"]
        assert {mount["name"] for mount in mounts} == volumes, place
        paths = [mount["mountPath"] for mount in mounts]
        assert len(set(paths)) == len(paths), place
        for mount in mounts:
            if mount["mountPath"] not in ("/tmp", "/plant/.scopeline", "/archive") and not mount["mountPath"].endswith("data"):
                assert mount.get("readOnly") or mount["mountPath"] == "/var/lib/influxdb2", f"{place}: {mount}"


def test_no_secret_stands_in_a_file(overlays: Overlays):
    looked = 0
    for overlay, objects in overlays.items():
        for one in objects:
            assert one["kind"] != "Secret", f"{overlay}: {one['metadata']['name']}: Secrets are made by hand, from files"
        for one in (o for o in objects if o["kind"] in KINDS):
            for variable in one["spec"]["template"]["spec"]["containers"][0].get("env", []):
                looked += 1
                if re.search(r"PASSWORD|TOKEN|SECRET", variable["name"]):
                    assert variable["value"].startswith("/run/secrets/"), f"{overlay}: {variable['name']}"
    assert looked > 8


def test_secrets_are_referred_to_with_least_rights(overlays: Overlays):
    holders: dict[str, set[str]] = {}
    for one in (o for o in overlays["example"] if o["kind"] in KINDS):
        for volume in one["spec"]["template"]["spec"]["volumes"]:
            for source in volume.get("projected", {}).get("sources", []):
                holders.setdefault(source["secret"]["name"], set()).add(one["metadata"]["name"])
    assert holders["scopeline-mqtt"] == {"ingest"}
    assert holders["scopeline-influxdb"] == {"process"}
    assert holders["scopeline-setup"] == {"apply"}


def test_members_are_ordinals_and_the_state_is_a_cache(overlays: Overlays):
    named = {o["metadata"]["name"]: o for o in overlays["example"] if o["kind"] in KINDS}
    container = named["ingest"]["spec"]["template"]["spec"]["containers"][0]
    assert named["ingest"]["kind"] == "StatefulSet"
    assert "$(MEMBER)" in container["args"][container["args"].index("--member") + 1]
    assert container["env"][-1]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.labels['apps.kubernetes.io/pod-index']"
    assert named["process"]["spec"]["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Delete", "whenScaled": "Delete"}
    assert named["archive"]["spec"]["strategy"] == {"type": "Recreate"} and named["archive"]["spec"]["replicas"] == 1
    scaled = [o for o in overlays["keda"] if o["kind"] == "ScaledObject"]
    assert [o["spec"]["scaleTargetRef"]["name"] for o in scaled] == ["process"]
    process = next(o for o in overlays["keda"] if o["kind"] == "StatefulSet" and o["metadata"]["name"] == "process")
    assert "replicas" not in process["spec"], "two would fight over the number"


def test_budgets_and_policies_select_what_is_there(overlays: Overlays):
    for overlay, objects in overlays.items():
        labels = [o["spec"]["template"]["metadata"]["labels"] for o in objects if o["kind"] in KINDS]
        selectors = [o["spec"]["selector"] for o in objects if o["kind"] == "PodDisruptionBudget"]
        selectors += [o["spec"]["podSelector"] for o in objects if o["kind"] == "NetworkPolicy"]
        assert len(selectors) >= 8
        for selector in selectors:
            wanted = selector.get("matchLabels", {}).items()
            assert any(wanted <= one.items() for one in labels), f"{overlay}: {selector}"
        budgets = [o["metadata"]["name"] for o in objects if o["kind"] == "PodDisruptionBudget"]
        assert set(budgets) == {"ingest", "process", "console"}
    denied = next(o for o in overlays["example"] if o["kind"] == "NetworkPolicy" and o["metadata"]["name"] == "scopeline")
    assert denied["spec"]["policyTypes"] == ["Ingress", "Egress"] and "ingress" not in denied["spec"]


def test_the_settings_are_those_of_the_tests(overlays: Overlays):
    deploy = Path(__file__).parents[2] / "deploy"
    data = {key: text for o in overlays["tryout"] if o["kind"] == "ConfigMap" for key, text in o["data"].items()}
    for name in ("mosquitto/mosquitto.conf", "mosquitto/conf.d/durable.conf", "kafka/server.properties", "influxdb/config.yml"):
        assert data[Path(name).name] == (deploy / name).read_text(), name
