from typing import Any

import pytest
from pydantic import ValidationError

from workloads.lifecycle.discovery import first_problem
from workloads.lifecycle.workload import NAME_LENGTH, DefinitionError, Workload, check_together

MINIMAL: dict[str, Any] = {
    "name": "pump-wear",
    "title": "Pump wear",
    "description": "Whether a pump fails.",
    "source": {
        "title": "the pump log",
        "contract_version": 1,
        "key": "serial",
        "columns": [
            {"name": "serial", "lowest": 1, "highest": 9},
            {"name": "heat", "lowest": -40, "highest": 900},
            {"name": "site", "lowest": 1, "highest": 3, "is_code": True},
            {"name": "failed", "lowest": 0, "highest": 1, "is_code": True},
        ],
    },
    "entity": {"name": "pump", "key": "serial", "description": "A pump"},
    "view": {
        "name": "pump_features",
        "ttl": "P1D",
        "features": [{"name": "Heat", "type": "integer", "description": "Degrees"}],
    },
    "outcome": {"label": "failed_next_day", "column": "failed"},
    "attributes": ["site"],
    "groups": [{"attribute": "site", "column": "site"}],
    "derive": "pumps.derivation:derive",
    "generator": "pumps.generator:generate",
    "example": [80],
}


def defined(**changes: Any) -> Workload:
    return Workload.model_validate(MINIMAL | changes)


def test_names_of_servers_derive_from_the_workload_name():
    workload = defined()
    assert workload.model_name == "pump-wear-model"
    assert workload.experiment == "pump-wear-prediction"
    assert workload.module_name == "pump_wear"
    assert workload.features == ("Heat",)


def test_published_columns_leave_out_key_label_and_what_a_feature_repeats():
    assert defined().published == ("site",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "Pump_Wear"}, "name: 'Pump_Wear' cannot name a workload.*a-z, 0-9 and '-'"),
        ({"name": "p" * (NAME_LENGTH + 1)}, f"at most {NAME_LENGTH} of a-z"),
        ({"outcome": {"label": "Heat", "column": "failed"}}, "view.features holds the label 'Heat'.*remove it"),
        ({"outcome": {"label": "y", "column": "broken"}}, "outcome.column names the column 'broken', which is none of"),
        ({"attributes": ["colour"]}, "attributes names the column 'colour'"),
        ({"attributes": ["failed"]}, "attributes holds the label's column 'failed'"),
        ({"source": {**MINIMAL["source"], "key": "id"}}, "source.key names the column 'id'"),
        ({"groups": [{"attribute": "age", "column": "Age"}]}, "groups.column names the column 'Age'"),
        ({"groups": [{"attribute": "heat", "column": "Heat", "edges": [2, 1]}]}, "edges=.* must ascend"),
        ({"groups": [{"attribute": "site", "column": "site", "kept_values": [1]}]}, "belong together: give both"),
        ({"example": [1, 2]}, "example has 2 numbers, the model takes 1: Heat"),
        ({"derive": "pumps.derivation.derive"}, "is no reference: write `package.module:attribute`"),
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
        ({"view": {**MINIMAL["view"], "ttl": "PT0S"}}, "view.ttl: Input should be greater than 0"),
    ],
)
def test_bad_definition_is_refused_in_one_line_that_names_the_field(changes, message):
    with pytest.raises(ValidationError) as caught:
        defined(**changes)
    line = first_problem(caught.value)
    assert "\n" not in line
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(line)


def test_entity_is_required():
    with pytest.raises(ValidationError) as caught:
        Workload.model_validate({key: value for key, value in MINIMAL.items() if key != "entity"})
    assert first_problem(caught.value).startswith("entity: Field required")


def test_two_workloads_of_one_name_are_refused():
    with pytest.raises(DefinitionError, match="names 'pump-wear' more than once"):
        check_together([defined(), defined()])


def test_name_that_ends_another_is_refused_because_of_online_store_keys():
    with pytest.raises(DefinitionError, match="'wear' and 'pump-wear' cannot stand beside each other"):
        check_together([defined(), defined(name="wear")])
    check_together([defined(), defined(name="pump")])
