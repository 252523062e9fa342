"""The manifests: built by kustomize where it is there, and each object held against the API's schemas."""

import re
import shutil
import subprocess
import textwrap
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from ops.kubernetes import rule
from streaming.settings_sources import load_settings
from streaming.start import IMPORT_S
from tests.docs import ROOT, RUNBOOK

KUBERNETES = ROOT / "ops" / "kubernetes"
RELEASES = ("1.31", "1.37")
BUILDERS = ["kustomize", "build"], ["kubectl", "kustomize"]


@pytest.fixture(params=BUILDERS, ids=lambda command: command[0])
def builder(request: pytest.FixtureRequest) -> list[str]:
    """A command that builds a folder, where it is there and knows components."""
    command: list[str] = request.param
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} isn't there; kustomize: go install sigs.k8s.io/kustomize/kustomize/v5@v5.6.0")
    if command[0] == "kubectl":
        done = subprocess.run(["kubectl", "version", "--client"], capture_output=True, text=True, timeout=60)
        if "Kustomize Version: v5" not in done.stdout:
            pytest.skip("this kubectl's kustomize is older than 5")
    return command


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
    assert container["securityContext"]["readOnlyRootFilesystem"]
    for written in (settings.checkpoint_directory, settings.export_directory):
        assert written.is_relative_to("/data")
    assert "/data" in {mount["mountPath"] for mount in container["volumeMounts"]}
    startup = container["startupProbe"]
    patience_s = startup["failureThreshold"] * startup["periodSeconds"]
    assert 2 * IMPORT_S <= patience_s < spec["progressDeadlineSeconds"]


def test_the_operators_rules_are_those_of_prometheus() -> None:
    assert rule.FILE.read_text() == rule.rendered(), "run python -m ops.kubernetes.rule"


@pytest.mark.parametrize("overlay", ["cpu", "gpu"])
def test_every_overlay_builds(overlay: str, builder: list[str]) -> None:
    built = build(builder, KUBERNETES / "overlays" / overlay)
    pod = built["Deployment"]["spec"]["template"]
    assert built["Service"]["spec"]["publishNotReadyAddresses"]
    assert built["Service"]["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert built["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert built["ConfigMap"]["metadata"]["name"] in {
        volume["configMap"]["name"] for volume in pod["spec"]["volumes"] if "configMap" in volume
    }
    assert ("nvidia.com/gpu" in pod["spec"]["containers"][0]["resources"]["limits"]) == (overlay == "gpu")


def test_the_runbooks_own_overlay_builds(builder: list[str], tmp_path: Path) -> None:
    """With the operator's objects, another image and other settings."""
    shutil.copytree(KUBERNETES, tmp_path / "ops" / "kubernetes")
    chapter = RUNBOOK.read_text().partition("### Install\n")[2].partition("\n### ")[0]
    (block,) = re.findall(r"```yaml\n(.*?)```", chapter, re.DOTALL)
    own = tmp_path / "own"
    own.mkdir()
    (own / "kustomization.yaml").write_text(textwrap.dedent(block))
    (own / "penstock.toml").write_text('name = "cats"\n')
    built = build(builder, own)
    pod = built["Deployment"]["spec"]["template"]
    assert pod["spec"]["containers"][0]["image"] == "registry.example/penstock:0.1.0-cpu"
    assert built["ConfigMap"]["data"] == {"penstock.toml": 'name = "cats"\n'}
    assert built["ConfigMap"]["metadata"]["name"] in str(pod["spec"]["volumes"])
    assert built["PodMonitor"]["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert {each["metadata"].get("namespace") for each in built.values()} == {"training"}


def build(builder: list[str], folder: Path) -> dict[str, dict[str, Any]]:
    """Kind -> object; each of the built-in API is valid."""
    done = subprocess.run([*builder, str(folder)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    built = {each["kind"]: each for each in objects(done.stdout)}
    for each in built.values():
        if "monitoring.coreos.com" not in each["apiVersion"]:
            kubernetes_validate.validate(each, RELEASES[-1], strict=True)
    return built
