import numpy as np
import pytest
from kserve import InferInput

from workloads.lifecycle.base.errors import RequestError
from workloads.lifecycle.serving.payload import Requests
from workloads.loan_default.definition import LOAN_DEFAULT

from .pumps import PUMPS

GOOD = [45, 72000, 680, 3]
LOANS = Requests(LOAN_DEFAULT, 10)


def test_vectors_become_float32_rows():
    rows = LOANS.v1({"instances": [GOOD, [21.5, 2, 303, 4]]})
    assert rows.vectors.dtype == np.float32
    assert rows.vectors.tolist() == [GOOD, [21.5, 2, 303, 4]]


def test_customers_become_ids():
    assert LOANS.v1({"instances": [{"CustomerID": 1001}, {"CustomerID": 7.0}]}).keys == ((1001,), (7,))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"raw", "must be a JSON object"),
        (None, "must be a JSON object"),
        ([GOOD], "must be a JSON object"),
        ({}, 'no "instances"'),
        ({"instances": {}}, '"instances" must be a list'),
        ({"instances": []}, '"instances" must be a list with at least one'),
        ({"instances": [GOOD] * 11}, "11 rows are too many for one request, the limit is 10"),
        ({"instances": [GOOD[:3]]}, "instance 0 must be a list of 4 numbers: Age, Income"),
        ({"instances": [GOOD, [*GOOD, 1]]}, "instance 1 must be a list of 4 numbers"),
        ({"instances": [[45, "72000", 680, 3]]}, "instance 0: Income must be a number, got '72000'"),
        ({"instances": [[45, None, 680, 3]]}, "Income must be a number, got None"),
        ({"instances": [[True, 1, 1, 1]]}, "Age must be a number, got True"),
        ({"instances": [[float("nan"), 1, 1, 1]]}, "Age must be finite"),
        ({"instances": [[float("inf"), 1, 1, 1]]}, "Age must be finite"),
        ({"instances": [[10**400, 1, 1, 1]]}, "Age must be finite and below 1e"),
        ({"instances": [[[45], 1, 1, 1]]}, r"Age must be a number, got \[45\]"),
        ({"instances": ["text"]}, "instance 0 must be a list"),
        ({"instances": [{"CustomerID": "1"}]}, "CustomerID must be a whole number from 0 to 2"),
        ({"instances": [{"CustomerID": -1}]}, "CustomerID must be a whole number"),
        ({"instances": [{"CustomerID": 1.5}]}, "CustomerID must be a whole number"),
        ({"instances": [{"CustomerID": True}]}, "CustomerID must be a whole number"),
        ({"instances": [{"CustomerID": 10**30}]}, "CustomerID must be a whole number"),
        ({"instances": [{"customer": 1}]}, 'instance 0 must be {"CustomerID": <integer>} and nothing else'),
        ({"instances": [{"CustomerID": 1, "Age": 3}]}, "and nothing else"),
        ({"instances": [{"CustomerID": 1}, GOOD]}, "do not mix it with vectors"),
        ({"instances": [GOOD, {"CustomerID": 1}]}, "instance 1 must be a list of 4 numbers"),
    ],
)
def test_a_malformed_body_is_answered_with_what_is_expected(body, message):
    with pytest.raises(RequestError, match=message) as caught:
        LOANS.v1(body)
    assert caught.value.status == 400
    assert len(str(caught.value)) < 300


def tensor(shape, datatype, data, name="features"):
    return InferInput(name, shape, datatype, data=data)


def test_a_tensor_may_be_flat_or_nested():
    assert LOANS.v2([tensor([1, 4], "FP64", GOOD)]).vectors.tolist() == [GOOD]
    assert LOANS.v2([tensor([1, 4], "INT64", [GOOD])]).vectors.tolist() == [GOOD]


def test_a_tensor_of_customers_may_be_a_list_or_a_column():
    assert LOANS.v2([tensor([2], "INT64", [5, 6], "CustomerID")]).keys == ((5,), (6,))
    assert LOANS.v2([tensor([2, 1], "INT64", [[5], [6]], "CustomerID")]).keys == ((5,), (6,))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], "expected one input tensor, got 0"),
        ([tensor([1, 4], "FP64", GOOD)] * 2, "expected one input tensor, got 2"),
        ([tensor([1, 3], "FP64", [1, 2, 3])], r"must be \[n, 4\]: Age, Income"),
        ([tensor([4], "FP64", GOOD)], r"must be \[n, 4\]"),
        ([tensor([0, 4], "FP64", [])], r"must be \[n, 4\]"),
        ([tensor([2, 4], "FP64", GOOD)], r"the data of 'features' is not \[2, 4\] of FP64"),
        ([tensor([-1, 4], "FP64", GOOD)], "must be a list of sizes"),
        ([tensor(None, "FP64", GOOD, None)], "must be a list of sizes"),
        ([tensor(True, "FP64", GOOD)], "must be a list of sizes"),
        ([tensor([True, 4], "FP64", GOOD)], "must be a list of sizes"),
        ([tensor([1, 4], "NOPE", GOOD)], "is not"),
        ([tensor([11, 4], "FP64", GOOD * 11)], "11 rows are too many"),
        ([tensor([1, 4], "BYTES", ["a", "b", "c", "d"])], "must be a number"),
        ([tensor([1, 4], "BOOL", [True] * 4)], "must be a number"),
        ([tensor([1, 4], "FP64", ["x", 1, 2, 3])], "is not"),
        ([tensor([1, 4], "FP64", [float("nan"), 1, 2, 3])], "must be finite"),
        ([tensor([1], "FP64", [1.5], "CustomerID")], "CustomerID must be a whole number"),
    ],
)
def test_a_malformed_tensor_is_answered_with_what_is_expected(inputs, message):
    with pytest.raises(RequestError, match=message) as caught:
        LOANS.v2(inputs)
    assert caught.value.status == 400


BEYOND = [-5, -1, 9999, 900]
LENIENT = Requests(LOAN_DEFAULT, 10, scores_outside=True)


def matrix(*rows):
    tensor = InferInput("features", [len(rows), 4], "FP64")
    tensor.set_data_from_numpy(np.array(rows, dtype=np.float64), binary_data=False)
    return [tensor]


@pytest.mark.parametrize("ask", [lambda *rows: LOANS.v1({"instances": [*rows]}), lambda *rows: LOANS.v2(matrix(*rows))])
def test_value_outside_the_bounds_of_its_feature_is_refused_by_name(ask):
    with pytest.raises(RequestError, match=r"instance 1: Age must be from 18 to 120, got -5") as caught:
        ask(GOOD, BEYOND)
    assert (caught.value.status, caught.value.reason) == (400, "out_of_range")
    with pytest.raises(RequestError, match=r"instance 0: NumOpenAccounts must be from 0 to 6, got 7"):
        ask([45, 72000, 680, 7])


@pytest.mark.parametrize(
    "ask", [lambda *rows: LENIENT.v1({"instances": [*rows]}), lambda *rows: LENIENT.v2(matrix(*rows))]
)
def test_rows_outside_the_bounds_are_named_where_they_are_scored(ask):
    rows = ask(GOOD, BEYOND, GOOD, BEYOND)
    assert (rows.vectors.tolist(), rows.outside) == ([GOOD, BEYOND, GOOD, BEYOND], (1, 3))
    assert ask(GOOD).outside == ()
    with pytest.raises(RequestError, match=r"finite and below 1e\+12"):
        ask([45, 1e13, 680, 3])


@pytest.mark.parametrize("edge", [[18, 0, 300, 0], [120, 300_000_000, 850, 6]])
def test_the_bounds_themselves_are_taken(edge):
    assert LOANS.v1({"instances": [edge]}).outside == LOANS.v2(matrix(edge)).outside == ()


def test_features_without_bounds_and_missing_values_have_none():
    pumps = Requests(PUMPS, 10)
    assert pumps.v1({"instances": [list(PUMPS.example)]}).outside == ()
    assert all(feature.holds(None) and feature.holds(float("nan")) for feature in LOAN_DEFAULT.inputs)
