from typing import Any

import pytest
from pydantic import ValidationError

from workloads.lifecycle.discovery import first_problem
from workloads.lifecycle.schema import NAME_LENGTH, Column, DefinitionError
from workloads.lifecycle.workload import Workload, check_together

MINIMAL: dict[str, Any] = {
    "name": "pump-wear",
    "title": "Pump wear",
    "description": "Whether a pump fails.",
    "source": {
        "title": "the pump log",
        "contract_version": 1,
        "key": ["serial"],
        "columns": [
            {"name": "serial", "lowest": 1, "highest": 9},
            {"name": "heat", "lowest": -40, "highest": 900},
            {"name": "site", "lowest": 1, "highest": 3, "is_code": True},
            {"name": "failed", "lowest": 0, "highest": 1, "is_code": True},
        ],
    },
    "answer": "Probability of a failure",
    "entities": [{"name": "pump", "key": "serial", "column": "serial", "description": "A pump"}],
    "views": [
        {
            "name": "pump_features",
            "ttl": "P1D",
            "features": [{"name": "Heat", "type": "integer", "description": "Degrees"}],
        }
    ],
    "outcome": {"label": "failed_next_day", "column": "failed"},
    "attributes": ["site"],
    "groups": [{"attribute": "site", "column": "site"}],
    "derive": "pumps.derivation:derive",
    "generator": "pumps.generator:generate",
    "example": [80],
}


def changed_source(column: str, **changes: Any) -> dict[str, Any]:
    columns = [each | changes if each["name"] == column else each for each in MINIMAL["source"]["columns"]]
    return {**MINIMAL["source"], "columns": columns}


def defined(**changes: Any) -> Workload:
    return Workload.model_validate(MINIMAL | changes)


def test_names_of_servers_derive_from_the_workload_name():
    workload = defined()
    assert workload.model_name == "pump-wear-model"
    assert workload.experiment == "pump-wear-prediction"
    assert workload.module_name == "pump_wear"
    assert workload.features == ("Heat",)


def test_published_columns_omit_key_label_and_repeats_of_features():
    assert defined().published == ("site",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "Pump_Wear"}, "name: 'Pump_Wear' cannot name a workload.*a-z, 0-9 and '-'"),
        ({"name": "p" * (NAME_LENGTH + 1)}, f"at most {NAME_LENGTH} of a-z"),
        ({"outcome": {"label": "Heat", "column": "failed"}}, "views.features holds the label 'Heat'.*remove it"),
        ({"outcome": {"label": "y", "column": "broken"}}, "outcome.column names the column 'broken', which is none of"),
        ({"attributes": ["colour"]}, "attributes names the column 'colour'"),
        ({"attributes": ["failed"], "groups": []}, "attributes holds the label's column 'failed'"),
        ({"source": {**MINIMAL["source"], "key": ["id"]}}, "source.key names the column 'id'"),
        ({"groups": [{"attribute": "age", "column": "Age"}]}, "groups.column names the column 'Age'"),
        ({"groups": [{"attribute": "heat", "column": "Heat", "edges": [2, 1]}]}, "edges=.* must ascend"),
        ({"groups": [{"attribute": "site", "column": "site", "kept_values": [1]}]}, "belong together: give both"),
        ({"example": [1, 2]}, "example has 2 values, the model takes 1: Heat"),
        ({"derive": "pumps.derivation.derive"}, "is no reference: write `package.module:attribute`"),
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
        ({"views": [MINIMAL["views"][0] | {"ttl": "PT0S"}]}, "views.0.ttl: Input should be greater than 0"),
        ({"views": [MINIMAL["views"][0] | {"entities": ["site"]}]}, "views.entities names the entity 'site', which is"),
        ({"entities": [MINIMAL["entities"][0] | {"column": "id"}]}, "entities.column names the column 'id'"),
        ({"entities": [*MINIMAL["entities"], *MINIMAL["entities"]]}, "entities names 'pump' more than once"),
        ({"problem": "regression", "outcome": {"label": "life"}}, "outcome: outcome 'life': give one of column and"),
        (
            {"outcome": {**MINIMAL["outcome"], "highest": 300}},
            "outcome is 0 to 300, but a binary problem knows 0 and 1",
        ),
        ({"outcome": {**MINIMAL["outcome"], "lowest": 2}}, "outcome 'failed_next_day': lowest=2.0 must be below"),
        ({"split": "time"}, "split by 'time' needs `time`"),
        ({"time": {"column": "hour", "unit": "PT1H"}}, "time.column names the column 'hour'"),
        ({"personal": ["name"]}, "personal names the column 'name'"),
        ({"source": changed_source("serial", nullable=True)}, "column 'serial' identifies rows.*remove nullable"),
        ({"source": {**MINIMAL["source"], "key": ["serial", "heat"]}}, "source.key holds 'heat'.*make it an entity"),
        ({"entities": [MINIMAL["entities"][0] | {"type": "string"}]}, "the key 'serial' is of type string.* integer"),
        ({"source": changed_source("site", name="dt"), "attributes": [], "groups": []}, "names 'dt' more than once"),
        ({"outcome": {"label": "site", "derive": "pumps:y"}}, "published data .*names 'site' more than once"),
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
        Workload.model_validate({key: value for key, value in MINIMAL.items() if key != "entities"})
    assert first_problem(caught.value) == (
        "entities is missing (One or more: what a prediction is about, each with its key): give it"
    )


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({}, "column 'serial' is of type integer: give lowest and highest"),
        ({"lowest": 2, "highest": 1}, "lowest=2 is above highest=1; exchange the two"),
        ({"type": "string", "lowest": 1}, "is a string, which has no bounds: remove lowest and highest"),
        ({"lowest": 1, "highest": 2, "values": ["a"]}, "values are for strings; give lowest and highest instead"),
    ],
)
def test_column_whose_bounds_do_not_fit_its_type_is_refused(column, message):
    with pytest.raises(ValidationError, match=message):
        Column.model_validate({"name": "serial"} | column)


def test_view_of_one_entity_has_its_key_alone():
    site = {"name": "place", "key": "site", "column": "site", "description": "Where it stands"}
    alone = {"name": "site_features", "ttl": "P1D", "entities": ["place"], "features": []}
    alone["features"] = [{"name": "Wind", "type": "number", "description": "m/s"}]
    workload = defined(
        entities=[*MINIMAL["entities"], site],
        views=[*MINIMAL["views"], alone],
        example=[80, 1.5],
        attributes=[],
        groups=[],
    )
    assert workload.keys == ("serial", "site")
    assert [workload.keys_of(view) for view in workload.views] == [("serial", "site"), ("site",)]
    assert workload.features == ("Heat", "Wind")


def test_two_workloads_of_one_name_are_refused():
    with pytest.raises(DefinitionError, match="names 'pump-wear' more than once"):
        check_together([defined(), defined()])


def test_name_that_ends_another_is_refused_due_to_online_store_keys():
    with pytest.raises(DefinitionError, match="'wear' and 'pump-wear' cannot stand beside each other"):
        check_together([defined(), defined(name="wear")])
    check_together([defined(), defined(name="pump")])


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), True, "0.5", None])
def test_value_outside_the_problem_is_no_answer(value):
    assert not defined().is_answer(value)


def test_regression_answers_each_finite_number():
    regression = defined(problem="regression")
    assert regression.is_answer(-3)
    assert not regression.is_answer(float("inf"))
    assert defined().is_answer(0.5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"drill": [{"feature": "site", "offset": 1}]}, "drill.feature names the numeric feature 'site'"),
        ({"example_keys": [1, 2]}, "example_keys has 2 values, a request 1 keys: serial"),
    ],
)
def test_drill_and_example_keys_must_fit_the_features(changes, message):
    with pytest.raises(ValidationError) as error:
        defined(**changes)
    assert message in first_problem(error.value)


@pytest.mark.parametrize(
    ("threshold", "message"),
    [
        ({"limit": "min_auc", "value": 0.7, "reason": "x"}, "limit='min_auc' is unknown to the release policy; one of"),
        ({"limit": "min_ranking", "value": 0.4, "reason": "x"}, "min_ranking=0.4 is outside of 0.5 to 1: give a value"),
        ({"limit": "max_error_loss", "value": 0.1, "reason": "x"}, "gate names the binary limit 'max_error_loss'"),
        ({"limit": "min_ranking", "value": 0.7, "reason": ""}, "reason: String should have at least 1 character"),
    ],
)
def test_threshold_out_of_range_or_without_a_reason_is_refused(threshold, message):
    with pytest.raises(ValidationError) as caught:
        defined(gate=[threshold])
    assert message in first_problem(caught.value)


def test_definition_overrides_the_limits_of_its_problem():
    workload = defined(gate=[{"limit": "min_ranking", "value": 0.8, "reason": "the pumps of last year"}])
    assert workload.thresholds["min_ranking"] == 0.8
    assert workload.thresholds["max_brier"] == 0.25
