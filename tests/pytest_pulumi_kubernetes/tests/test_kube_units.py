"""What the provider for an API server decides by itself, without one."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from simulated_pulumi import values
from simulated_pulumi.providers import Kubernetes, Planned, RefusedError

from pytest_pulumi_kubernetes import KubernetesApi, objects
from pytest_pulumi_kubernetes.awaiting import FailedError, waiting_for
from pytest_pulumi_kubernetes.crds import load, wait_until_served
from pytest_pulumi_kubernetes.drift import live_inputs
from pytest_pulumi_kubernetes.kubeconfig import KubeconfigError, connect, write
from pytest_pulumi_kubernetes.rounds import Rounds

URN = "urn:pulumi:test::project::kubernetes:{}::it"
CONTAINER = {"name": "c", "image": "a:1", "ports": [{"containerPort": 80}], "command": ["run"]}


def owned(fields, manager="us"):
    return [{"manager": manager, "operation": "Apply", "fieldsV1": fields}]


def deployment(container, replicas, fields):
    spec = {"replicas": replicas, "template": {"spec": {"containers": [container, {"name": "sidecar"}]}}}
    return {"kind": "Deployment", "metadata": {"name": "web", "managedFields": owned(fields)}, "spec": spec}


FIELDS = {
    "f:spec": {
        "f:replicas": {},
        "f:template": {
            "f:spec": {
                "f:containers": {
                    'k:{"name":"c"}': {
                        ".": {},
                        "f:name": {},
                        "f:image": {},
                        "f:command": {},
                        "f:ports": {'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}},
                    }
                }
            }
        },
    }
}


def inputs():
    spec = {"replicas": 2, "template": {"spec": {"containers": [CONTAINER]}}}
    return {"kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


def test_what_we_own_has_not_drifted_however_it_is_spelled():
    live = deployment(CONTAINER | {"ports": [{"containerPort": 80, "protocol": "TCP"}]}, 2, FIELDS)
    assert live_inputs(inputs(), live, "us") == inputs()


def test_a_field_that_somebody_took_shows_its_live_value():
    fields = {"f:spec": {**FIELDS["f:spec"]}}
    del fields["f:spec"]["f:replicas"]
    found = live_inputs(inputs(), deployment(CONTAINER, 9, fields), "us")
    assert found["spec"]["replicas"] == 9
    assert found["spec"]["template"] == inputs()["spec"]["template"]


def test_a_field_that_somebody_removed_is_gone():
    live = deployment(CONTAINER, 2, {"f:spec": {"f:template": FIELDS["f:spec"]["f:template"]}})
    del live["spec"]["replicas"]
    assert "replicas" not in live_inputs(inputs(), live, "us")["spec"]


def test_what_is_empty_and_left_out_has_not_drifted():
    given = {"kind": "ConfigMap", "metadata": {"name": "c", "labels": {}}, "data": {}, "immutable": False}
    assert live_inputs(given, {"kind": "ConfigMap", "metadata": {"name": "c"}}, "us") == given


def test_a_secrets_text_drifts_as_text():
    given = {"kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "1", "b": "2"}}
    live = {"kind": "Secret", "metadata": {"managedFields": owned({"f:data": {"f:a": {}}})}, "data": {"b": "OQ=="}}
    assert live_inputs(given, live, "us")["stringData"] == {"a": "1", "b": "9"}


def test_an_import_shows_what_a_program_could_have_written():
    live = {"kind": "ConfigMap", "metadata": {"name": "c", "uid": "x", "managedFields": []}, "data": {}, "status": {}}
    assert live_inputs({}, live, "us") == {"kind": "ConfigMap", "metadata": {"name": "c"}, "data": {}}


def labelled(annotation, status):
    return {"apiVersion": "example.com/v1", "kind": "Robot", "status": status} | {
        "metadata": {"name": "r", "annotations": {"pulumi.com/waitFor": annotation}}
    }


@pytest.mark.parametrize(
    ("annotation", "status", "reason"),
    [
        ("jsonpath={.status.phase}=Running", {"phase": "Running"}, None),
        ("jsonpath={.status.phase}=Running", {"phase": "Pending"}, "status.phase is 'Pending'"),
        ("jsonpath={.status.arms[1].name}", {"arms": [{}]}, "status.arms[1].name is not there"),
        ("condition=Ready", {"conditions": [{"type": "Ready", "status": "True"}]}, None),
        ("condition=Ready=False", {"conditions": [{"type": "Ready", "status": "True"}]}, "condition Ready is True"),
        ('["condition=A", "jsonpath={.status.b}=1"]', {"conditions": [], "b": 1}, "condition A is not there"),
    ],
)
def test_wait_for_expressions(annotation, status, reason):
    assert waiting_for(labelled(annotation, status), None) == reason


def test_a_wait_for_expression_of_another_kind_is_refused():
    with pytest.raises(FailedError, match="has to begin with `jsonpath=` or `condition=`"):
        waiting_for(labelled("ready", {}), None)


def test_a_job_that_failed_never_becomes_ready():
    condition = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "too often"}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {}, "spec": {}, "status": {"conditions": [condition]}}
    with pytest.raises(FailedError, match="BackoffLimitExceeded: too often"):
        waiting_for(job, None)


def test_only_an_api_server_on_loopback_is_applied_to():
    text = write("https://cluster.example:6443", "certificate", {"admin": "token"}, "admin")
    planned = Planned(URN.format("core/v1:ConfigMap"), {}, config={"kubeconfig": text})
    with pytest.raises(RefusedError, match=r"only to an API server on loopback, not to https://cluster.example:6443"):
        KubernetesApi().check(planned)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("/nowhere/kubeconfig", "'/nowhere/kubeconfig' cannot be read: No such file"),
        ("{a: [", "is no YAML"),
        ("{}", "no context ''; there are: none"),
        ('{"current-context": "a", "contexts": [{"name": "a"}]}', "names a cluster or a user that"),
    ],
)
def test_a_kubeconfig_that_names_no_cluster_is_refused(text, reason):
    with pytest.raises(KubeconfigError, match=reason):
        connect(text)


def test_a_secrets_texts_are_sent_as_data_and_shown_as_secret():
    given = {"apiVersion": "v1", "kind": "Secret", "stringData": {"a": "b"}, "__ours": 1, "type": None}
    assert objects.wanted(given) == {"apiVersion": "v1", "kind": "Secret", "data": {"a": "Yg=="}}
    shown = objects.secret({"kind": "Secret", "data": {"a": "Yg=="}}, Planned(URN, {}))
    assert shown["data"] == values.SecretValue({"a": "Yg=="})


def test_what_is_secret_in_the_inputs_is_secret_in_the_outputs():
    planned = Planned(URN, {}, secrets=frozenset({"data.key", "spec.list[1].value"}))
    shown = objects.secret({"data": {"key": "x", "open": "y"}, "spec": {"list": [{}, {"value": "z"}]}}, planned)
    assert shown["data"] == {"key": values.SecretValue("x"), "open": "y"}
    assert shown["spec"]["list"][1] == {"value": values.SecretValue("z")}


def test_yaml_is_read_as_kubernetes_reads_it():
    assert list(load("a: =\n---\n---\nkind: List\nitems: [{kind: A}]\n")) == [{"a": "="}, {"kind": "A"}]


def test_an_object_whose_metadata_are_not_known_yet_has_no_name():
    planned = Planned(URN.format("core/v1:ConfigMap"), {"metadata": values.UNKNOWN})
    provider = Kubernetes()
    assert provider.claim(planned) == ""
    assert provider.named_by_user(planned)


def with_command(tmp_path, script):
    """A kubeconfig whose user gets tokens from a command, as those of clouds do."""
    command = tmp_path / "cloud"
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o700)
    config = json.loads(write("https://127.0.0.1:6443", "certificate", {"admin": "token"}, "admin"))
    asked = {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": str(command), "args": ["token"]}
    config["users"][0]["user"] = {"exec": {**asked, "env": [{"name": "PROFILE", "value": "the test"}]}}
    return json.dumps(config)


def test_a_token_comes_from_the_command_that_a_kubeconfig_names(tmp_path):
    said = 'printf \'{"status": {"token": "%s of %s"}}\' "$1" "$PROFILE"'
    assert connect(with_command(tmp_path, said)).token == "token of the test"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo expired >&2; exit 1", r"cloud token` gave no token: expired"),
        ("echo hello", r"cloud token` printed no ExecCredential with a token"),
    ],
)
def test_a_command_that_gives_no_token_is_named_with_what_it_said(tmp_path, script, reason):
    with pytest.raises(KubeconfigError, match=reason):
        connect(with_command(tmp_path, script))


class SlowServer:
    """Establishes a definition at once, and names its kind when it is asked for the third time, or never."""

    def __init__(self, names_it):
        self.names_it, self.asked = names_it, 0

    def wait(self, _target, condition, _seconds):
        versions = [{"name": "v1", "served": True}, {"name": "v0", "served": False}]
        spec = {"group": "example.org", "names": {"kind": "Thing"}, "versions": versions}
        found = {"spec": spec, "status": {"conditions": [{"type": "Established", "status": "True"}]}}
        assert condition(found)
        return found

    def knows(self, api_version, kind):
        assert (api_version, kind) == ("example.org/v1", "Thing")
        self.asked += 1
        return self.names_it and self.asked > 2


def test_definition_is_waited_for_until_its_kind_is_named():
    server = SlowServer(names_it=True)
    wait_until_served(server, "things.example.org", seconds=30)
    assert server.asked == 3


def test_kind_that_is_never_named_is_an_error_with_its_version():
    with pytest.raises(TimeoutError, match=r"things.example.org is established, but v1 is not served within 0 s"):
        wait_until_served(SlowServer(names_it=False), "things.example.org", seconds=0)


def test_files_that_use_the_control_plane_run_last_and_stay_whole(pytester):
    pytester.makeconftest("import pytest\n\n@pytest.fixture(scope='session')\ndef kube_apiserver():\n    pass\n")
    pytester.makepyfile(
        test_a="def test_a(kube_apiserver):\n    pass\n\ndef test_b():\n    pass\n", test_c="def test_c():\n    pass\n"
    )
    lines = pytester.runpytest_inprocess("-v").outlines
    assert [line.split()[0].rpartition("::")[2] for line in lines if " PASSED" in line] == [
        "test_c",
        "test_a",
        "test_b",
    ]


def test_settling_outlasts_the_round_that_had_begun_before():
    rounds = Rounds()
    rounds.begin()
    with ThreadPoolExecutor(1) as pool:
        settled = pool.submit(rounds.settle)
        while not rounds._changed._waiters:
            assert not settled.done()
        rounds.complete()
        assert not settled.done()
        rounds.begin()
        rounds.complete()
        settled.result()


def test_settling_without_rounds_is_given_up_with_a_reason():
    with pytest.raises(TimeoutError, match=r"no round was complete within 0\.01 s: is the API server stopped\?"):
        Rounds().settle(0.01)
