import json

import pytest

from stacks.commands.preview.picture import as_mermaid
from stacks.commands.preview.plan import Plan, PreviewError, Step, parse
from stacks.commands.preview.report import SHOWN_STEPS, as_json, as_markdown, as_text, verdict
from stacks.commands.preview.values import LONGEST, SECRET_KEY, UNKNOWN, changed

ROOT = "urn:pulumi:prod::mlplatform::pulumi:pulumi:Stack::mlplatform-prod"


def urn(name, kind="aws:s3/bucket:Bucket", parents=""):
    return f"urn:pulumi:prod::mlplatform::{parents}{kind}::{name}"


STORE = urn("artifact-store", "mlplatform:index:S3ArtifactStore")
TRACKING = urn("tracking", "mlplatform:index:Mlflow")
BUCKET = urn("artifact-store-bucket", parents="mlplatform:index:S3ArtifactStore$")
SERVER = urn("tracking-server", "kubernetes:apps/v1:Deployment", "mlplatform:index:Mlflow$")
OLD = urn("tracking-old", "kubernetes:core/v1:Secret", "mlplatform:index:Mlflow$")
KEY = urn("artifact-store-key", "aws:kms/key:Key", "mlplatform:index:S3ArtifactStore$")
PROVIDER = urn("main", "pulumi:providers:aws")


def step(resource, op, parent=ROOT, **more):
    state = {
        "urn": resource,
        "custom": "mlplatform:" not in resource.split("::")[2].rpartition("$")[2],
        "parent": parent,
    }
    state |= {key: more.pop(key) for key in ("dependencies", "propertyDependencies", "inputs") if key in more}
    side = "oldState" if op in {"delete", "delete-replaced"} else "newState"
    return {"op": op, "urn": resource, side: state, **more}


STEPS = [
    {"op": "same", "urn": ROOT, "newState": {"urn": ROOT}},
    step(STORE, "same"),
    step(BUCKET, "same", STORE),
    step(TRACKING, "same"),
    step(
        SERVER,
        "update",
        TRACKING,
        dependencies=[OLD, PROVIDER],
        propertyDependencies={"env": [BUCKET]},
        detailedDiff={"spec.replicas": {}, "metadata.labels": {}},
        oldState={"inputs": {"spec": {"replicas": 1}, "metadata": {"labels": {"app": "old"}}}},
        inputs={"spec": {"replicas": 2}, "metadata": {"labels": {"app": "new"}}},
    ),
    step(OLD, "delete", TRACKING),
    step(KEY, "create-replacement", STORE, replaceReasons=["description"]),
    step(KEY, "replace", STORE),
    step(KEY, "delete-replaced", STORE),
    step(PROVIDER, "create"),
]


def printed(steps=STEPS, diagnostics=()):
    return json.dumps({"steps": list(steps), "diagnostics": list(diagnostics)})


@pytest.fixture
def plan():
    return parse(printed())


def test_every_resource_belongs_to_the_component_right_below_the_root(plan):
    assert {step.name: step.role for step in plan.steps if step.custom} == {
        "artifact-store-bucket": "artifact-store",
        "artifact-store-key": "artifact-store",
        "tracking-server": "tracking",
        "tracking-old": "tracking",
        "main": "stack",
    }


def test_the_parts_of_a_replacement_are_one_change(plan):
    assert plan.counts == {"replace": 1, "same": 1, "update": 1, "delete": 1, "create": 1}
    (key,) = [step for step in plan.changes if step.name == "artifact-store-key"]
    assert key.because == ("description",)


def test_a_role_uses_other_roles_that_its_resources_depend_on(plan):
    assert plan.uses["tracking"] == {"artifact-store"}
    assert plan.uses["artifact-store"] == frozenset()


def test_the_verdict_says_how_much_of_what(plan):
    assert verdict(plan) == "1 to create, 1 to change, 1 to replace, 1 to delete; 1 stay as they are"
    assert verdict(parse(printed(STEPS[:3]))) == "no changes; 1 stay as they are"


def test_the_text_names_each_change_with_the_inputs_that_differ(plan):
    text = as_text(plan, "prod")
    assert (
        "~ tracking: tracking-server (kubernetes:apps/v1:Deployment)  "
        'metadata.labels: {"app": "old"} -> {"app": "new"}, spec.replicas: 1 -> 2' in text
    )
    assert "- tracking: tracking-old" in text
    assert "! artifact-store: artifact-store-key" in text
    assert "artifact-store-bucket" not in text


def test_first_screen_has_verdict_table_losses_and_other_verdicts(plan):
    text = as_text(plan, "prod", beside=["cost: 3 USD a month"])
    first, _, details = text.partition("\nEvery change:\n")
    assert first.startswith("prod: 1 to create, 1 to change, 1 to replace, 1 to delete")
    parts = [
        "role  ",
        "Replaced or deleted:",
        "! artifact-store: artifact-store-key",
        "- tracking: tracking-old",
        "cost: ",
    ]
    places = [first.index(part) for part in parts]
    assert places == sorted(places)
    assert len(first.splitlines()) < 24
    assert "+ stack: main" in details
    assert "+ stack: main" not in first


def test_every_loss_is_shown_and_the_rest_is_never_cut_in_silence():
    many = [step(urn(f"old-{number}"), "delete") for number in range(SHOWN_STEPS + 50)]
    text = as_text(parse(printed([STEPS[0], *many])), "prod", where="reports/preview.json")
    losses, _, details = text.partition("\nEvery change:\n")
    assert losses.count("- stack: old-") == len(many)
    assert details.strip().endswith("... and 50 more: see reports/preview.json")
    assert "preview.json" in as_markdown(parse(printed([STEPS[0], *many])), "prod")


def test_counted_are_resources_and_not_the_components_above_them(plan):
    assert "2 components, which only group resources, are not counted" in as_text(plan, "prod")


SECRET = {SECRET_KEY: "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "v1:abc"}


@pytest.mark.parametrize(
    ("path", "old", "new", "said"),
    [
        ("a", {"a": 1}, {"a": 2}, "a: 1 -> 2"),
        ("a", {}, {"a": 2}, "a: (none) -> 2"),
        ("a", {"a": 1}, {}, "a: 1 -> (none)"),
        ("a", {"a": 1}, {"a": 1}, "a"),
        ("a[1].b", {"a": [0, {"b": "x"}]}, {"a": [0, {"b": "y"}]}, 'a[1].b: "x" -> "y"'),
        ('a["b.c"]', {"a": {"b.c": 1}}, {"a": {"b.c": 2}}, 'a["b.c"]: 1 -> 2'),
        ("a", {"a": SECRET}, {"a": SECRET | {"ciphertext": "v1:d"}}, 'a: "(secret)" -> "(secret)"'),
        ("a", {"a": {"b": [SECRET]}}, {"a": {"b": [1]}}, 'a: {"b": ["(secret)"]} -> {"b": [1]}'),
        ("a", {"a": 1}, {"a": UNKNOWN}, 'a: 1 -> "(known after the update)"'),
    ],
)
def test_input_is_shown_before_and_after_and_secrets_never(path, old, new, said):
    assert changed(path, old, new) == said


def test_long_value_ends_in_an_ellipsis():
    assert len(changed("a", {"a": "x" * 500}, {"a": "y" * 500})) < 2 * LONGEST + 10
    assert changed("a", {"a": "x" * 500}, {"a": 1}).count("…") == 1


def test_comment_folds_the_changes_and_omits_roles_without_any(plan):
    comment = as_markdown(plan, "prod")
    assert comment.startswith("### `prod`: 1 to create")
    assert "<details>" in comment
    assert "<details>" not in as_markdown(parse(printed(STEPS[:3])), "prod")


def test_machines_get_counts_roles_and_changes(plan):
    told = json.loads(as_json(plan))
    assert told["counts"]["replace"] == 1
    assert {change["name"] for change in told["changes"]} == {step.name for step in plan.changes}


def test_picture_has_a_box_for_each_role_and_an_arrow_to_what_it_uses(plan):
    lines = as_mermaid(plan).splitlines()
    assert lines[0] == "flowchart LR"
    assert '  tracking["tracking<br>1 deleted, 1 changed"]:::delete' in lines
    assert [line for line in lines if "-->" in line] == ["  artifact-store --> tracking"]
    assert f"```mermaid\n{as_mermaid(plan)}```" in as_markdown(plan, "prod")


def test_a_preview_that_failed_gives_the_engines_words():
    failed = printed(diagnostics=[{"severity": "error", "message": "tracking.port is 80\n"}])
    with pytest.raises(PreviewError, match=r"^tracking\.port is 80$"):
        parse(failed)


def test_what_is_no_json_is_shown():
    with pytest.raises(PreviewError, match="no JSON:\nboom"):
        parse("boom")


def test_a_warning_is_shown_once():
    warning = {"severity": "warning", "message": "old version"}
    assert as_text(parse(printed(diagnostics=[warning, warning])), "prod").count("warning: old version") == 1


def drawn(**uses):
    """The arrows, and the number of frames, of a picture of roles with one resource each."""
    names = sorted({*uses, *(name for needed in uses.values() for name in needed)})
    steps = tuple(Step(urn=name, type="t", name=name, role=name, change=None) for name in names)
    lines = as_mermaid(Plan(steps=steps, uses={role: frozenset(needed) for role, needed in uses.items()})).splitlines()
    return {line.strip() for line in lines if "-->" in line}, sum("subgraph" in line for line in lines)


def test_an_arrow_that_follows_from_others_is_not_drawn():
    chain = ({"store --> model", "model --> page"}, 0)
    assert drawn(model=["store"], page=["model"]) == drawn(model=["store"], page=["model", "store"]) == chain


def test_roles_that_use_each_other_share_a_frame_that_arrows_reach():
    found = drawn(model=["store", "monitoring"], monitoring=["model"], page=["monitoring"])
    assert found == ({"store --> model", "monitoring --> page"}, 1)
