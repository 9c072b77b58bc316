"""Every alert rule fires on what it is for and stays silent otherwise, judged by `promtool test rules`.

The rules of a second, healthy workload are always loaded beside: none of them ever fires, nor hides what is wrong.
"""

import json
import re
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from infra.base import paths
from workloads.lifecycle.base import metrics
from workloads.lifecycle.base.settings import AlertSettings, FairnessSettings, WorkloadSettings, drill_profile
from workloads.lifecycle.monitoring import alerts
from workloads.loan_default.definition import LOAN_DEFAULT
from workloads.turbofan.definition import TURBOFAN

BESIDE = LOAN_DEFAULT.model_copy(update={"name": "other-default"})
SETTINGS = AlertSettings()
MINUTE, HOUR, DAY = 60, 3600, 86400
SCORED = f'{metrics.PREDICTIONS}{{alias="champion",version="1"}}'
FAST = f'{metrics.PREDICTION_LATENCY}_bucket{{le="{SETTINGS.latency_seconds}",source="vector"}}'
ALL = f'{metrics.PREDICTION_LATENCY}_count{{source="vector"}}'

pytestmark = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")


def rule_file(settings=SETTINGS, workload=LOAN_DEFAULT):
    return alerts.rules(workload, settings, FairnessSettings())


def fired(tmp_path, series, at, interval="1m", settings=SETTINGS, *, workload=LOAN_DEFAULT, besides=None):
    """Names of the workload's alerts that fire `at` seconds into the series."""
    beside = BESIDE if workload is LOAN_DEFAULT else LOAN_DEFAULT
    (tmp_path / "rules.yml").write_text(rule_file(settings, workload))
    (tmp_path / "beside.yml").write_text(rule_file(workload=beside))
    names = sorted({rule["alert"] for rule in loaded(settings)})
    known = about(workload, series) | about(beside, healthy(f"0+60x{at // MINUTE}") | (besides or {}))
    case = {
        "interval": interval,
        "input_series": [{"series": key, "values": value} for key, value in known.items()],
        "alert_rule_test": [{"eval_time": f"{at}s", "alertname": name, "exp_alerts": []} for name in names],
    }
    file = tmp_path / "test.yml"
    content = {"rule_files": ["rules.yml", "beside.yml"], "evaluation_interval": interval, "tests": [case]}
    file.write_text(json.dumps(content))
    done = subprocess.run(["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    found = {(name, of) for name, of in re.findall(r'Labels:\{alertname="(\w+)"[^}]* workload="([^"]+)"', said)}
    assert bool(found) == bool(done.returncode), said
    assert {of for _, of in found} <= {workload.name}, said
    return {name for name, _ in found}


def about(workload, series):
    """The series with the workload's label, as the processes show them."""
    label = f'workload="{workload.name}"'
    return {
        f"{key[:-1]},{label}}}" if key.endswith("}") else f"{key}{{{label}}}": values for key, values in series.items()
    }


def loaded(settings=SETTINGS):
    (group,) = json.loads(rule_file(settings))["groups"]
    return group["rules"]


def drift(share, in_a_row):
    return {
        metrics.DATA_DRIFT_SCORE: f"{share}x400",
        metrics.DRIFT_CHECKS_IN_A_ROW: f"{in_a_row}x400",
    }


def healthy(ended="0x400"):
    """A model server that answers fast and captures, and a drift job that ran; `ended`: when it did, in seconds."""
    return {
        f'{metrics.MODEL_INFO}{{alias="champion",instance="a",version="1"}}': "1x400",
        f'{metrics.MODEL_WANTED}{{alias="champion",instance="a",version="1"}}': "1x400",
        metrics.CHAMPION_MISSING: "0x400",
        metrics.CHALLENGER_UNTIL: "0x400",
        f'{metrics.LOOP_FAILURES_IN_A_ROW}{{loop="watcher"}}': "0x400",
        f'{metrics.LOOP_BROKEN}{{loop="watcher"}}': "0x400",
        metrics.DRIFT_JOB_TIMESTAMP: ended,
        metrics.DRIFT_JOB_OK: "1x400",
        metrics.DRIFT_MEASURED: "1x400",
        SCORED: "0+600x400",
        f'{metrics.PREDICTION_ERRORS}{{reason="internal"}}': "0x400",
        f'{metrics.CAPTURE_ROWS}{{outcome="stored"}}': "0+600x400",
        FAST: "0+600x400",
        ALL: "0+600x400",
        f'{metrics.BIAS_GAP}{{attribute="SEX",kind="demographic_parity"}}': "0.05x400",
        f'{metrics.MODEL_LOADED_TIMESTAMP}{{version="1"}}': "0x400",
        f'{metrics.LIVE_AUC}{{version="1"}}': "0.76x400",
        metrics.LAST_RETRAIN_FAILED: "0x400",
        **drift(0.0, 0),
    }


def test_a_healthy_stack_has_no_alert(tmp_path):
    assert fired(tmp_path, healthy(), 4 * HOUR) == set()


def test_drift_fires_after_its_time_and_not_before(tmp_path):
    series = healthy() | drift(0.5, 3)
    assert fired(tmp_path, series, 14 * MINUTE) == set()
    assert fired(tmp_path, series, 16 * MINUTE) == {metrics.ALERT_DATA_DRIFT}


@pytest.mark.parametrize(("share", "in_a_row"), [(0.19, 5), (0.5, 2)])
def test_drift_below_the_threshold_or_of_two_checks_does_not_fire(tmp_path, share, in_a_row):
    assert fired(tmp_path, healthy() | drift(share, in_a_row), 30 * MINUTE) == set()


def test_drift_that_was_not_measured_any_more_is_another_alert(tmp_path):
    series = healthy() | {metrics.DRIFT_MEASURED: "0x400"}
    del series[metrics.DATA_DRIFT_SCORE]
    assert fired(tmp_path, series, 10 * MINUTE) == {"DriftNotMeasured"}


def test_a_stack_that_nobody_asks_is_no_reason_to_page_anybody(tmp_path):
    quiet = {key: "0x400" for key in healthy() if key.startswith((metrics.PREDICTIONS, metrics.CAPTURE_ROWS))}
    quiet |= {FAST: "0x400", ALL: "0x400", metrics.DRIFT_MEASURED: "0x400"}
    series = healthy() | quiet
    del series[metrics.DATA_DRIFT_SCORE]
    names = fired(tmp_path, series, 24 * HOUR, "5m")
    assert {rule["labels"]["severity"] for rule in loaded() if rule["alert"] in names} == {"info"}


def test_a_drift_job_that_stopped_running_fires(tmp_path):
    assert fired(tmp_path, healthy(), 27 * HOUR, "10m") >= {"DriftJobMissing"}


def test_drift_job_that_never_ran_fires_after_a_day_if_not_new(tmp_path):
    series = healthy()
    del series[metrics.DRIFT_JOB_TIMESTAMP]
    assert fired(tmp_path, series, HOUR, "10m") == set()
    assert fired(tmp_path, series, 27 * HOUR, "10m") == {"DriftJobMissing"}


CONDITIONS = {
    "DriftJobFailed": {metrics.DRIFT_JOB_OK: "0x400"},
    "BiasGap": {f'{metrics.BIAS_GAP}{{attribute="SEX",kind="demographic_parity"}}': "0.25x400"},
    "LiveQuality": {f'{metrics.LIVE_AUC}{{version="1"}}': "0.6x400"},
    metrics.ALERT_RETRAIN_FAILED: {metrics.LAST_RETRAIN_FAILED: "1x400"},
    "PredictionErrors": {f'{metrics.PREDICTION_ERRORS}{{reason="internal"}}': "0+60x400"},
    "CaptureMissing": {f'{metrics.CAPTURE_ROWS}{{outcome="stored"}}': "0x400"},
    "LatencyBudgetBurn": {FAST: "0+400x400"},
    "VersionNotServed": {
        f'{metrics.MODEL_WANTED}{{alias="champion",instance="a",version="1"}}': "1 _x400",
        f'{metrics.MODEL_WANTED}{{alias="champion",instance="a",version="2"}}': "1x400",
    },
    "ChampionMissing": {metrics.CHAMPION_MISSING: "1x400"},
    "ChallengerStuck": {metrics.CHALLENGER_UNTIL: f"{HOUR}x400"},
    "LoopFailing": {f'{metrics.LOOP_FAILURES_IN_A_ROW}{{loop="watcher"}}': "0+1x400"},
}


@pytest.mark.parametrize("name", CONDITIONS)
def test_each_condition_fires_its_alert_and_no_other(tmp_path, name):
    assert fired(tmp_path, healthy() | CONDITIONS[name], 2 * HOUR) == {name}


def test_drift_of_either_workload_is_an_alert_of_it_alone(tmp_path):
    for workload in (LOAN_DEFAULT, BESIDE):
        found = fired(tmp_path, healthy() | drift(0.5, 3), 16 * MINUTE, workload=workload)
        assert found == {metrics.ALERT_DATA_DRIFT}


def test_drift_of_one_and_checks_in_a_row_of_another_are_no_alert(tmp_path):
    assert fired(tmp_path, healthy() | drift(0.5, 0), 30 * MINUTE, besides=drift(0.0, 5)) == set()


def test_workload_without_groups_has_no_alert_on_bias():
    (group,) = json.loads(rule_file(workload=LOAN_DEFAULT.model_copy(update={"groups": ()})))["groups"]
    assert {rule["alert"] for rule in loaded()} - {rule["alert"] for rule in group["rules"]} == {"BiasGap"}


def test_requests_that_the_client_got_wrong_are_no_error_of_ours(tmp_path):
    series = healthy() | {f'{metrics.PREDICTION_ERRORS}{{reason="malformed"}}': "0+600x400"}
    assert fired(tmp_path, series, 2 * HOUR) == set()


def test_a_spike_of_slow_answers_is_no_alert(tmp_path):
    series = healthy() | {FAST: "0+600x100 59600+0x2 60800+600x200", ALL: "0+600x300"}
    assert fired(tmp_path, series, 102 * MINUTE) == set()


def test_broken_loop_fires(tmp_path):
    series = healthy() | {f'{metrics.LOOP_BROKEN}{{loop="watcher"}}': "1x400"}
    assert fired(tmp_path, series, 10 * MINUTE) == {"LoopFailing"}


def test_one_failed_step_is_no_alert(tmp_path):
    series = healthy() | {f'{metrics.LOOP_FAILURES_IN_A_ROW}{{loop="watcher"}}': "0x10 1x2 0x300"}
    assert fired(tmp_path, series, 12 * MINUTE) == set()
    assert fired(tmp_path, series, HOUR) == set()


def test_challenge_within_its_time_does_not_fire(tmp_path):
    assert fired(tmp_path, healthy() | {metrics.CHALLENGER_UNTIL: f"{2 * HOUR}x400"}, 2 * HOUR + 4 * MINUTE) == set()


def test_version_on_one_of_two_servers_fires_for_the_other(tmp_path):
    other = f'{metrics.MODEL_WANTED}{{alias="champion",instance="b",version="1"}}'
    assert fired(tmp_path, healthy() | {other: "1x400"}, 10 * MINUTE) == {"VersionNotServed"}


def test_slow_requests_of_a_quiet_hour_do_not_fire(tmp_path):
    """One slow request in six is beyond the budget, and too little to judge by."""
    series = healthy() | {ALL: "0+0.1x400", FAST: "0+0.08x400"}
    assert "LatencyBudgetBurn" not in fired(tmp_path, series, 2 * HOUR)
    busy = healthy() | {ALL: "0+10x400", FAST: "0+8x400"}
    assert "LatencyBudgetBurn" in fired(tmp_path, busy, 2 * HOUR)


def test_failing_requests_beside_a_large_batch_fire(tmp_path):
    """20 of 21 requests fail each minute, and the answered one scores 1,000 rows."""
    failing = {f'{metrics.PREDICTION_ERRORS}{{reason="internal"}}': "0+20x400"}
    series = healthy() | failing | {SCORED: "0+1000x400", ALL: "0+1x400", FAST: "0+1x400"}
    assert "PredictionErrors" in fired(tmp_path, series, 2 * HOUR)


def test_failed_probes_without_traffic_do_not_fire(tmp_path):
    probes = {f'{metrics.PREDICTION_ERRORS}{{reason="internal"}}': "0x10 1 2 3 3x387"}
    series = healthy() | probes | {ALL: "0x400", FAST: "0x400"}
    assert "PredictionErrors" not in fired(tmp_path, series, 20 * MINUTE)
    busy = {f'{metrics.PREDICTION_ERRORS}{{reason="internal"}}': "0x10 10 20 30 40 50 60 70 80 80x380"}
    assert "PredictionErrors" in fired(tmp_path, series | busy, 20 * MINUTE)


def test_no_model_server_fires(tmp_path):
    of_server = (metrics.MODEL_INFO, metrics.MODEL_WANTED)
    series = {key: value for key, value in healthy().items() if not key.startswith(of_server)}
    assert fired(tmp_path, series, 10 * MINUTE) == {"ModelNotServing"}


def test_a_retraining_service_that_does_not_answer_fires(tmp_path):
    series = healthy()
    del series[metrics.LAST_RETRAIN_FAILED]
    assert fired(tmp_path, series, 10 * MINUTE) == {"RetrainingDown"}


def test_an_old_champion_fires(tmp_path):
    settings = SETTINGS.model_copy(update={"model_age_days": 0.5})
    assert fired(tmp_path, healthy(), 13 * HOUR, "5m", settings) == {"ModelAge"}


def test_features_near_their_ttl_fire_before_requests_are_refused(tmp_path):
    series = healthy() | {metrics.FEATURES_TIMESTAMP: "0x400"}
    half_a_day = timedelta(hours=12) / LOAN_DEFAULT.shortest_ttl
    settings = SETTINGS.model_copy(update={"feature_age_share": half_a_day})
    assert fired(tmp_path, series, 11 * HOUR, "5m", settings) == set()
    assert fired(tmp_path, series, 13 * HOUR, "5m", settings) == {"FeatureAge"}


def test_every_alert_has_a_test_that_makes_it_fire():
    elsewhere = {
        metrics.ALERT_DATA_DRIFT,
        "DriftNotMeasured",
        "DriftJobMissing",
        "ModelNotServing",
        "FeatureAge",
        "ModelAge",
        "RetrainingDown",
    }
    assert {rule["alert"] for rule in loaded()} == set(CONDITIONS) | elsewhere


def test_the_drill_runs_the_same_rules_with_shorter_times():
    short = loaded(drill_profile(WorkloadSettings()).alerts)
    assert [rule["expr"] for rule in short] == [rule["expr"] for rule in loaded()]
    durations = {rule["alert"]: rule["for"] for rule in short}
    assert durations[metrics.ALERT_DATA_DRIFT] == "5s"


@pytest.mark.parametrize(("metric", "good", "bad"), [(metrics.LIVE_CONCORDANCE, 0.8, 0.6), (metrics.LIVE_RMSE, 24, 26)])
def test_regression_that_ranks_or_errs_too_much_fires(tmp_path, metric, good, bad):
    for value, alert in ((good, set()), (bad, {"LiveQuality"})):
        series = healthy() | {f'{metric}{{version="1"}}': f"{value}x400"}
        assert fired(tmp_path, series, 10 * MINUTE, workload=TURBOFAN) == alert


def test_quality_of_a_regression_is_its_concordance_and_its_error():
    text = alerts.rules(TURBOFAN, SETTINGS, FairnessSettings())
    rules = [rule for rule in json.loads(text)["groups"][0]["rules"] if rule["alert"] == "LiveQuality"]
    watched = {rule["annotations"][alerts.MEASURE]: rule["annotations"][alerts.THRESHOLD] for rule in rules}
    assert watched == {
        metrics.selected(metrics.LIVE_CONCORDANCE, "turbofan"): "0.7",
        metrics.selected(metrics.LIVE_RMSE, "turbofan"): "25",
    }
    assert [rule["expr"].split()[-2:] for rule in rules] == [["<", "0.7"], [">", "25"]]
    assert "cycles on requests with known outcome" in rules[1]["annotations"]["summary"]


def test_every_alert_names_a_runbook_that_exists():
    for rule in loaded():
        assert Path(paths.CHECKOUT, rule["annotations"]["runbook_url"]).is_file(), rule["alert"]


def test_rules_ask_only_for_metrics_that_are_defined():
    known = {value for name, value in vars(metrics).items() if name.isupper() and isinstance(value, str)}
    names = set()
    for rule in loaded():
        words = rule["expr"].replace("(", " ").replace("{", " ").replace("[", " ").replace(")", " ").split()
        names |= {word for word in words if word.startswith(("mlplatform_", "evidently_"))}
    assert names
    assert {name.removesuffix("_bucket").removesuffix("_count") for name in names} <= known
