"""Every stack file is valid, by the settings and by the schema that editors use; every broken sample is refused."""

import json

import jsonschema
import pytest
import yaml

from infra.core.paths import CHECKOUT
from stacks import schema
from stacks.settings import StackFileError, parse

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


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_stack_file_is_refused_in_one_line_and_in_the_editor(change):
    broken = config(CHECKOUT / "Pulumi.local.yaml") | change
    with pytest.raises(StackFileError) as error:
        parse(texts(broken), "local")
    assert len(str(error.value).splitlines()) == 1
    assert next(iter(change)) in str(error.value)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"config": broken}, json.loads(schema.text()))
