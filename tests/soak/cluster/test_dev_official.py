"""The dev stack's life by the official provider `kubernetes` (4.25.0, SDK 4.34.2) on a real API server.

Charts are stand-ins of one object each, released by the provider's own Helm; of Kubeflow Pipelines there is what is
ours. Pods run on simulated nodes.
"""

import sys

import pytest
from pytest_pulumi_kubernetes import Gatekeeper, KServe
from simulated_pulumi.providers import Random

from tests import official, stand_in_charts
from tools.env import PARALLEL

from .conftest import UNPROVEN, Dev
from .test_dev import made_by_kserve, mend_what_others_did, placed, seconds, sweep

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]


@pytest.fixture
def dev(pulumi_stack, kube_cluster, kube_crds, tmp_path, monkeypatch):
    """The dev stack, not yet up, on a cluster where the real KServe and the real Gatekeeper run already."""
    kube_crds(*UNPROVEN)
    monkeypatch.setattr("infra.admission.kubernetes.NAMESPACE", "gatekeeper-chart")
    stand_in_charts.write(tmp_path)
    substrate = {"kind": "kubernetes", "supply": {"folder": str(tmp_path)}}
    made = Dev(None, kube_cluster, None, tmp_path)
    program = made.program(made.settings(substrate=substrate))
    made.stack = official.stack(pulumi_stack, program, [Random()], timeout_seconds=1500)
    with (
        Gatekeeper(kube_cluster),
        KServe(
            kube_cluster, namespace="kserve-real", gateway="kserve/models", domain="models.internal", runtimes=False
        ),
    ):
        yield made


def test_dev_lives_on_the_official_provider_and_leaves_nothing(dev, tmp_path, capsys):
    made = dev.stack.up(parallel=PARALLEL)
    said = [f"up {seconds(made)} s of {len(made.changes)} objects"]
    assert set(made.counts) == {"create"}
    assert set(placed(dev).values()) <= {"Running", "Succeeded"}
    assert {"HTTPRoute", "HorizontalPodAutoscaler"} <= made_by_kserve(dev)

    quiet = dev.stack.preview()
    assert quiet.changes == ()
    said.append(f"no-op preview {seconds(quiet)} s")
    assert dev.stack.refresh().changes == ()

    mend_what_others_did(dev)

    said.append(f"down {seconds(dev.stack.destroy(parallel=PARALLEL))} s")
    with capsys.disabled():
        sys.stdout.write("; ".join(said) + "\n")
    assert sweep(dev, tmp_path) == []
