"""What an object still lacks, read off the object alone."""

import pytest

from pytest_pulumi_kubernetes.awaiting import FailedError, waiting_for


def thing(wait_for, **status):
    metadata = {"name": "a", "annotations": {"pulumi.com/waitFor": wait_for}}
    return {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": metadata, "status": status}


@pytest.mark.parametrize(
    ("expression", "status", "lacks"),
    [
        ("jsonpath={.status.created}=true", {"created": True}, None),
        ("jsonpath={.status.created}=true", {"created": False}, "status.created is False"),
        ("jsonpath={.status.ready}=2", {"ready": 2}, None),
        ("jsonpath={.status.phase}=Running", {"phase": "Running"}, None),
        ("jsonpath={.status.phase}", {}, "status.phase is not there"),
        ("condition=Ready", {"conditions": [{"type": "Ready", "status": "True"}]}, None),
        ("condition=Ready", {"conditions": []}, "condition Ready is not there"),
    ],
)
def test_an_annotation_names_what_is_waited_for_as_kubectl_writes_it(expression, status, lacks):
    assert waiting_for(thing(expression, **status), None) == lacks


def test_an_expression_of_neither_kind_is_refused():
    with pytest.raises(FailedError, match="has to begin with"):
        waiting_for(thing("ready"), None)
