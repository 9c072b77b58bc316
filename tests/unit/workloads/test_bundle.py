import pickle

import numpy as np
import pytest

from workloads.lifecycle.training import estimators
from workloads.lifecycle.training.bundle import MANIFEST_FILE, MODEL_FILE, BundleError, Scorer, loss_in
from workloads.loan_default.definition import LOAN_DEFAULT


@pytest.fixture
def bundle(tmp_path, fitted, write_bundle):
    folder = tmp_path / "bundle"
    return folder, write_bundle(folder, fitted[2])


def test_a_verified_bundle_scores_like_the_model(bundle, fitted):
    row = fitted[0].example
    wanted = estimators.predict(fitted[0].estimator, row)[0]
    assert Scorer.load(*bundle, LOAN_DEFAULT).score(row.astype(np.float32))[0] == pytest.approx(wanted, abs=1e-6)


def test_an_altered_model_is_refused(bundle):
    folder, checksum = bundle
    content = bytearray((folder / MODEL_FILE).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / MODEL_FILE).write_bytes(content)
    with pytest.raises(BundleError, match=r"model.onnx does not have the checksum of its manifest: refused"):
        Scorer.load(folder, checksum, LOAN_DEFAULT)


def test_a_short_model_is_refused(bundle):
    folder, checksum = bundle
    (folder / MODEL_FILE).write_bytes((folder / MODEL_FILE).read_bytes()[:-1])
    with pytest.raises(BundleError, match="refused"):
        Scorer.load(folder, checksum, LOAN_DEFAULT)


def test_an_altered_manifest_is_refused_even_when_it_fits_its_model(bundle):
    folder, checksum = bundle
    (folder / MANIFEST_FILE).write_text((folder / MANIFEST_FILE).read_text().replace("mlflow-run", "other-run"))
    with pytest.raises(BundleError, match=r"manifest.json does not have the registered checksum"):
        Scorer.load(folder, checksum, LOAN_DEFAULT)


@pytest.mark.parametrize("name", [MODEL_FILE, MANIFEST_FILE])
def test_a_missing_file_is_named(bundle, name):
    folder, checksum = bundle
    (folder / name).unlink()
    with pytest.raises(BundleError, match=f"the bundle has no {name}"):
        Scorer.load(folder, checksum, LOAN_DEFAULT)


def test_a_model_for_other_features_is_refused(tmp_path, fitted, write_bundle):
    checksum = write_bundle(tmp_path, fitted[2], features=("Age", "Income"))
    with pytest.raises(BundleError, match=r"the model expects Age, Income; this server has Age, Income, CreditScore"):
        Scorer.load(tmp_path, checksum, LOAN_DEFAULT)


def test_a_pickle_in_place_of_a_model_is_never_run(bundle, tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    folder, checksum = bundle
    (folder / MODEL_FILE).write_bytes(pickle.dumps(Trap()))
    with pytest.raises(BundleError):
        Scorer.load(folder, checksum, LOAN_DEFAULT)
    assert not (tmp_path / "ran").exists()


DAMAGED = (
    '{"error_code":"INTERNAL_ERROR","message":"##### File 1/a/artifacts/serving/model.onnx #####\\n'
    'Expected checksum lMxhjA== did not match calculated checksum: t8aEHQ=="}'
)
MISSING = (
    '{"error_code":"INTERNAL_ERROR","message":"##### File 1/a/artifacts/serving/model.onnx #####\\n'
    'An error occurred (404) when calling the HeadObject operation: Not Found"}'
)


@pytest.mark.parametrize(
    ("answer", "loss"),
    [
        (DAMAGED, "is damaged: its checksum is not the one that the store recorded"),
        (MISSING, "is not in the artifact store"),
        ('{"error_code":"INTERNAL_ERROR","message":"Could not connect to the endpoint URL"}', None),
        ("", None),
    ],
)
def test_words_of_the_store_tell_a_loss_from_an_outage(answer, loss):
    assert loss_in(answer) == loss
