"""What people read on the start page, from recorded state, without a browser."""

import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from starlette.testclient import TestClient

from workloads.lifecycle.base.names import PROBE_HEADER
from workloads.lifecycle.base.pages import OwnPagesOnly, names_of
from workloads.lifecycle.operations.start_page import __main__ as start_page
from workloads.lifecycle.operations.start_page import runbooks
from workloads.lifecycle.operations.start_page.door import Door, link
from workloads.lifecycle.operations.start_page.markup import bars, described, line, number
from workloads.lifecycle.operations.start_page.prediction import FormError, instance
from workloads.lifecycle.operations.start_page.retrain import ENDINGS, timeline
from workloads.lifecycle.retraining.ledger import STATUSES
from workloads.loan_default.definition import LOAN_DEFAULT
from workloads.turbofan.definition import TURBOFAN

from .pumps import PUMPS
from .recorded_page import PORTS, Recorded, answering

HOME = "http://127.0.0.1:8000"
LIMIT_BYTES = 100_000
VALUES = {"by": "values", "Age": "45", "Income": "72000", "CreditScore": "680", "NumOpenAccounts": "3"}
CLOSING = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


class Outline(HTMLParser):
    """Elements and text of a page; fails where tags do not match."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.text = [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in CLOSING:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "script" not in self.open and "style" not in self.open:
            self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def opened(workload=LOAN_DEFAULT, prediction_url="", **changes):
    """A browser's view of the page of one workload."""
    status = Recorded(workload, prediction_url, **changes)
    application = OwnPagesOnly(start_page.app({workload.name: status}, workload.name), names_of("127.0.0.1"))
    return TestClient(application, base_url=HOME)


def shown(**changes):
    return Outline(opened(**changes).get("/").text)


def test_page_without_a_script_has_state_and_endpoints():
    page = shown()
    for text in ("Version 3", "allowed", "0.7641", "9d8ff1020c4d57fa", "DataDriftDetected", "1 failed, 2 to look at"):
        assert text in page.text
    for url in PORTS.values():
        assert url in page.text


@pytest.mark.parametrize("workload", [LOAN_DEFAULT, TURBOFAN, PUMPS], ids=lambda each: each.name)
def test_page_stays_below_100_kb(workload):
    assert len(opened(workload).get("/").content) < LIMIT_BYTES


def test_only_pages_for_people_are_links():
    links = {each["href"] for each in shown().all("a")}
    assert {PORTS["prometheus_url"], PORTS["alertmanager_url"], PORTS["drift_report_url"]} <= links
    assert not links & {PORTS[name] for name in ("retrain_url", "model_url", "feature_server_url", "policy_url")}
    assert f"{PORTS['mlflow_url']}/#/experiments/1/runs" in links


def test_requests_of_both_protocols_are_complete():
    text = shown().text
    v2 = '{"inputs": [{"name": "features", "shape": [1, 4], "datatype": "FP64", "data": [[45, 72000, 680, 3]]}]}'
    assert f"curl -s {PORTS['prediction_url']} -H 'Content-Type: application/json' -d '{{\"instances\"" in text
    assert f"{PORTS['model_url'].replace('/v1/', '/v2/')}/infer -H 'Content-Type: application/json' -d '{v2}'" in text


def test_probes_that_failed_stand_first():
    (section,) = re.findall(r'<section id="doctor".*?</section>', opened().get("/").text, re.DOTALL)
    found = re.findall(r'<span class="badge \w+">(\w+)</span>', section)
    assert found == ["failed", "warning", "warning", "ok", "ok", "ok"]


def test_every_field_has_a_label_and_every_heading_its_level():
    page = shown()
    fields = [each for each in page.all("input") if each.get("type") != "hidden"]
    labelled = {each["for"] for each in page.all("label")}
    assert fields
    assert {each["id"] for each in fields} == labelled
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_names_that_are_referred_to_are_there_and_unique():
    page = shown()
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        for name in ("for", "aria-labelledby", "aria-describedby", "data-copies"):
            assert attributes.get(name, ids[0]) in ids


def test_text_of_other_servers_is_no_markup():
    alerts = [{**each, "summary": "<script>alert(1)</script>"} for each in Recorded().latest()["alerts"]]
    page = opened(alerts=alerts).get("/").text
    assert page.count("<script") == 1
    assert "&lt;script&gt;alert(1)" in page


@pytest.mark.parametrize(
    ("verdict", "text"),
    [
        (None, "no verdict"),
        ({"allowed": True}, "allowed"),
        ({"allowed": False, "reasons": ["AUC is 0.5", "ECE is 1"]}, "not allowed: AUC is 0.5; ECE is 1"),
        ({"allowed": "yes", "reasons": 7, "bias": []}, "not allowed"),
        ("allowed", "no verdict"),
        ([True], "no verdict"),
    ],
)
def test_gate_is_shown_whatever_the_tag_holds(verdict, text):
    model = {**Recorded().latest()["model"], "verdict": verdict}
    page = opened(model=model).get("/")
    assert page.status_code == 200
    assert re.search(rf"Release gate</dt><dd><span class=\"\w+\">{text}</span>", page.text)


def test_every_status_of_a_retrain_that_is_over_has_words():
    assert set(ENDINGS) == set(STATUSES) - {"queued", "running", "challenging", "watching"}


def test_page_before_the_first_examination_says_so():
    nothing = dict.fromkeys(("alerts", "model", "drift", "retrain", "examined", "experiment_id"))
    page = shown(**nothing, curves=[], answers=[])
    assert "Not examined yet" in page.text
    assert PORTS["prediction_url"] in page.text


def test_workload_without_retrain_says_what_starts_one():
    assert "Drift or make retrain starts one" in shown(retrain=None).text


def test_form_without_a_script_answers_with_the_page_and_the_score():
    with answering({"predictions": [0.25]}, {"x-model-version": "3"}) as (url, requests):
        page = opened(prediction_url=url).post("/predict", data=VALUES)
    assert page.status_code == 200
    assert "Default probability: <b>0.25</b>" in page.text
    assert "version 3" in page.text
    assert requests[0].body == {"instances": [[45, 72000.0, 680, 3]]}
    assert requests[0].headers["x-request-id"].startswith("page-")
    assert requests[0].headers[PROBE_HEADER] == "a-probe"


def test_form_by_key_sends_the_key():
    with answering({"predictions": [0.25]}) as (url, requests):
        opened(prediction_url=url).post("/predict", data={"by": "keys", "CustomerID": "1001"})
    assert requests[0].body == {"instances": [{"CustomerID": 1001}]}


def test_refusal_of_the_model_server_is_shown_beside_the_typed_values():
    with answering({"error": "CreditScore is <b>9</b>"}, status=400) as (url, _):
        page = opened(prediction_url=url).post("/predict", data=VALUES | {"CreditScore": "9"})
    assert "CreditScore is &lt;b&gt;9&lt;/b&gt;" in page.text
    assert 'name="CreditScore" value="9"' in page.text


def test_model_server_that_is_away_is_a_sentence():
    page = opened(prediction_url="http://127.0.0.1:9/v1").post("/predict", data=VALUES)
    assert "the model server at http://127.0.0.1:9/v1 gave no prediction" in page.text


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"Age": "old"}, "Age is &#39;old&#39;, which is not a whole number: give Years"),
        ({"Age": ""}, "Age is empty: give Years"),
        ({"Income": "many"}, "which is not a number"),
        ({"by": "keys", "CustomerID": "x"}, "CustomerID is &#39;x&#39;, which is not a whole number"),
    ],
)
def test_field_that_cannot_be_sent_is_named(changed, said):
    page = opened(prediction_url="http://127.0.0.1:9/").post("/predict", data=VALUES | changed)
    assert page.status_code == 400
    assert said in page.text


def test_form_that_is_too_long_is_refused():
    assert opened(prediction_url="http://127.0.0.1:9/").post("/predict", data={"Age": "9" * 40_000}).status_code == 413


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://elsewhere.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}, {"Host": "evil"}],
)
def test_form_of_another_site_is_refused(headers):
    with answering({"predictions": [0.25]}) as (url, requests):
        assert opened(prediction_url=url).post("/predict", data=VALUES, headers=headers).status_code == 403
    assert requests == []


def test_form_needs_the_login_of_the_page():
    with answering({"predictions": [0.25]}) as (url, requests):
        status = Recorded(LOAN_DEFAULT, url)
        door = Door("generated")
        client = TestClient(start_page.app({"loan-default": status}, "loan-default", door), base_url=HOME)
        assert client.post("/predict", data=VALUES).status_code == 401
        assert requests == []
        page = client.get(link(HOME, "generated"))
        assert "Version 3" in page.text
        assert "0.25" in client.post(f"{door.folder}/predict", data=VALUES).text


def test_nullable_and_text_features_of_a_form():
    form = {feature.name: "" for feature in PUMPS.inputs}
    needed = [feature for feature in PUMPS.inputs if not feature.nullable]
    with pytest.raises(FormError, match=f"{needed[0].name} is empty"):
        instance(PUMPS, form)
    form |= {feature.name: "some" if feature.type == "string" else "1" for feature in needed}
    sent = dict(zip(PUMPS.features, instance(PUMPS, form), strict=True))
    assert {value for name, value in sent.items() if name not in {each.name for each in needed}} <= {None}


def test_runbook_is_a_page_whose_links_lead_to_other_runbooks(tmp_path):
    (tmp_path / "Lag.md").write_text("# Lag\n\nSee [drift](drift.md) and <script>x</script>.\n")
    page = runbooks.page("Lag", tmp_path)
    assert "<h1>Lag</h1>" in page
    assert '<a href="drift">' in page
    assert "<script>" not in page


@pytest.mark.parametrize("name", ["../secret", "Lag.md", "", "a" * 80, "drift/../drift"])
def test_name_that_is_no_runbook_opens_no_file(name, tmp_path):
    (tmp_path / "secret.md").write_text("secret")
    folder = tmp_path / "runbooks"
    folder.mkdir()
    assert runbooks.page(name, folder) is None


@pytest.mark.parametrize(
    ("annotation", "address"),
    [
        ("https://example.com/runbooks/Lag", "https://example.com/runbooks/Lag"),
        ("docs/runbooks/DataDriftDetected.md", "runbooks/DataDriftDetected"),
        ("docs/runbooks/Nothing.md", ""),
        ("", ""),
    ],
)
def test_runbook_of_an_alert_has_an_address_that_opens(annotation, address):
    assert runbooks.address(annotation) == address


def test_every_runbook_of_the_checkout_is_served():
    client = opened()
    files = sorted(runbooks.FOLDER.glob("*.md"))
    assert files
    for file in files:
        page = client.get(f"/runbooks/{file.stem}")
        assert page.status_code == 200
        Outline(page.text)
    assert client.get("/runbooks/Nothing").status_code == 404


def path_of(picture, kind="path"):
    return next(each for each in ET.fromstring(picture).iter() if each.tag == kind)


def test_line_stands_where_its_time_is_within_the_hour():
    path = path_of(line([[1800.0, 1.0], [1860.0, 2.0]], 0.0, 3600.0, 60.0, None)).get("d")
    assert path.startswith("M150.0 ")
    assert "L155.0 " in path


def test_line_is_interrupted_where_points_are_missing():
    path = path_of(line([[0.0, 1.0], [60.0, 1.0], [600.0, 1.0]], 0.0, 3600.0, 60.0, None)).get("d")
    assert (path.count("M"), path.count("L")) == (2, 1)


def test_flat_line_is_a_line_and_its_limit_is_inside():
    picture = line([[0.0, 0.0], [60.0, 0.0]], 0.0, 3600.0, 60.0, 0.2)
    limit = path_of(picture, "line")
    assert 0 < float(limit.get("y1")) < 60
    assert "fill" not in picture


def test_bars_hold_every_bin_of_both_distributions():
    current, reference = ET.fromstring(bars([0.5, 0.5, 0.0], [0.0, 0.25, 0.75]))
    assert current.get("d").count("M") == 2
    assert reference.get("d").count("h") == 3


def test_line_is_told_in_words():
    assert described([[0, 0.1], [60, 0.3]], 0.2) == "lowest 0.1, highest 0.3; alert threshold 0.2"


@pytest.mark.parametrize(("value", "text"), [(0.0, "0"), (0.33361, "0.334"), (12345.6, "12,346"), (1e-5, "1e-05")])
def test_numbers_have_three_digits(value, text):
    assert number(value) == text


def test_refused_retrain_ends_with_the_refusal():
    row = {"status": "refused", "reason": "new data", "alert": "", "attempts": 1, "detail": "AUC 0.6 is below 0.75"}
    hops = timeline({**row, "created_at": 1.0, "begun_at": 2.0, "ended_at": 3.0}, None, None)
    assert [(hop.name, hop.at) for hop in hops] == [
        ("Requested", 1.0),
        ("Pipeline started", 2.0),
        ("Refused by the release policy", 3.0),
    ]
    assert hops[-1].detail == "AUC 0.6 is below 0.75"
