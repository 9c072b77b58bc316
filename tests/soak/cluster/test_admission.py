"""Every sample of every rule that holds at admission, at the real Gatekeeper through a real API server."""

import pytest

from tests.policy import admission

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]

CRDS = ("kserve", "prometheus-operator", "argo-workflows")
CASES = admission.cases()


def test_every_sample_gets_its_verdict_at_admission_and_in_the_audit(kube_apiserver, kube_crds):
    kube_crds(*CRDS)
    with admission.judging(kube_apiserver, CASES) as running:
        assert sorted(admission.wrong_verdicts(running, CASES)) == []
        assert sorted(admission.missed_by_audit(running, CASES)) == []
    assert len(CASES) > 150
