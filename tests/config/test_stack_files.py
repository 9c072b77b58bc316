"""Every stack file is valid, by the settings and by the schema that editors use; every broken sample is refused."""

import json

import jsonschema
import pytest
import yaml

from infra.base.paths import CHECKOUT
from stacks.commands import schema
from stacks.settings import StackFileError, parse, read

STACK_FILES = sorted(CHECKOUT.glob("Pulumi.*.yaml"))
BROKEN = {
    "a role is misspelled": {"mlplatform:trackng": {"kind": "mlflow-on-host"}},
    "a key is misspelled": {"mlplatform:tracking": {"kind": "mlflow-on-host", "prot": 5000}},
    "a kind does not exist": {"mlplatform:online_store": {"kind": "memcached"}},
    "a kind is missing": {"mlplatform:online_store": {}},
    "a port is privileged": {"mlplatform:serving": {"kind": "kserve-on-host", "port": 80}},
    "a number is a word": {"mlplatform:monitoring": {"kind": "prometheus-on-host", "retention_days": "long"}},
    "a share is above one": {"mlplatform:loan_default": {"ingestion": {"max_bad_share": 2}}},
    "a time is no cron expression": {"mlplatform:loan_default": {"nightly_cron": "every night"}},
    "a block is a word": {"mlplatform:substrate": "local"},
}
LOGIN = {"kind": "oidc", "issuer": "https://login.example.org", "client_id": "ml"}
BROKEN_ON_A_CLUSTER = {
    "a gateway without a login": {
        "mlplatform:exposure": {"kind": "gateway", "issuer": "letsencrypt", "domain": "a.example.org"}
    },
    "no context is named": {"mlplatform:cluster": {"kind": "existing-cluster"}},
    "a realization stands on a host": {"mlplatform:online_store": {"kind": "redis-on-host"}},
    "a gateway without a domain": {"mlplatform:exposure": {"kind": "gateway", "issuer": "letsencrypt", "login": LOGIN}},
    "a port that no node has": {
        "mlplatform:exposure": {
            "kind": "node-port",
            "domain": "a.example.org",
            "issuer": "own",
            "port": 443,
            "login": {"kind": "none"},
        }
    },
    "a way out that does not exist": {"mlplatform:exposure": {"kind": "tunnel"}},
    "a quota of nothing": {"mlplatform:namespaces": {"kind": "guarded-namespaces", "workload_quota": {"pods": 0}}},
    "GPU nodes without names": {"mlplatform:gpu_node_pool": {"kind": "labelled-nodes", "nodes": []}},
    "a model server that scales to none": {"mlplatform:serving": {"kind": "kserve-on-kubernetes", "min_replicas": 0}},
}


def config(path):
    return yaml.safe_load(path.read_text())["config"]


def texts(blocks):
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in blocks.items()}


@pytest.mark.parametrize("path", STACK_FILES, ids=lambda path: path.name)
def test_a_stack_file_is_valid(path):
    parse(texts(config(path)), path.name.split(".")[1])


@pytest.mark.parametrize("path", STACK_FILES, ids=lambda path: path.name)
def test_a_stack_file_is_valid_in_the_editor(path):
    jsonschema.validate({"config": config(path)}, json.loads(schema.text()))


@pytest.mark.parametrize("path", STACK_FILES, ids=lambda path: path.name)
def test_a_stack_file_tells_editors_its_schema(path):
    assert path.read_text().startswith("# yaml-language-server: $schema=stacks/schema.json\n")


@pytest.mark.parametrize(
    ("stack", "change"),
    [
        *(pytest.param("local", change, id=name) for name, change in BROKEN.items()),
        *(pytest.param("dev", change, id=name) for name, change in BROKEN_ON_A_CLUSTER.items()),
    ],
)
def test_a_broken_stack_file_is_refused_in_one_line_and_in_the_editor(stack, change):
    broken = config(CHECKOUT / f"Pulumi.{stack}.yaml") | change
    with pytest.raises(StackFileError) as error:
        parse(texts(broken), stack)
    assert len(str(error.value).splitlines()) == 1
    assert next(iter(change)) in str(error.value)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"config": broken}, json.loads(schema.text()))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data": "/home/me/loans.csv"}, "no pod can read: put it into the artifact store"),
        ({"serving": {"model_version": 7}}, "`serving: {model_version: 7}` and `retraining: {enabled: false}`"),
    ],
)
def test_what_cannot_work_together_is_refused_with_the_fix(change, said):
    broken = config(CHECKOUT / "Pulumi.dev.yaml") | {"mlplatform:loan_default": change}
    with pytest.raises(StackFileError, match=said):
        parse(texts(broken), "dev")


@pytest.mark.parametrize("stack", ["local", "dev", "prod"])
def test_a_default_that_is_written_down_changes_nothing(stack):
    asked = read(stack).loan_default
    written = type(asked).model_validate_json(asked.model_dump_json())
    assert repr(written) == repr(asked)
