"""Stage 4: measure a trained run and let the release policy decide; the verdict is stored on the run.

Measures what is served (the ONNX bundle, verified, in the serving runtime): quality on the held-out rows, the champion
on the same rows, both on the ingested rows when those were labelled requests, bias gaps per protected attribute,
latency of single rows, health of the data. Decides nothing: `policies/release/release.rego` does, in OPA.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workloads.lifecycle.base.environment import Environment, load
from workloads.lifecycle.base.errors import GateError, InsufficientError, run_command
from workloads.lifecycle.base.mlflow_api import mlflow_client
from workloads.lifecycle.base.servers import wait_for_mlflow, wait_for_opa
from workloads.lifecycle.features.publication import TrainingSet
from workloads.lifecycle.features.windows import training_set, window_of
from workloads.lifecycle.quality.groups import MIN_GROUP_ROWS, bias_gaps, groups
from workloads.lifecycle.quality.measures import ranking
from workloads.lifecycle.registry import policy
from workloads.lifecycle.registry.signature import FACTS_FILE
from workloads.lifecycle.registry.verdict import VERDICT_TAG, Verdict
from workloads.lifecycle.registry.versions import CHAMPION, alias_version, download_bundle, unusable
from workloads.lifecycle.training.bundle import Scorer
from workloads.lifecycle.training.train import BUNDLE_TAG, LEARNT_ROWS, MODEL_CARD, Split, held_out, split
from workloads.lifecycle.validation import judgement
from workloads.lifecycle.validation.bounds import Former, losses, measured_bounds, settled_losses
from workloads.lifecycle.workload import Workload

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd
    from mlflow import MlflowClient

_LATENCY_CALLS = 200


def validate(environment: Environment, run_id: str, data: TrainingSet | None = None) -> Verdict:
    """Measure the run, ask OPA, store the verdict on the run and return it.

    Raises BundleError when the run's artifacts are missing or altered, WorkloadError when OPA does not decide.
    """
    wait_for_mlflow(environment)
    wait_for_opa(environment)
    client = mlflow_client(environment)
    data = data or training_set(environment)
    workload, settings = environment.definition, environment.settings.training
    parts = split(workload, data.frame, settings)
    champion = alias_version(environment, client, CHAMPION)
    candidate_scorer, checksum = _scorer(environment, run_id)
    champion_scorer = _champion_scorer(client, environment, champion) if champion else None
    known = None if data.known is None else split(workload, data.known, settings).test
    learnt = _learnt_rows(client, environment, champion) if champion_scorer is not None else None
    facts = measure(
        workload,
        parts,
        data,
        candidate_scorer,
        champion_scorer,
        known=known,
        champion_rows=learnt,
        former=_former(client, environment),
    )
    verdict = decide(environment, facts)
    recorded = {BUNDLE_TAG: checksum, **policy.question(environment, facts)}
    client.log_dict(run_id, recorded, FACTS_FILE)
    client.log_dict(run_id, verdict.model_dump(mode="json"), "validation/verdict.json")
    _write_card(environment, client, run_id, judgement.section(verdict, facts["bounds"]))
    client.set_tag(run_id, VERDICT_TAG, verdict.model_dump_json())
    return verdict


def _write_card(environment: Environment, client: "MlflowClient", run_id: str, section: str) -> None:
    """Give the run's model card its last section, in place of an earlier one."""
    with tempfile.TemporaryDirectory(dir=environment.work) as scratch:
        card = Path(client.download_artifacts(run_id, MODEL_CARD, scratch)).read_text()
    client.log_text(run_id, f"{card.partition(judgement.HEADING)[0].rstrip()}\n\n{section}", MODEL_CARD)


def measure(
    workload: Workload,
    parts: Split,
    data: TrainingSet,
    candidate: Scorer,
    champion: Scorer | None,
    *,
    known: "pd.DataFrame | None" = None,
    champion_rows: int | None = None,
    former: Sequence[Former] = (),
) -> dict[str, Any]:
    """Everything the policy may look at, as plain JSON.

    `known`: held-out ingested rows, when the rows of `parts` are labelled requests. `champion_rows`: rows that the
    champion learnt from, None where its run does not say. `former`: champions of the window's time.
    """
    scores, learnt = _score(candidate, parts.test), _score(candidate, parts.train)
    theirs = None if champion is None else _score(champion, parts.test)
    bounds = measured_bounds(
        workload, parts, learnt=learnt, candidate=scores, champion=theirs, champion_rows=champion_rows
    )
    settled: list[dict[str, Any] | None] = []
    if data.delivered is not None:
        settled = [settled_losses(workload, parts.test, data.delivered, scores, each) for each in former]
    both_known = None
    if known is not None and champion is not None:
        both_known = losses(workload, known, _score(candidate, known), _score(champion, known))
    quarantined = sum(data.ingested.quarantined.values())
    ingested = len(data.frame if data.known is None else data.known)  # a window's rows were not ingested
    return {
        "candidate": _quality(workload, parts.test, scores) | {"distinct_scores": len(set(scores.tolist()))},
        "train": _quality(workload, parts.train, learnt),
        "champion": None if theirs is None else _quality(workload, parts.test, theirs),
        "known": None
        if known is None
        else {
            "candidate": _quality(workload, known, _score(candidate, known)),
            "champion": champion and _quality(workload, known, _score(champion, known)),
        },
        "bounds": bounds
        | {"known": both_known, "known_rows": None if known is None else len(known)}
        | {"former": [each for each in settled if each is not None]},
        "bias": bias_gaps(workload, parts.test, scores),
        "latency_p99_ms": latency_p99_ms(workload, candidate),
        "data": {
            "hash": data.ingested.data_hash,
            "trained_on_hash": candidate.manifest.data_hash,
            "rows": len(data.frame),
            "quarantined_share": quarantined / max(1, quarantined + ingested),
            "features": list(candidate.manifest.features),
            "constant_features": constant_features(workload, data.frame),
            "label_correlation": _associations(workload, data.frame, candidate),
        },
    }


def _quality(workload: Workload, frame: "pd.DataFrame", scores: "npt.NDArray[Any]") -> dict[str, float]:
    return held_out(workload, frame[workload.outcome.label].to_numpy(), scores)


def decide(environment: Environment, facts: dict[str, Any]) -> Verdict:
    """Ask the release policy; raises WorkloadError when OPA cannot be asked or has no such policy."""
    decision = policy.ask(environment, policy.question(environment, facts))
    bias = {attribute: dict(gaps) for attribute, gaps in facts["bias"].items()}
    return Verdict(
        allowed=decision.allow,
        reasons=decision.reasons,
        bias=bias,
        insufficient=decision.insufficient and not decision.allow,
        more_rows=decision.more_rows if decision.insufficient else 0,
    )


def require(verdict: Verdict, run_id: str) -> None:
    """Raise GateError when the policy refused a run, InsufficientError when the rows are too few to decide."""
    if verdict.allowed:
        return
    why = "; ".join(verdict.reasons)
    if verdict.insufficient:
        raise InsufficientError(
            f"there is not enough evidence to decide about run {run_id}: {why}; about {verdict.more_rows} more "
            "labelled rows are needed; the champion and the published features stay"
        )
    raise GateError(
        f"run {run_id} was refused by the release policy: {why}; the champion and the published features stay"
    )


def constant_features(workload: Workload, frame: "pd.DataFrame") -> list[str]:
    """Features with one value for all rows, or for all rows of a group with enough of them, where it should vary."""
    found = [name for name in workload.features if len(frame[name].unique()) == 1]
    grouping = {group.attribute: group.column for group in workload.groups if not group.edges}
    for attribute, group in groups(workload, frame).items():
        counts = group.value_counts()
        different = frame[list(workload.features)].groupby(group.to_numpy()).nunique(dropna=False)
        large = [name for name in counts.index[counts >= MIN_GROUP_ROWS] if name in different.index]
        found += [
            f"{feature} for {attribute} {name}"
            for name in large
            for feature in workload.features
            if different.loc[name, feature] == 1 and feature != grouping.get(attribute)
        ]
    return found


def latency_p99_ms(workload: Workload, scorer: Scorer) -> float:
    """99th percentile of single-row scoring in the serving runtime, in milliseconds."""
    import numpy as np  # noqa: PLC0415

    example = zip(workload.features, workload.example, strict=True)
    row = scorer.inputs({name: [value] for name, value in example})
    times = []
    for _ in range(_LATENCY_CALLS):
        started = time.perf_counter()
        scorer.score(row)
        times.append((time.perf_counter() - started) * 1e3)
    return float(np.percentile(times, 99))


def _associations(workload: Workload, frame: "pd.DataFrame", scorer: Scorer) -> dict[str, float]:
    """How well each feature alone ranks the outcome, folded to 0.5..1; near 1 it is the outcome in disguise.

    Missing values are left out; a category counts by its code, so that its order is that of its values.
    """
    import numpy as np  # noqa: PLC0415

    known = frame[frame[workload.outcome.label].notna()]
    labels = known[workload.outcome.label].to_numpy()
    columns = zip(workload.features, scorer.inputs(known).astype(float).T, strict=True)
    alone = {}
    for name, values in columns:
        there = ~np.isnan(values)
        comparable = len(np.unique(labels[there])) > 1
        rank = ranking(workload.problem, labels[there], values[there]) if comparable else 0.5
        alone[name] = max(rank, 1 - rank)
    return alone


def _score(scorer: Scorer, frame: "pd.DataFrame") -> "npt.NDArray[Any]":
    return scorer.score(scorer.inputs(frame)).astype(float)


def _scorer(environment: Environment, run_id: str) -> tuple[Scorer, str]:
    """A run's model, and the checksum of the bundle that it is."""
    with tempfile.TemporaryDirectory(dir=environment.work) as scratch:
        folder, checksum = download_bundle(mlflow_client(environment), run_id, Path(scratch))
        return Scorer.load(folder, checksum, environment.definition), checksum


def _champion_scorer(client: "MlflowClient", environment: Environment, version: str) -> Scorer | None:
    """The champion's scorer; None when it must not be served, which is printed: nothing is compared then."""
    if reason := unusable(client, environment, version):
        print(f"{reason}; it counts as no champion", flush=True)
        return None
    return _scorer(environment, str(client.get_model_version(environment.definition.model_name, version).run_id))[0]


def _former(client: "MlflowClient", environment: Environment) -> list[Former]:
    """The champions of the window's time that may still be served."""
    window = window_of(environment, environment.labelled_window) if environment.labelled_window else None
    found: list[Former] = []
    for version, since in (window.champions if window else {}).items():
        scorer = _champion_scorer(client, environment, version)
        found += [] if scorer is None else [Former(version, since, scorer)]
    return found


def _learnt_rows(client: "MlflowClient", environment: Environment, version: str | None) -> int | None:
    """Rows that a version learnt from, as its run says."""
    run_id = str(client.get_model_version(environment.definition.model_name, str(version)).run_id)
    noted = client.get_run(run_id).data.params.get(LEARNT_ROWS, "")
    return int(noted) if noted.isdecimal() else None


def main() -> None:
    """Command: judge a run; exit status 1 unless the policy allows it."""
    parser = argparse.ArgumentParser(prog="python -m workloads.lifecycle.validation.gate", description=__doc__)
    parser.add_argument("run_id", help="MLflow run to judge")
    verdict_of = parser.parse_args().run_id
    verdict = validate(load(), verdict_of)
    print(verdict.model_dump_json(indent=1))
    require(verdict, verdict_of)


if __name__ == "__main__":
    run_command(main)
