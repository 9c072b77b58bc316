"""Quantities in the form that Kubernetes itself writes: another form of the same amount is a change at each `up`."""

import pytest

from infra.kube.objects import mebibytes, millicores


@pytest.mark.parametrize(
    ("amount", "written"), [(0, "0"), (20, "20m"), (999, "999m"), (1000, "1"), (1500, "1500m"), (64_000, "64")]
)
def test_cpu(amount, written):
    assert millicores(amount) == written


@pytest.mark.parametrize(
    ("amount", "written"),
    [(16, "16Mi"), (1024, "1Gi"), (1536, "1536Mi"), (65_536, "64Gi"), (1_048_576, "1Ti"), (1_048_575, "1048575Mi")],
)
def test_memory(amount, written):
    assert mebibytes(amount) == written
