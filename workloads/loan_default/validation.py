"""Stage 4: measure a trained run and let the release policy decide; the verdict is stored on the run.

Measures what is served (the ONNX bundle, verified, in the serving runtime): quality on the held-out rows, the champion
on the same rows, both on the ingested rows when those were labelled requests, bias gaps per protected attribute,
latency of single rows, health of the data. Decides nothing: `policies/release/release.rego` does, in OPA.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from pydantic import BaseModel, ConfigDict

from workloads.lifecycle.workload import Group
from workloads.loan_default import FEATURES, LABEL
from workloads.loan_default.bundle import Scorer
from workloads.loan_default.definition import LOAN_DEFAULT
from workloads.loan_default.errors import GateError, WorkloadError, run_command
from workloads.loan_default.features import TrainingSet, training_set
from workloads.loan_default.servers import wait_for_mlflow, wait_for_opa
from workloads.loan_default.settings import Environment, load
from workloads.loan_default.training import EXAMPLE, Split, score_metrics, split

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    from mlflow import MlflowClient

VERDICT_TAG = "verdict"
"""Tag of the run, and later of the model version, with the verdict as JSON."""

POLICY_PATH = "/v1/data/release"
_LATENCY_CALLS = 200
_OPA_SECONDS = 10.0


class Verdict(BaseModel):
    """What the policy said about a run."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    allowed: bool
    """Whether the run may be promoted."""

    reasons: tuple[str, ...]
    """Why not; empty when it may."""

    bias: dict[str, dict[str, float]]
    """Largest gap between groups, per attribute and kind."""


def validate(environment: Environment, run_id: str, data: TrainingSet | None = None) -> Verdict:
    """Measure the run, ask OPA, store the verdict on the run and return it.

    Raises BundleError when the run's artifacts are missing or altered, WorkloadError when OPA does not decide.
    """
    from workloads.loan_default.registry import CHAMPION, alias_version, mlflow_client  # noqa: PLC0415  the other way round

    wait_for_mlflow(environment)
    wait_for_opa(environment)
    client = mlflow_client(environment)
    data = data or training_set(environment)
    parts = split(data.frame, environment.settings.training)
    champion = alias_version(client, CHAMPION)
    candidate_scorer = _scorer(environment, run_id)
    champion_scorer = _champion_scorer(client, environment, champion) if champion else None
    known = None if data.known is None else split(data.known, environment.settings.training).test
    facts = measure(parts, data, candidate_scorer, champion_scorer, known)
    verdict = decide(environment, facts)
    client.log_dict(run_id, _question(environment, facts), "validation/facts.json")
    client.log_dict(run_id, verdict.model_dump(mode="json"), "validation/verdict.json")
    client.set_tag(run_id, VERDICT_TAG, verdict.model_dump_json())
    return verdict


def measure(
    parts: Split,
    data: TrainingSet,
    candidate: Scorer,
    champion: Scorer | None,
    known: "pd.DataFrame | None" = None,
) -> dict[str, Any]:
    """Everything the policy may look at, as plain JSON.

    `known`: held-out ingested rows, when the rows of `parts` are labelled requests.
    """
    scores = _score(candidate, parts.test)
    labels = parts.test[LABEL].to_numpy()
    quarantined = sum(data.ingested.quarantined.values())
    ingested = len(data.frame if data.known is None else data.known)  # a window's rows were not ingested
    return {
        "candidate": score_metrics(labels, scores) | {"distinct_scores": len(set(scores.tolist()))},
        "train": score_metrics(parts.train[LABEL].to_numpy(), _score(candidate, parts.train)),
        "champion": None if champion is None else score_metrics(labels, _score(champion, parts.test)),
        "known": None if known is None else _on_known(known, {"candidate": candidate, "champion": champion}),
        "bias": bias_gaps(parts.test, scores),
        "latency_p99_ms": latency_p99_ms(candidate),
        "data": {
            "hash": data.ingested.data_hash,
            "trained_on_hash": candidate.manifest.data_hash,
            "rows": len(data.frame),
            "quarantined_share": quarantined / max(1, quarantined + ingested),
            "features": list(candidate.manifest.features),
            "constant_features": constant_features(data.frame),
            "label_correlation": {name: _association(data.frame, name) for name in FEATURES},
        },
    }


def _question(environment: Environment, facts: dict[str, Any]) -> dict[str, Any]:
    """The policy's input: the facts, and the thresholds that a stack file sets because other parts use them, too."""
    settings = environment.settings
    limits = {
        "parity_gap": settings.fairness.parity_gap,
        "opportunity_gap": settings.fairness.opportunity_gap,
        "quarantined_share": settings.ingestion.max_bad_share,
    }
    return {**facts, "limits": limits}


def _on_known(known: "pd.DataFrame", scorers: dict[str, Scorer | None]) -> dict[str, Any]:
    labels = known[LABEL].to_numpy()
    return {name: scorer and score_metrics(labels, _score(scorer, known)) for name, scorer in scorers.items()}


def decide(environment: Environment, facts: dict[str, Any]) -> Verdict:
    """Ask the release policy; raises WorkloadError when OPA cannot be asked or has no such policy."""
    url = environment.need("opa_url").rstrip("/") + POLICY_PATH
    try:
        answer = httpx.post(url, json={"input": _question(environment, facts)}, timeout=_OPA_SECONDS)
        answer.raise_for_status()
        result = answer.json().get("result")
    except (httpx.HTTPError, ValueError) as error:
        raise WorkloadError(f"OPA at {url} did not decide: {error}; the champion stays") from error
    if not result or "allow" not in result or "reasons" not in result:
        raise WorkloadError(f"OPA at {url} has no release policy; load policies/release")
    bias = {attribute: dict(gaps) for attribute, gaps in facts["bias"].items()}
    return Verdict(allowed=result["allow"] is True, reasons=tuple(sorted(result["reasons"])), bias=bias)


def bias_gaps(test: "pd.DataFrame", scores: "npt.NDArray[Any]") -> dict[str, dict[str, float]]:
    """Largest difference between groups with enough rows, per attribute.

    `demographic_parity`: share predicted to default. `equal_opportunity`: share of those who paid that is predicted to
    pay. Both at the threshold that predicts as many defaults as there are, so that the base rate cancels out.
    `ranking`: AUC within the group; a feature that is broken for one group shows here.
    """
    import numpy as np  # noqa: PLC0415

    labels = test[LABEL].to_numpy()
    flagged = scores > np.quantile(scores, 1 - labels.mean())
    return {name: _gaps(group.to_numpy(), labels, scores, flagged) for name, group in _groups(test).items()}


def constant_features(frame: "pd.DataFrame") -> list[str]:
    """Features with one value for everybody, or for everybody of a group with enough rows, where it should vary."""
    found = [name for name in FEATURES if frame[name].min() == frame[name].max()]
    for attribute, group in _groups(frame).items():
        counts = group.value_counts()
        grouped = frame[list(FEATURES)].groupby(group.to_numpy())
        spans = grouped.max() - grouped.min()
        large = [name for name in counts.index[counts >= MIN_GROUP_ROWS] if name in spans.index]
        found += [
            f"{feature} for {attribute} {name}"
            for name in large
            for feature in FEATURES
            if not spans.loc[name, feature]
        ]
    return found


def _groups(frame: "pd.DataFrame") -> "dict[str, pd.Series[str]]":
    """The group of every row, per protected attribute."""
    return {group.attribute: _grouped(frame[group.column], group) for group in LOAN_DEFAULT.groups}


def _grouped(values: "pd.Series[Any]", group: Group) -> "pd.Series[str]":
    import pandas as pd  # noqa: PLC0415

    if group.edges:
        return pd.cut(values, list(group.edges)).astype(str)
    if group.other_value is not None:
        values = values.where(values.isin(group.kept_values), group.other_value)
    return values.astype(str)


def latency_p99_ms(scorer: Scorer) -> float:
    """99th percentile of single-row scoring in the serving runtime, in milliseconds."""
    import numpy as np  # noqa: PLC0415

    row = np.asarray([EXAMPLE], dtype=np.float32)
    times = []
    for _ in range(_LATENCY_CALLS):
        started = time.perf_counter()
        scorer.score(row)
        times.append((time.perf_counter() - started) * 1e3)
    return float(np.percentile(times, 99))


MIN_GROUP_ROWS = 100
"""Groups with fewer held-out rows are not compared: their rates are noise."""

MIN_RANKING_ROWS = 500
"""The same for the AUC within a group, whose standard error is 0.025 at this size."""


def _gaps(
    group: "npt.NDArray[Any]",
    labels: "npt.NDArray[Any]",
    scores: "npt.NDArray[Any]",
    flagged: "npt.NDArray[np.bool_]",
) -> dict[str, float]:
    import numpy as np  # noqa: PLC0415
    from sklearn.metrics import roc_auc_score  # noqa: PLC0415

    names, counts = np.unique(group, return_counts=True)
    kept = [name for name, count in zip(names, counts, strict=True) if count >= MIN_GROUP_ROWS]
    flagged_share = [float(flagged[group == name].mean()) for name in kept]
    paid = [(group == name) & (labels == 0) for name in kept]
    trusted_share = [float(1 - flagged[rows].mean()) for rows in paid if rows.any()]
    large = [group == name for name, count in zip(names, counts, strict=True) if count >= MIN_RANKING_ROWS]
    ranked = [float(roc_auc_score(labels[rows], scores[rows])) for rows in large if len(set(labels[rows])) > 1]
    return {
        "demographic_parity": _spread(flagged_share),
        "equal_opportunity": _spread(trusted_share),
        "ranking": _spread(ranked),
        "groups": len(kept),
    }


def _spread(values: list[float]) -> float:
    return max(values) - min(values) if values else 0.0


def _association(frame: "pd.DataFrame", name: str) -> float:
    """How well one feature alone ranks the label: AUC folded to 0.5..1; near 1 it is the label in disguise."""
    from sklearn.metrics import roc_auc_score  # noqa: PLC0415

    alone = float(roc_auc_score(frame[LABEL], frame[name]))
    return max(alone, 1 - alone)


def _score(scorer: Scorer, frame: "pd.DataFrame") -> "npt.NDArray[Any]":
    import numpy as np  # noqa: PLC0415

    return scorer.score(frame[list(FEATURES)].to_numpy(dtype=np.float32)).astype(float)


def _scorer(environment: Environment, run_id: str) -> Scorer:
    from workloads.loan_default.registry import download_bundle, mlflow_client  # noqa: PLC0415

    with tempfile.TemporaryDirectory(dir=environment.work) as scratch:
        folder, checksum = download_bundle(mlflow_client(environment), run_id, Path(scratch))
        return Scorer.load(folder, checksum)


def _champion_scorer(client: "MlflowClient", environment: Environment, version: str) -> Scorer | None:
    """The champion's scorer; None when its bundle cannot be read, which is printed: nothing is compared then."""
    from workloads.loan_default import MODEL_NAME  # noqa: PLC0415
    from workloads.loan_default.registry import unreadable  # noqa: PLC0415

    if reason := unreadable(client, environment, version):
        print(f"{reason}; it counts as no champion", flush=True)
        return None
    return _scorer(environment, str(client.get_model_version(MODEL_NAME, version).run_id))


def main() -> None:
    """Command: judge a run; exit status 1 when the policy refuses it."""
    parser = argparse.ArgumentParser(prog="python -m workloads.loan_default.validation", description=__doc__)
    parser.add_argument("run_id", help="MLflow run to judge")
    verdict = validate(load(), parser.parse_args().run_id)
    print(verdict.model_dump_json(indent=1))
    if not verdict.allowed:
        raise GateError(f"refused by the release policy: {'; '.join(verdict.reasons)}")


if __name__ == "__main__":
    run_command(main)
