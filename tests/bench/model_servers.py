"""Two model servers over one trained model, for `serving.py` beside this file: KServe as it comes, and ours."""

import argparse
import json
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from sklearn.ensemble import GradientBoostingClassifier

from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.settings import ServingSettings, WorkloadSettings
from workloads.lifecycle.features.online import FeastLookup
from workloads.lifecycle.training.bundle import Manifest, Scorer, sha256, write
from workloads.lifecycle.training.estimators import to_onnx
from workloads.loan_default.definition import LOAN_DEFAULT

WORKLOAD = "workloads.loan_default.definition:LOAN_DEFAULT"


def fitted(rows: int = 24_000) -> GradientBoostingClassifier:
    rng = np.random.default_rng(42)
    score = np.clip(rng.normal(685, 130, rows), 300, 850).round()
    features = np.column_stack(
        [rng.integers(21, 80, rows), rng.lognormal(10.5, 0.8, rows).round(-2), score, rng.integers(0, 7, rows)]
    )
    labels = rng.random(rows) < 1 / (1 + np.exp((score - 560) / 60))
    model = GradientBoostingClassifier(n_estimators=200, learning_rate=0.05, max_depth=3, random_state=42)
    return model.fit(features, labels)


def stock(port: int) -> None:
    """ModelServer and a sklearn model, every default but the address and the gRPC port."""
    import kserve.protocol.rest.server as rest
    import uvicorn
    from kserve import Model, ModelServer

    class Loopback(uvicorn.Config):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **{**kwargs, "host": "127.0.0.1"})

    rest.uvicorn.Config = Loopback

    class Sklearn(Model):
        def __init__(self, model: GradientBoostingClassifier) -> None:
            super().__init__(LOAN_DEFAULT.name)
            self.model = model
            self.ready = True

        def predict(self, payload, headers=None, response_headers=None):
            del headers, response_headers
            return {"predictions": self.model.predict_proba(np.asarray(payload["instances"]))[:, 1].tolist()}

    ModelServer(http_port=port, enable_grpc=False).start([Sklearn(fitted())])


class Customers:
    """Stands in for Feast's online store: each has the features of one vector, and is as old as the key says."""

    def get_online_features(self, features, entity_rows):
        del features
        time.sleep(0.001)
        found = {
            name: [value] * len(entity_rows)
            for name, value in zip(LOAN_DEFAULT.features, (45, 72000, 680, 3), strict=True)
        }
        found["Age"] = [row["CustomerID"] for row in entity_rows]
        stamps = {f"{view.features[0].name}__ts": [int(time.time())] * len(entity_rows) for view in LOAN_DEFAULT.views}
        return SimpleNamespace(to_dict=lambda **_: found | stamps)


def customers(environment: Environment) -> FeastLookup:
    """The platform's own lookup in front of the stand-in."""
    import feast.errors  # noqa: F401  takes seconds, which the first request need not wait for

    lookup = FeastLookup(environment)
    lookup._store = Customers()
    return lookup


def ours(port: int, capture: bool, limits: dict[str, float]) -> None:
    from workloads.lifecycle.base.loops import Loops
    from workloads.lifecycle.base.store import Store
    from workloads.lifecycle.serving.capture import Capture
    from workloads.lifecycle.serving.model_server import PredictionModel
    from workloads.lifecycle.serving.source import Loaded
    from workloads.lifecycle.serving.transport import build_server

    settings = ServingSettings(capture_flush_seconds=2, **limits)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        twin = to_onnx(fitted())
        manifest = Manifest(
            model_sha256=sha256(twin),
            features=LOAN_DEFAULT.features,
            data_hash="-",
            ingestion_run="-",
            trained_at=datetime.now(UTC),
            run_id="-",
        )
        scorer = Scorer.load(root / "bundle", write(root / "bundle", twin, manifest), LOAN_DEFAULT)
        environment = Environment(
            workload=WORKLOAD,
            artifact_store_uri=f"file://{root}/store",
            settings=WorkloadSettings(serving=settings),
        )
        store = Store.open(environment)
        writer = Capture(store, LOAN_DEFAULT, settings, lambda _outcome, _rows: None) if capture else None
        if writer is not None:
            writer.start()
        model = PredictionModel(LOAN_DEFAULT, settings, customers(environment), writer)
        model.serve({"champion": Loaded("1", scorer)})
        build_server(port, "127.0.0.1", settings, model, Loops()).start([])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["stock", "ours", "ours-without-capture", "ours-without-checks"])
    parser.add_argument("port", type=int)
    parser.add_argument("--limits", type=json.loads, default={}, help="settings of `ours`, as JSON")
    arguments, _ = parser.parse_known_args()
    if arguments.kind == "stock":
        stock(arguments.port)
    else:
        if arguments.kind == "ours-without-checks":  # as in a pod
            from workloads.lifecycle.serving import transport

            transport.names_of = lambda _host: None
        ours(arguments.port, capture=arguments.kind != "ours-without-capture", limits=arguments.limits)
