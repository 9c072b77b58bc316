"""A kind that the platform does not know: two edits add it, one in its role's folder and one in the stack model.

Both are made here from outside, the arm of the role's `build()` and the field of the stack model; the rest stays.
"""

import json
from typing import Annotated, Literal

import pulumi
import pytest
from pydantic import Field

from infra.base.settings import HttpsUrl, Settings
from infra.tracking import build as build_known
from infra.tracking.settings import MlflowOnHostSettings
from stacks import roles, settings
from stacks.workload_settings import with_blocks
from tests.contract.test_roles import PROTOCOLS, missing
from tests.graph.test_local import program

URL = "https://mlflow.example.org"


class ManagedMlflowSettings(Settings):
    """What a stack file says about an MLflow that somebody else runs."""

    kind: Literal["managed-mlflow"]

    url: HttpsUrl


class ManagedMlflow(pulumi.ComponentResource):
    """Realizes `infra.tracking.Tracking`."""

    def __init__(self, name, args, opts=None):
        super().__init__("own:index:ManagedMlflow", name, None, opts)
        self.url, self.login, self.ready = pulumi.Output.from_input(args.url), None, self
        self.client_secrets = {"MLFLOW_TRACKING_TOKEN": pulumi.Output.secret("t0ken")}
        self.register_outputs({"url": self.url})


class StackWithIt(settings.LocalStack):
    tracking: Annotated[MlflowOnHostSettings | ManagedMlflowSettings, Field(discriminator="kind")]


@pytest.fixture
def made(monkeypatch):
    """The realizations of the own kind that were made."""
    found = []

    def build(name, chosen, substrate, stores, opts=None, **rest):
        match chosen:
            case ManagedMlflowSettings():
                found.append(ManagedMlflow(name, chosen, opts))
                return found[-1]
            case _:
                return build_known(name, chosen, substrate, stores, opts, **rest)

    monkeypatch.setattr(roles.tracking, "build", build)
    monkeypatch.setitem(settings.STACKS, "local", with_blocks(StackWithIt))
    return found


@pytest.fixture
def graph(pulumi_run, made):  # noqa: ARG001  the stack file may name it
    return pulumi_run(program(tracking={"kind": "managed-mlflow", "url": URL}))


def test_an_own_kind_keeps_the_roles_promise(graph, made):
    (component,) = made
    assert missing(component, PROTOCOLS["tracking"]) == []
    assert graph.one("own:index:ManagedMlflow").name == "tracking"


def test_every_client_is_told_of_the_own_kind(graph):
    told = [each.get("environment") for each in (*graph.all("host:index:Process"), *graph.all("host:index:Job"))]
    clients = [each for each in told if each and "MLFLOW_TRACKING_URI" in each]
    assert len(clients) == 6
    assert {(each["MLFLOW_TRACKING_URI"], each["MLFLOW_TRACKING_TOKEN"]) for each in clients} == {(URL, "t0ken")}
    assert graph.outputs["mlflow_url"] == URL


def test_nothing_of_the_known_kind_is_left(graph):
    assert [each.name for each in graph.resources if each.name.startswith("tracking-")] == []


def test_the_known_kind_stands_beside_it(pulumi_run, made):
    graph = pulumi_run(program())
    assert made == []
    assert graph.one("mlplatform:index:MlflowOnHost").name == "tracking"


def test_a_wrong_field_of_the_own_kind_is_named_as_any_other(made):
    config = {"mlplatform:substrate": {"kind": "local"}, "mlplatform:tracking": {"kind": "managed-mlflow", "url": 1}}
    with pytest.raises(settings.StackFileError, match=r"mlplatform:tracking\.managed-mlflow\.url is 1"):
        settings.parse({key: json.dumps(value) for key, value in config.items()}, "local")
    assert made == []
