"""What the table of stages calls: each stage of the library, from one to the next by its answer.

What a stage imports, it imports when it runs: an image holds only what its stages need.
"""

from workloads.lifecycle.base.servers import wait_for_online_store
from workloads.lifecycle.pipelines.stages import Done, Session


def ingest(session: Session) -> Done:
    """Raw rows to an ingestion run that is not published; the answer is its name."""
    from workloads.lifecycle.ingestion import ingest as stage  # noqa: PLC0415

    found = stage.ingest(session.environment)
    bad = sum(found.quarantined.values())
    says = f"{found.rows} rows, {bad} quarantined, data {found.data_hash[:12]}"
    return Done(found.run, says, found.model_dump(mode="json"))


def train(session: Session, ingestion_run: str, labelled_window: str, unless: str) -> Done:
    """Features, or a window of labelled requests, to a trained model; the answer is the MLflow run.

    Raises UnchangedError when they, code and settings are those of `unless`.
    """
    from workloads.lifecycle.training import train as stage  # noqa: PLC0415

    environment = session.reading(ingestion_run, labelled_window)
    data = session.training_set(environment)
    stage.require_new(environment, data, unless)
    found = stage.train(environment, data)
    return Done(found.run_id, f"run {found.run_id}, {found.quality}", found.model_dump(mode="json"))


def validate(session: Session, run_id: str, ingestion_run: str, labelled_window: str) -> Done:
    """Asks the release policy; raises GateError when it refuses the model, or has too few rows to decide."""
    from workloads.lifecycle.validation import gate as stage  # noqa: PLC0415

    environment = session.reading(ingestion_run, labelled_window)
    verdict = stage.validate(environment, run_id, session.training_set(environment))
    stage.require(verdict, run_id)
    return Done(run_id, "allowed by the release policy", verdict.model_dump(mode="json"))


def features(session: Session, ingestion_run: str) -> Done:
    """Publishes the features that the approved model learnt from."""
    from workloads.lifecycle.features import publication as stage  # noqa: PLC0415

    wait_for_online_store(session.environment)
    found = stage.publish(session.environment, ingestion_run)
    says = f"{found.rows} rows online, {found.parity_checked} compared"
    return Done(found.run, says, found.model_dump(mode="json"))


def register(session: Session, run_id: str, retrain: str) -> Done:
    """Makes the model the champion, or of a retrain the candidate that its service promotes; answers its version."""
    from workloads.lifecycle.registry import versions as stage  # noqa: PLC0415

    environment = session.environment
    if retrain:
        version = stage.register_candidate(environment, run_id, retrain)
        return Done(version, f"version {version} is the candidate of retrain {retrain}")
    if session.promote is not None:
        version = session.promote(run_id)
        return Done(version, f"champion is version {version}")
    found = stage.register(environment, run_id)
    return Done(found.version, f"champion is version {found.version}", found.model_dump(mode="json"))


def deploy(session: Session, version: str, retrain: str) -> Done:
    """Waits until the version answers; a retrain's is promoted, and then answers, after this run."""
    from workloads.lifecycle.pipelines import deployment as stage  # noqa: PLC0415

    if retrain:
        return Done(version, f"version {version} is the candidate of retrain {retrain}, whose service promotes it")
    found = stage.deploy(session.environment, version)
    says = f"version {found.version} answers {found.vector_prediction:.4f}"
    if session.is_pinned:
        says = f"version {found.version} is pinned (serving.model_version) and answers; nothing was trained"
    return Done(version, says, found.model_dump(mode="json"))
