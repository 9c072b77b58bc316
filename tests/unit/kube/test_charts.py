import hashlib
import re

import pulumi
import pulumi_kubernetes
import pytest

from infra.base.paths import CHECKOUT
from infra.base.supply import Supply
from infra.kube import charts
from infra.kube.charts import Chart, ChartError, nested, release
from infra.kube.substrate import Kubernetes

CHART = Chart(
    name="thing", version="1.2.3", repository="https://charts.example", images={"server.image.registry": "quay.io"}
)
PINNED = [each for each in vars(charts).values() if isinstance(each, Chart)]


def installed(pulumi_run, supply, chart=CHART, **values):
    def program():
        provider = pulumi_kubernetes.Provider("cluster")
        substrate = Kubernetes(
            provider=provider, namespace=pulumi.Output.from_input("somewhere"), checkout=CHECKOUT, supply=supply
        )
        release("thing", chart, {"server.replicas": 2, **values}, substrate, pulumi.ResourceOptions(provider=provider))

    return pulumi_run(program).one("Release")


def test_dotted_paths_become_the_charts_own_nesting():
    assert nested({"a.b": 1, "a.c.d": 2, "e": 3}) == {"a": {"b": 1, "c": {"d": 2}}, "e": 3}


def test_release_has_the_pinned_version_of_the_official_repository(pulumi_run):
    made = installed(pulumi_run, Supply())
    made.assert_inputs({"chart": "thing", "version": "1.2.3", "namespace": "somewhere", "name": "thing"})
    assert made.get("repositoryOpts.repo") == "https://charts.example"
    assert made.get("values") == {"server": {"replicas": 2}}


def test_a_chart_in_a_registry_is_named_with_it(pulumi_run):
    chart = Chart(name="thing", version="1.2.3", repository="oci://ghcr.io/charts")
    made = installed(pulumi_run, Supply(), chart)
    assert made.get("chart") == "oci://ghcr.io/charts/thing"
    assert "repositoryOpts" not in made.inputs


def test_with_a_mirror_chart_and_images_come_from_it(pulumi_run):
    made = installed(pulumi_run, Supply(registry="mirror.example/ml"))
    assert made.get("chart") == "oci://mirror.example/ml/charts/thing"
    assert made.get("values.server") == {"replicas": 2, "image": {"registry": "mirror.example/ml/quay.io"}}


def folder(tmp_path, digest=None):
    archive = tmp_path / "charts" / "thing-1.2.3.tgz"
    archive.parent.mkdir()
    archive.write_bytes(b"a chart")
    return Supply(folder=tmp_path, digests={archive.name: digest} if digest else {})


@pytest.mark.parametrize("digest", [None, hashlib.sha256(b"a chart").hexdigest()])
def test_with_a_folder_the_chart_is_read_from_it(pulumi_run, tmp_path, digest):
    made = installed(pulumi_run, folder(tmp_path, digest))
    assert made.get("chart") == str(tmp_path / "charts" / "thing-1.2.3.tgz")
    assert "version" not in made.inputs


def test_another_chart_than_the_stack_file_says_is_refused(pulumi_run, tmp_path):
    with pytest.raises(ChartError, match=r"has the SHA-256 [0-9a-f]{64}, the stack file says 0{64}"):
        installed(pulumi_run, folder(tmp_path, "0" * 64))


@pytest.mark.parametrize(
    ("repository", "pulled"),
    [
        ("https://charts.example", "thing --repo https://charts.example --version 1.2.3"),
        ("oci://ghcr.io/charts", "oci://ghcr.io/charts/thing --version 1.2.3"),
    ],
)
def test_chart_missing_in_the_folder_names_the_command_that_gets_it(pulumi_run, tmp_path, repository, pulled):
    chart = Chart(name="thing", version="1.2.3", repository=repository)
    path = tmp_path / "charts" / chart.archive
    with pytest.raises(ChartError, match=re.escape(f"{path} does not exist: `helm pull {pulled}` on a machine")):
        installed(pulumi_run, Supply(folder=tmp_path), chart)


@pytest.mark.parametrize("chart", PINNED, ids=[each.name for each in PINNED])
def test_every_pin_is_exact_and_official(chart):
    assert chart.version.lstrip("v").replace(".", "").isdigit()
    assert chart.version.count(".") == 2
    assert chart.repository.startswith(("oci://", "https://"))
    assert "bitnami" not in chart.repository
    assert all("." in image.split("/")[0] for image in chart.images.values())


@pytest.mark.parametrize(
    ("chart", "module"),
    [
        (charts.GATEKEEPER, "github.com/open-policy-agent/gatekeeper/v3"),
        (charts.KSERVE, "github.com/kserve/kserve"),
        (charts.KSERVE_CRDS, "github.com/kserve/kserve"),
    ],
)
def test_a_controller_is_deployed_in_the_version_that_tests_run(chart, module):
    tested = (CHECKOUT / "tools" / module.split("/")[2] / "go.mod").read_text()
    assert f"{module} v{chart.version.removeprefix('v')} " in f"{tested} ".replace("\n", " \n")
