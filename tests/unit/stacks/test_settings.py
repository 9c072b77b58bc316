import json
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from infra.base import data_paths, paths
from infra.compute import longest_pause
from stacks import settings
from stacks.settings import StackFileError, parse
from workloads.lifecycle import stack_settings

LOCAL = yaml.safe_load((paths.CHECKOUT / "Pulumi.local.yaml").read_text())["config"]


def config(**changes):
    """The local stack's configuration as the engine hands it over, with blocks replaced; None removes one."""
    blocks = {**LOCAL, **{f"mlplatform:{key}": value for key, value in changes.items()}}
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in blocks.items() if value}


def refused(**changes):
    with pytest.raises(StackFileError) as error:
        parse(config(**changes), "local")
    return str(error.value)


def test_the_local_stack_file_is_accepted():
    assert parse(config(), "local").substrate.keep_data is False


def test_an_unknown_role_is_named_with_the_known_ones():
    message = refused(artifact_stor={"kind": "s3"})
    assert message.startswith(
        "Pulumi.local.yaml: mlplatform:artifact_stor: unknown key, remove it or correct its spelling (known: worklo"
    )
    assert "\n" not in message


def test_an_unknown_key_is_named_with_the_known_ones():
    assert refused(tracking={"kind": "mlflow-on-host", "prot": 5000}) == (
        "Pulumi.local.yaml: mlplatform:tracking.prot: unknown key, "
        "remove it or correct its spelling (known: kind, port)"
    )


def test_a_missing_role_is_named():
    assert refused(tracking=None) == (
        "Pulumi.local.yaml: mlplatform:tracking is missing: add it, as docs/reference.md describes it"
    )


def test_a_wrong_type_shows_the_value_and_what_is_allowed():
    assert refused(tracking={"kind": "mlflow-on-host", "port": "many"}) == (
        "Pulumi.local.yaml: mlplatform:tracking.port is 'many': Input should be a valid integer, "
        "unable to parse string as an integer"
    )


def test_a_value_out_of_range_shows_the_range():
    assert "mlplatform:tracking.port is 80: Input should be greater than or equal to 1024" in refused(
        tracking={"kind": "mlflow-on-host", "port": 80}
    )


def test_a_kind_that_nobody_realizes_shows_the_kinds():
    assert "mlplatform:tracking.kind is 'sagemaker': Input should be 'mlflow-on-host'" in refused(
        tracking={"kind": "sagemaker"}
    )


def test_a_time_that_no_calendar_has_is_named():
    assert refused(loan_default={"nightly_cron": "0 99 * * *"}) == (
        "Pulumi.local.yaml: mlplatform:loan_default.nightly_cron: '0 99 * * *' is no cron expression: Bad hour; "
        "give e.g. `0 3 * * *`"
    )


def test_nightly_run_that_pauses_longer_than_features_last_is_refused():
    assert refused(loan_default={"nightly_cron": "0 3 1 */2 *"}) == (
        "Pulumi.local.yaml: loan_default.nightly_cron is '0 3 1 */2 *', which pauses for up to 1488 h, but features of "
        "the view 'customer_features' are refused from an age of 1080 h on (its ttl), so that requests by key would "
        "fail each time: let it pause for less than 1080 h, e.g. `0 3 * * *`, or give the view a longer ttl in its "
        "definition"
    )


@pytest.mark.parametrize(
    ("hours", "cron"), [(48, "0 3 * * *"), (24, "0 */12 * * *"), (12, "0 */8 * * *"), (1, "*/15 * * * *")]
)
def test_cron_that_is_advised_pauses_for_less_than_the_ttl(hours, cron):
    assert stack_settings._more_often(timedelta(hours=hours)) == cron
    assert longest_pause(cron) < timedelta(hours=hours)


def test_requests_must_be_kept_until_their_outcomes_are_learnt_from():
    assert refused(loan_default={"retention": {"requests_days": 59}}) == (
        "Pulumi.local.yaml: loan_default.retention.requests_days is 59, but an outcome of loan-default takes 30 days "
        "and retrains learn from 30 days of them (retraining.labelled_days): keep 60 to 3650 days, or lower "
        "labelled_days"
    )


def test_the_same_port_twice_is_refused():
    assert refused(
        tracking={"kind": "mlflow-on-host", "port": 5000}, serving={"kind": "kserve-on-host", "port": 5000}
    ) == ("Pulumi.local.yaml: serving.port and tracking.port are both 5000: give one of them another port")


def test_several_mistakes_give_one_line_each():
    assert len(refused(tracking=None, online_store={"kind": "redis-on-host", "maxmemory_mib": 1}).splitlines()) == 2


def test_other_namespaces_of_the_configuration_are_left_alone():
    assert parse({**config(), "pulumi:disable-default-providers": '["*"]'}, "local")


@pytest.fixture
def stack(monkeypatch):
    monkeypatch.setattr(settings.pulumi, "get_stack", lambda: "local")
    monkeypatch.setattr(settings, "_stack_config", config)


@pytest.mark.usefixtures("stack")
def test_data_in_the_environment_overrides_the_stack_file(tmp_path):
    csv = tmp_path / "raw.csv"
    csv.write_text("ID\n")
    assert settings.load({"DATA": str(csv)}).loan_default.data == str(csv)


@pytest.mark.usefixtures("stack")
def test_data_is_the_workloads_that_is_named(monkeypatch):
    both = {**config(), "mlplatform:workloads": '["loan_default", "turbofan"]'}
    monkeypatch.setattr(settings, "_stack_config", lambda: both)
    found = settings.load({"DATA": "s3://bucket/engines.txt", "WORKLOAD": "turbofan"})
    assert found.loan_default.data is None
    assert found.turbofan.data == "s3://bucket/engines.txt"
    with pytest.raises(StackFileError, match="`make up STACK=local WORKLOAD=turbofan DATA=generated`"):
        settings.load({"DATA": "/no/such.txt", "WORKLOAD": "turbofan"})


@pytest.mark.usefixtures("stack")
def test_data_of_a_workload_that_is_not_listed_is_kept_for_later():
    remembered = json.dumps({"local": {"turbofan": "s3://bucket/engines.txt"}})
    assert settings.load({data_paths.VARIABLE: remembered}).loan_default.data is None
    with pytest.raises(StackFileError, match="WORKLOAD is 'turbofan', which is none of the stack's workloads"):
        settings.load({"WORKLOAD": "turbofan"})


@pytest.mark.usefixtures("stack")
def test_data_that_does_not_exist_is_named():
    advice = r"DATA: there is no file /no/such\.csv; give the path of the CSV, or `make up STACK=local DATA=generated`"
    with pytest.raises(StackFileError, match=advice):
        settings.load({"DATA": "/no/such.csv"})


def test_file_given_to_a_stack_on_a_cluster_is_refused_by_name(monkeypatch):
    dev = yaml.safe_load((paths.CHECKOUT / "Pulumi.dev.yaml").read_text())["config"]
    given = {key: value if isinstance(value, str) else json.dumps(value) for key, value in dev.items()}
    monkeypatch.setattr(settings.pulumi, "get_stack", lambda: "dev")
    monkeypatch.setattr(settings, "_stack_config", lambda: given)
    refused = (
        r"DATA is /data/raw\.csv, a file of this machine, which no pod can read: put it into the artifact store and "
        r"run `make up STACK=dev DATA=s3://bucket/key`, or `make up STACK=dev DATA=generated` for generated rows"
    )
    with pytest.raises(StackFileError, match=refused):
        settings.load({"DATA": "/data/raw.csv"})


@pytest.mark.usefixtures("stack")
def test_a_shell_set_up_for_another_stack_is_refused():
    with pytest.raises(StackFileError, match=r"this shell is set up for Pulumi\.prod\.yaml, not for the stack 'local'"):
        settings.load({"PULUMI_OPTION_CONFIG_FILE": "/state/Pulumi.prod.yaml"})


def tools_in(folder: Path):
    for names in settings.TOOLS:
        (folder / names[-1]).touch(mode=0o755)
    return {"PATH": str(folder), "XDG_CACHE_HOME": str(folder)}


def test_the_search_path_names_the_folder_of_each_tool_once(tmp_path):
    assert settings.search_path(tools_in(tmp_path)).split(":").count(str(tmp_path)) == 1


def test_a_missing_tool_is_named_with_the_fix(tmp_path, monkeypatch):
    environ = tools_in(tmp_path)
    (tmp_path / "versitygw").unlink()
    monkeypatch.setattr(settings, "SYSTEM_PATH", str(tmp_path))
    with pytest.raises(StackFileError, match="versitygw is not installed: run `make up`"):
        settings.search_path(environ)


@pytest.mark.usefixtures("stack")
def test_data_may_be_an_address_in_the_artifact_store():
    address = "s3://mlplatform/loan-default/data/loans.csv"
    assert settings.load({"DATA": address}).loan_default.data == address


@pytest.mark.parametrize("secret", ["s3cret", "12345", "true", '{"a": 1}'])
def test_a_secret_is_taken_as_it_is_and_never_shown(secret):
    blocks = yaml.safe_load((paths.CHECKOUT / "Pulumi.prod.yaml").read_text())["config"]
    given = {key: json.dumps(value) for key, value in blocks.items()}
    parsed = parse({**given, "mlplatform:login_client_secret": secret}, "prod")
    assert parsed.login_client_secret.get_secret_value() == secret
    assert secret not in repr(parsed.login_client_secret)


def test_only_a_stack_with_a_login_gets_a_made_up_secret():
    key = "mlplatform:login_client_secret"
    prod, dev = (
        yaml.safe_load((paths.CHECKOUT / f"Pulumi.{name}.yaml").read_text())["config"] for name in ("prod", "dev")
    )
    assert key in settings.with_made_up_secrets(prod)
    assert key not in settings.with_made_up_secrets(dev)
    assert settings.with_made_up_secrets({**prod, key: "own"})[key] == "own"


def test_an_environment_that_is_not_installed_is_named_with_the_fix(tmp_path):
    with pytest.raises(StackFileError, match=r"airflow is not installed, .* `python3 -m tools.install airflow`"):
        settings.python_environment("airflow", {"XDG_CACHE_HOME": str(tmp_path)})


def test_an_environment_whose_installation_failed_is_not_used(tmp_path):
    environ = {"XDG_CACHE_HOME": str(tmp_path)}
    programs = paths.environment_dir("airflow", environ) / "bin"
    programs.mkdir(parents=True)
    (programs / "python").touch()
    found = settings.python_environment("airflow", environ)
    assert (found.program("airflow"), len(found.lock_sha256)) == (str(programs / "airflow"), 64)
    paths.unfinished_mark("airflow", environ).touch()
    with pytest.raises(StackFileError, match="or only in part"):
        settings.python_environment("airflow", environ)


def test_a_missing_lock_of_a_kind_is_named_with_the_fix(tmp_path):
    with pytest.raises(StackFileError, match=r"requirements/nobody.txt.* is missing: restore it"):
        settings.python_environment("nobody", {"XDG_CACHE_HOME": str(tmp_path)})


@pytest.mark.parametrize(("stack", "kind"), [("dev", "airflow-on-host"), ("local", "kfp-on-kubernetes")])
def test_kind_that_does_not_stand_on_the_substrate_is_named(stack, kind):
    blocks = yaml.safe_load((paths.CHECKOUT / f"Pulumi.{stack}.yaml").read_text())["config"]
    blocks["mlplatform:pipelines"] = {"kind": kind}
    with pytest.raises(StackFileError) as error:
        parse({key: value if isinstance(value, str) else json.dumps(value) for key, value in blocks.items()}, stack)
    said = (
        f"mlplatform:pipelines.kind is {kind!r}, which does not stand on this substrate: give one of 'kfp-in-process'"
    )
    assert said in str(error.value)
    assert "\n" not in str(error.value)
