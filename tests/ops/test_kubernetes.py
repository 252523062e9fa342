"""The manifests: built by kustomize where it is there, and each object held against the API's schemas."""

import shutil
import subprocess
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from ops.kubernetes import rule
from streaming.settings_sources import load_settings
from tests.docs import ROOT

KUBERNETES = ROOT / "ops" / "kubernetes"
RELEASES = ("1.31", "1.37")
needs_kustomize = pytest.mark.skipif(
    shutil.which("kustomize") is None,
    reason="kustomize isn't there: go install sigs.k8s.io/kustomize/kustomize/v5@v5.6.0",
)


def objects(text: str) -> Iterator[dict[str, Any]]:
    yield from (each for each in yaml.safe_load_all(text) if each)


def plain() -> list[dict[str, Any]]:
    """Every object of the built-in API that stands in a file."""
    files = [path for path in KUBERNETES.rglob("*.yaml") if path.name != "kustomization.yaml"]
    found = [each for path in files for each in objects(path.read_text())]
    return [each for each in found if "monitoring.coreos.com" not in each["apiVersion"]]


def deployment() -> dict[str, Any]:
    return next(each for each in plain() if each["kind"] == "Deployment")


def whole(spec: dict[str, Any]) -> dict[str, Any]:
    """With the selector that kustomize adds."""
    labels = {"app.kubernetes.io/name": "penstock"}
    spec = deepcopy(spec)
    spec["spec"].setdefault("selector", {"matchLabels": labels})
    spec["spec"]["template"].setdefault("metadata", {"labels": labels})
    return spec


@pytest.mark.parametrize("release", RELEASES)
def test_every_object_is_of_the_api(release: str) -> None:
    found = plain()
    assert {each["kind"] for each in found} > {"Deployment", "Service", "PersistentVolumeClaim", "NetworkPolicy"}
    for each in found:
        kubernetes_validate.validate(whole(each) if each["kind"] == "Deployment" else each, release, strict=True)


def test_a_misspelt_probe_is_noticed() -> None:
    wrong = whole(deployment())
    container = wrong["spec"]["template"]["spec"]["containers"][0]
    container["livenesProbe"] = container.pop("livenessProbe")
    with pytest.raises(kubernetes_validate.ValidationError, match="livenesProbe"):
        kubernetes_validate.validate(wrong, RELEASES[-1], strict=True)


def test_the_pod_has_time_for_its_last_checkpoint_and_is_never_doubled() -> None:
    settings = load_settings(KUBERNETES / "base" / "penstock.toml")
    spec = deployment()["spec"]
    assert (spec["replicas"], spec["strategy"]["type"]) == (1, "Recreate")
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] >= settings.service.grace_s + 10
    (container,) = spec["template"]["spec"]["containers"]
    assert container["ports"][0]["containerPort"] == settings.service.port
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert any(settings.checkpoint_directory.is_relative_to(mount) for mount in mounts)
    startup = container["startupProbe"]
    assert startup["failureThreshold"] * startup["periodSeconds"] >= 300  # a worker's allowance for its imports


def test_the_operators_rules_are_those_of_prometheus() -> None:
    assert rule.FILE.read_text() == rule.rendered(), "run python -m ops.kubernetes.rule"


@needs_kustomize
@pytest.mark.parametrize("overlay", ["cpu", "gpu", "monitored"])
def test_every_overlay_builds(overlay: str, tmp_path: Path) -> None:
    copied = tmp_path / "kubernetes"
    shutil.copytree(KUBERNETES, copied)
    if overlay == "monitored":
        folder = copied / "overlays" / overlay
        folder.mkdir()
        wanted = {"resources": ["../cpu"], "components": ["../../components/monitoring"]}
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(wanted))
    command = ["kustomize", "build", str(copied / "overlays" / overlay)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    built = {each["kind"]: each for each in objects(done.stdout)}
    for kind, each in built.items():
        if kind not in ("PodMonitor", "PrometheusRule"):
            kubernetes_validate.validate(each, RELEASES[-1], strict=True)
    pod = built["Deployment"]["spec"]["template"]
    assert built["Service"]["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert built["ConfigMap"]["metadata"]["name"] in {
        volume["configMap"]["name"] for volume in pod["spec"]["volumes"] if "configMap" in volume
    }
    assert ("nvidia.com/gpu" in pod["spec"]["containers"][0]["resources"]["limits"]) == (overlay == "gpu")
    assert ("PodMonitor" in built) == (overlay == "monitored")
