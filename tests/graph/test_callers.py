"""Who may call which server, and with which credential, is what the tables in `golden/test_callers` say and no more.

A new caller or a wider credential fails: read the difference as a review of access, then accept it with
`--pulumi-update`.
"""

import pytest

from tests import callers, dev, prod
from tests.graph import test_local as local
from tests.graph.test_local_pipelines import AIRFLOW

SIGNER = {"loan-default-retraining-process", "loan-default-retraining-pods"}


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(local.program(), id="local"),
        pytest.param(local.program(pipelines=AIRFLOW), id="local-airflow"),
        pytest.param(dev.program(), id="dev"),
    ],
)
def test_callers_and_credentials_are_those_of_the_table(pulumi_run, pulumi_golden, program):
    check(callers.table(pulumi_run(program)), pulumi_golden)


def test_callers_and_credentials_of_prod_are_those_of_the_table(pulumi_golden):
    check(callers.table(prod.whole()), pulumi_golden)


def check(table, golden):
    lines = table.splitlines()
    signer = {line.split(" ")[0] for line in lines if line.endswith(" has SIGNING_KEY")}
    holds = {line.split(" ")[1] for line in lines if line.endswith(" holds SIGNING_KEY")}
    assert (signer <= SIGNER, holds <= {"loan-default-retraining-environment"}) == (True, True)
    anybody = [line for line in lines if line.endswith(f"<- {callers.ANYBODY}")]
    assert [line for line in anybody if not line.startswith("pods of ")] == []  # a chart's webhooks: the API server's
    golden(table)


class Graph:
    """One server, one pod that calls it, and policies."""

    def __init__(self, *rules):
        labels = {name: {"app": name} for name in ("server", "caller", "other")}
        pods = {
            name: {
                "metadata": {"namespace": "team"},
                "spec": {"template": {"metadata": {"labels": found}, "spec": SPEC}},
            }
            for name, found in labels.items()
        }
        policy = {"podSelector": {"matchLabels": labels["server"]}, "ingress": list(rules)}
        space = {"metadata": {"name": "team", "labels": {}}}
        self._kinds = {
            "Deployment": [Object(name, pod) for name, pod in pods.items()],
            "NetworkPolicy": [Object("policy", {"metadata": {"namespace": "team"}, "spec": policy})],
            "Namespace": [Object("space", space)],
        }

    def all(self, kind):
        return self._kinds.get(kind, [])


class Object:
    def __init__(self, name, inputs):
        self.name, self._inputs = name, inputs

    def get(self, path, default=None):
        value = self._inputs
        for part in path.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        return default if value is None else value


SPEC = {
    "containers": [{"env": [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}]}],
    "volumes": [{"secret": {"secretName": "files-0123456"}}],
}
CALLER = {"podSelector": {"matchLabels": {"app": "caller"}}}


WIDE = [{"from": [{"podSelector": {}}]}, {"from": [{"namespaceSelector": {}}]}]


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        ({"from": [CALLER], "ports": [{"port": 80}]}, "server :80 <- caller"),
        ({"from": [CALLER]}, "server :any <- caller"),
        ({"ports": [{"port": 80}]}, "server :80 <- anybody"),
        ({"from": [{"podSelector": {}}]}, "server :any <- pods of team with any labels"),
        ({"from": [{"namespaceSelector": {}}]}, "server :any <- pods of namespaces with any labels with any labels"),
        ({"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}, "server :any <- addresses 10.0.0.0/8"),
    ],
)
def test_table_has_a_line_for_whoever_a_policy_admits(rule, line):
    lines = callers.table(Graph(rule)).splitlines()
    assert line in lines
    assert {"caller has TOKEN", "caller has the files of files"} <= set(lines)
    assert ("server :any <- other" in lines) is (rule in WIDE)
