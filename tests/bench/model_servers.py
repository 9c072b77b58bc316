"""Two model servers over one trained model, for `serving.py` beside this file: KServe as it comes, and ours."""

import argparse
import tempfile
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

import numpy as np
from sklearn.ensemble import GradientBoostingClassifier

from workloads.loan_default import FEATURES, SERVED_NAME
from workloads.loan_default.bundle import Manifest, Scorer, sha256, write
from workloads.loan_default.estimators import to_onnx
from workloads.loan_default.payload import RequestError
from workloads.loan_default.settings import Environment, ServingSettings


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
            super().__init__(SERVED_NAME)
            self.model = model
            self.ready = True

        def predict(self, payload, headers=None, response_headers=None):
            del headers, response_headers
            return {"predictions": self.model.predict_proba(np.asarray(payload["instances"]))[:, 1].tolist()}

    ModelServer(http_port=port, enable_grpc=False).start([Sklearn(fitted())])


class NoCustomers:
    """An online store that knows nobody."""

    async def fetch(self, customers: tuple[int, ...]) -> np.ndarray:
        raise RequestError(HTTPStatus.NOT_FOUND, "unknown_customer", f"no customer {customers[0]}")


def ours(port: int, capture: bool) -> None:
    from workloads.loan_default.capture import Capture
    from workloads.loan_default.loops import Loops
    from workloads.loan_default.serving import LoanDefaultModel
    from workloads.loan_default.source import Loaded
    from workloads.loan_default.store import Store
    from workloads.loan_default.transport import build_server

    settings = ServingSettings(capture_flush_seconds=2)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        twin = to_onnx(fitted())
        manifest = Manifest(
            model_sha256=sha256(twin),
            features=FEATURES,
            data_hash="-",
            ingestion_run="-",
            trained_at=datetime.now(UTC),
            run_id="-",
        )
        scorer = Scorer.load(root / "bundle", write(root / "bundle", twin, manifest))
        store = Store.open(Environment(artifact_store_uri=f"file://{root}/store"))
        writer = Capture(store, settings, lambda _outcome, _rows: None) if capture else None
        if writer is not None:
            writer.start()
        model = LoanDefaultModel(settings, NoCustomers(), writer)
        model.serve({"champion": Loaded("1", scorer)})
        build_server(port, "127.0.0.1", settings, model, Loops()).start([])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["stock", "ours", "ours-without-capture"])
    parser.add_argument("port", type=int)
    arguments, _ = parser.parse_known_args()
    if arguments.kind == "stock":
        stock(arguments.port)
    else:
        ours(arguments.port, capture=arguments.kind == "ours")
