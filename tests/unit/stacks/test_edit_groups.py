"""Whose a step of a preview with several edits is; steps are made up."""

import networkx as nx
import pytest
from pytest_pulumi.result import OperationError, Result, Step

from tests import edits
from tests.edit_groups import WHOLE, Groups

BUCKET = "aws:s3/bucket:Bucket"


def step(urn, *changed, op="update", kind="a:b:C"):
    return Step(op=op, type=kind, name=urn, urn=urn, changed=changed, replaced_by=())


@pytest.fixture
def groups(monkeypatch):
    """Edits by what they change; every combination is a valid stack file."""
    monkeypatch.setattr(edits, "edited", dict)

    def make(arrows=(), **touched):
        made = {key: {key: 1} for key in touched}
        kept = {key: {urn: frozenset(names) for urn, names in some.items()} for key, some in touched.items()}
        return Groups(made, kept, nx.DiGraph(arrows))

    return make


@pytest.fixture
def effects(monkeypatch):
    """What is told of a group whose preview has these steps; each other group's preview fails the test."""

    def of(groups, previews):
        def previewed(_stack, changes):
            steps = previews[tuple(changes)]
            if isinstance(steps, str):
                raise OperationError(steps, Result("preview", (), (), (), ()))
            return steps

        monkeypatch.setattr(edits, "previewed", previewed)
        return dict(groups.effects(None, list(groups.made)))

    return of


def test_edits_of_different_inputs_share_a_preview_and_those_of_one_input_do_not(groups):
    of_one = groups(a={"db": ["size"]}, b={"db": ["days"]}, c={"db": ["size", "class"]})
    assert of_one.groups(alone=()) == [["a", "b"], ["c"]]


def test_edits_that_change_the_same_share_a_preview(groups):
    assert groups(a={"job": ["spec"]}, b={"job": ["spec"]}).groups(alone=()) == [["a", "b"]]


def test_an_edit_shares_no_preview_with_one_that_its_resource_depends_on(groups):
    chain = [("net", "db"), ("db", "job")]
    assert groups(chain, a={"net": ["cidr"]}, b={"job": ["spec"]}).groups(alone=()) == [["a"], ["b"]]


def test_a_resource_that_is_made_or_left_out_is_one_edits_only(groups):
    assert groups(a={"db": [WHOLE]}, b={"db": ["size"]}).groups(alone=()) == [["a"], ["b"]]


def test_an_edit_that_should_be_alone_is(groups):
    assert groups(a={"db": ["size"]}, b={"job": ["spec"]}).groups(alone={"b"}) == [["b"], ["a"]]


def test_keys_of_which_one_is_in_the_other_share_no_preview(groups):
    made = groups(**{"cluster": {"x": ["y"]}, "cluster.name": {"z": ["y"]}})
    assert made.groups(alone=()) == [["cluster"], ["cluster.name"]]


def test_each_step_is_the_edits_whose_input_differs_or_whose_resource_it_depends_on(groups, effects):
    given = groups([("db", "job")], a={"db": ["size"]}, b={"page": ["text"]})
    steps = [step("db", "size"), step("job", "spec.template", kind="a:b:J"), step("page", "text", kind="a:b:P")]
    assert effects(given, {("a", "b"): steps}) == {"a": "update a:b:C, a:b:J", "b": "update a:b:P"}


def test_an_edit_without_a_step_does_nothing_whatever_others_do(groups, effects):
    given = groups(a={"db": ["size"]}, b={"db": ["days"]})
    assert effects(given, {("a", "b"): [step("db", "size")]}) == {"a": "update a:b:C", "b": "nothing"}


@pytest.mark.parametrize(
    "steps",
    [
        [step("elsewhere", "x")],
        [step("db", "size", "unforeseen")],
        [step("db", "size", op="replace", kind=BUCKET)],
        "unable to replace resource",
    ],
    ids=["a step of nobody", "an input that no edit changes", "a loss", "a failure"],
)
def test_what_is_nobodys_alone_is_looked_at_in_halves(groups, effects, steps):
    given = groups(a={"db": ["size"]}, b={"page": ["text"]})
    alone = {("a",): [step("db", "size")], ("b",): []}
    assert effects(given, {("a", "b"): steps, **alone}) == {"a": "update a:b:C", "b": "nothing"}
