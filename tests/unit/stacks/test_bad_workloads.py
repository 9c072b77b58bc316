"""A definition that cannot stand is one line about the stack file that lists it, before anything is made."""

import importlib
import json
import sys
from importlib import metadata

import pytest
import yaml

from infra.base import paths
from stacks import workload_settings
from stacks.settings import StackFileError, parse
from workloads.lifecycle import discovery
from workloads.lifecycle.schema import NAME_LENGTH

LOCAL = yaml.safe_load((paths.CHECKOUT / "Pulumi.local.yaml").read_text())["config"]

DEFINITION = """
from datetime import timedelta
{imports}
from workloads.lifecycle.schema import Column, Entity, Feature, Outcome, Source, View
from workloads.lifecycle.thresholds import Threshold
from workloads.lifecycle.workload import Workload

HEAT = Feature(name="Heat", type="number", description="Degrees")
PUMPS = Workload(
    name={name!r},
    title="Pumps",
    description="Whether a pump fails.",
    answer="Probability of a failure",
    source=Source(
        title="the pump log",
        contract_version=1,
        key=("serial",),
        columns=(
            Column(name="serial", lowest=1, highest=9),
            Column(name="heat", type="number", lowest=0, highest=900),
            Column(name="failed", lowest=0, highest=1),
        ),
    ),
    {entities}
    views=(View(name="pump_features", {view}ttl=timedelta(days=2), features=({features},)),),
    outcome=Outcome(label="fails", column={label!r}),
    gate=({gate}),
    derive={derive!r},
    generator="workloads.loan_default.generator:generate",
    example=(80.0,),
)
"""

GOOD = {
    "imports": "",
    "name": "turbofan",
    "entities": 'entities=(Entity(name="pump", key="Serial", column="serial", description="A pump"),),',
    "view": "",
    "features": "HEAT",
    "label": "failed",
    "gate": "",
    "derive": "workloads.loan_default.derivation:feature_columns",
}

BAD = {
    "an unknown column": (
        {"label": "broken"},
        "outcome.column names the column 'broken', which is none of serial, heat, failed: name one of these, or add it",
    ),
    "a label among the features": (
        {"features": 'Feature(name="fails", type="integer", description="1 or 0")'},
        "views.features holds the label 'fails': a model that is given its label learns nothing; remove it",
    ),
    "an entity missing": (
        {"entities": ""},
        "entities is missing (One or more: what a prediction is about, each with its key): give it",
    ),
    "a view of an entity that is not there": (
        {"view": 'entities=("site",), '},
        "views.entities names the entity 'site', which is none of pump: name one of these, or add it there",
    ),
    "no entity": ({"entities": "entities=(),"}, "entities: Tuple should have at least 1 item .* (got ()); correct it"),
    "a threshold out of range": (
        {"gate": 'Threshold(limit="min_ranking", value=1.5, reason="all")'},
        "min_ranking=1.5 is outside of 0.5 to 1: give a value in between",
    ),
    "a name too long for DNS, MLflow or IAM": (
        {"name": "p" * (NAME_LENGTH + 1)},
        (
            f"name: '{'p' * (NAME_LENGTH + 1)}' cannot name a workload: namespaces, MLflow models, IAM roles and "
            f"schedules derive from it; give at most {NAME_LENGTH} of a-z, 0-9 and '-', starting with a letter"
        ),
    ),
    "a name of the platform": (
        {"name": "mlflow"},
        (
            "name: 'mlflow' cannot name a workload: a namespace or a folder of the platform has that name; give "
            "another one"
        ),
    ),
    "a module that is not there": (
        {"derive": "pumps.derivation:derive"},
        "derive='pumps.derivation:derive' leads nowhere: there is no module 'pumps.derivation'; correct it, or install",
    ),
    "a function that is not there": (
        {"derive": "workloads.loan_default.derivation:derive"},
        (
            "derive='workloads.loan_default.derivation:derive' leads nowhere: workloads.loan_default.derivation has no "
            "'derive'; correct the reference"
        ),
    ),
    "a definition that imports pandas": (
        {"imports": "import pandas"},
        (
            "the definition 'pumps:PUMPS' imports pandas, which the Pulumi program lacks: move what needs it into a "
            "module of its own and name it by a reference `module:attribute`"
        ),
    ),
    "a mistake of Python": ({"imports": "import math; math.nothing"}, "AttributeError: .* line 3); correct it"),
}


@pytest.fixture
def listed(tmp_path, monkeypatch):
    """What a stack file that lists this definition, in the place of a registered one, is told."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(workload_settings.REGISTERED, "turbofan", "pumps:PUMPS")

    def read(**changes):
        (tmp_path / "pumps.py").write_text(DEFINITION.format(**(GOOD | changes)))
        importlib.invalidate_caches()
        return stack_file(["loan_default", "turbofan"])

    yield read
    sys.modules.pop("pumps", None)


def stack_file(workloads):
    config = {**LOCAL, "mlplatform:workloads": workloads}
    return parse({key: json.dumps(value) for key, value in config.items()}, "local")


def told(text, line):
    """Whether a line holds a text; ` .* ` stands for anything."""
    rest = line
    for part in text.split(" .* "):
        _, found, rest = rest.partition(part)
        if not found:
            return False
    return True


def test_definition_that_the_table_changes_is_a_good_one(listed):
    assert listed().definitions["turbofan"].title == "Pumps"


@pytest.mark.parametrize(("changes", "text"), BAD.values(), ids=BAD)
def test_definition_that_cannot_stand_is_one_line_about_it(listed, changes, text):
    with pytest.raises(StackFileError) as caught:
        listed(**changes)
    line = str(caught.value)
    assert line.startswith("Pulumi.local.yaml: ")
    assert "\n" not in line
    assert told(text, line), line


def test_two_workloads_of_one_name_are_one_line(listed):
    with pytest.raises(StackFileError, match="workloads names 'loan-default' more than once: remove or rename"):
        listed(name="loan-default")


def test_installed_workload_with_the_name_of_one_of_ours_is_one_line(monkeypatch):
    monkeypatch.setitem(workload_settings.INSTALLED, "turbofan", "turbofan")
    with pytest.raises(
        StackFileError, match="'turbofan', which this repository and an installed package both bring: uninstall"
    ):
        stack_file(["turbofan"])


def test_workload_that_two_packages_register_is_one_line(monkeypatch):
    monkeypatch.setitem(workload_settings.REGISTERED, "turbofan", "turbofan")
    points = [metadata.EntryPoint("turbofan", value, discovery.ENTRY_POINTS) for value in ("a:A", "b:B")]
    monkeypatch.setattr(metadata, "entry_points", lambda **_: points)
    with pytest.raises(StackFileError, match=r"2 installed packages register a workload 'turbofan' \(a:A, b:B\)"):
        stack_file(["turbofan"])


def test_workload_that_is_named_like_a_role_is_refused(monkeypatch):
    monkeypatch.setitem(workload_settings.REGISTERED, "tracking", "pumps:PUMPS")
    with pytest.raises(StackFileError) as refused:
        stack_file(["tracking"])
    assert "workloads names 'tracking', which is a role of the stack file: rename the workload" in str(refused.value)
