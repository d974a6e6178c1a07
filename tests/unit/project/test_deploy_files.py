"""The files of docs/deploy, Dockerfile and compose.yaml keep their formats and fit the product."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from imagegen.settings import Settings
from imagegen.workflows.library import load_workflows
from tests.support.container_files import ROOT, documents, stages
from tests.support.documented_metrics import labels_by_metric

DEPLOY = ROOT / "docs" / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
UNIT = DEPLOY / "systemd" / "chatflow-imagegen.service"
NO_OBJECT = {"kustomization.yaml", "keda.yaml"}
OBJECTS = sorted(path for path in KUBERNETES.glob("*.yaml") if path.name not in NO_OBJECT)
FIELDS = {name.upper(): field for name, field in Settings.model_fields.items()}
SECRET = {name for name, field in FIELDS.items() if "SecretStr" in str(field.annotation)}
ANALYZE = shutil.which("systemd-analyze")

needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="there is no systemd-analyze")


def tool(name: str) -> str:
    """Return the path of a tool of the group `deploy`, or of its Python."""
    found = shutil.which(name, path=str(ROOT / ".venv-tools" / "bin"))
    if found is None:
        pytest.skip(f"{name} is not installed: make linters")
    return found


def run(*command: str | Path) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def manifest(name: str) -> dict[str, Any]:
    (document,) = documents(KUBERNETES / name)
    return document


def pods() -> list[dict[str, Any]]:
    return [manifest(name)["spec"]["template"]["spec"] for name in ("worker.yaml", "migrate.yaml")]


def test_hadolint_has_nothing_against_the_dockerfile() -> None:
    run(tool("hadolint"), ROOT / "Dockerfile")


def test_compose_keeps_the_schema_of_the_compose_specification() -> None:
    check = tool("check-jsonschema")

    run(check, "--builtin-schema", "vendor.compose-spec", ROOT / "compose.yaml")


def test_the_manifests_keep_the_schemas_of_kubernetes() -> None:
    # The oldest version that is in support, and the newest that the tool knows.
    for version in ("1.33", "1.36"):
        run(tool("kubernetes-validate"), "--strict", "-k", version, *OBJECTS)


# The model takes fields that it does not know, and leaves them out when it is written.
READ_AND_WRITE = """
import sys
from cloudcoil.models.keda.v1alpha1 import ScaledObject
read = ScaledObject.model_validate_json(sys.stdin.read())
print(read.model_dump_json(by_alias=True, exclude_unset=True))
"""


def test_the_scaled_object_keeps_the_schema_of_keda() -> None:
    written = manifest("keda.yaml")
    tool("hadolint")

    ended = subprocess.run(
        [tool("python"), "-c", READ_AND_WRITE],
        input=json.dumps(written),
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == written


def test_the_scaled_object_asks_for_metrics_that_exist() -> None:
    queries = [each["metadata"]["query"] for each in manifest("keda.yaml")["spec"]["triggers"]]

    asked = {name for query in queries for name in re.findall(r"imagegen_\w+", query)}

    assert asked
    assert asked <= labels_by_metric("imagegen_").keys()


def test_kustomize_lists_every_manifest_but_the_secret_and_keda() -> None:
    listed = manifest("kustomization.yaml")["resources"]

    assert sorted([*listed, "secret.example.yaml"]) == [path.name for path in OBJECTS]


def test_secrets_are_in_the_secret_and_nothing_else_is() -> None:
    secret = set(manifest("secret.example.yaml")["stringData"])
    # An address without its password is none.
    plain = set(manifest("settings.yaml")["data"]) - {"DATABASE_URL"}

    assert secret <= SECRET
    assert plain <= FIELDS.keys() - SECRET


def test_the_manifests_give_what_a_worker_demands(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in FIELDS:
        monkeypatch.delenv(name, raising=False)
    given = manifest("settings.yaml")["data"] | manifest("secret.example.yaml")["stringData"]

    settings = Settings(_env_file=None, **{name.lower(): value for name, value in given.items()})

    assert settings.database.url.password == given["PGPASSWORD"]
    assert [(name.host, name.port) for name in settings.host_dns_names] == [("comfyui", 8188)]


def test_the_example_of_a_secret_has_no_secret() -> None:
    for value in manifest("secret.example.yaml")["stringData"].values():
        assert re.search(r"change-me|replace-with", value)


def test_the_pods_have_no_rights() -> None:
    for pod in pods():
        (container,) = pod["containers"]
        security = container["securityContext"]

        assert pod["securityContext"]["runAsNonRoot"]
        assert not pod["automountServiceAccountToken"]
        assert security["readOnlyRootFilesystem"]
        assert not security["allowPrivilegeEscalation"]
        assert security["capabilities"] == {"drop": ["ALL"]}


def test_the_pods_run_under_the_account_of_the_image() -> None:
    (user,) = stages()[-1].texts("USER")

    for pod in pods():
        security = pod["securityContext"]
        assert f"{security['runAsUser']}:{security['runAsGroup']}" == user


def test_probes_service_and_network_policy_mean_the_port_of_the_worker() -> None:
    port = Settings.model_fields["web_port"].default
    worker, _ = pods()
    (container,) = worker["containers"]
    (ingress,) = manifest("network.yaml")["spec"]["ingress"]

    assert container["ports"] == [{"name": "web", "containerPort": port}]
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "web"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "web"}
    assert [each["port"] for each in ingress["ports"]] == [port]
    assert manifest("service.yaml")["spec"]["ports"][0]["targetPort"] == "web"


def test_all_selectors_mean_the_worker() -> None:
    worker = manifest("worker.yaml")
    labels = worker["spec"]["template"]["metadata"]["labels"]

    assert worker["spec"]["selector"]["matchLabels"] == labels
    assert manifest("service.yaml")["spec"]["selector"] == labels
    assert manifest("disruption.yaml")["spec"]["selector"]["matchLabels"] == labels


def test_a_pod_and_a_unit_wait_longer_for_the_end_than_the_worker_takes() -> None:
    stop_grace = float(manifest("settings.yaml")["data"]["STOP_GRACE"])
    worker, _ = pods()
    unit = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT.read_text(), re.MULTILINE)

    assert worker["terminationGracePeriodSeconds"] > stop_grace + 5
    assert [int(wait) > Settings.model_fields["stop_grace"].default + 5 for wait in unit] == [True]


def test_the_personas_of_the_config_map_are_personas(tmp_path: Path) -> None:
    worker, _ = pods()
    (items,) = [each["configMap"]["items"] for each in worker["volumes"] if "configMap" in each]
    data = manifest("personas.yaml")["data"]

    for item in items:
        file = tmp_path / item["path"]
        file.parent.mkdir()
        file.write_text(data[item["key"]])

    assert {item["key"] for item in items} == data.keys()
    load_workflows(ROOT / "workflows", tmp_path)
    for name, text in data.items():
        assert text == (ROOT / "workflows" / Path(name).stem / "persona.toml").read_text()


@needs_systemd
def test_systemd_understands_the_unit_and_finds_it_hardened(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    worker = Path(sys.executable).with_name("imagegen")
    unit.write_text(UNIT.read_text().replace("/opt/chatflow-imagegen/bin/imagegen", str(worker)))

    run(str(ANALYZE), "verify", "--man=no", unit)
    # From 0, which is safe, to 100.
    run(str(ANALYZE), "security", "--offline=true", "--threshold=20", "--no-pager", unit)
