"""`examples/quickstart.ipynb` on a running stack, by a Jupyter kernel of the environment `docs`."""

import json
import re
import subprocess

import pytest

from infra.base import paths

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]

NOTEBOOK = paths.CHECKOUT / "examples" / "quickstart.ipynb"
PYTHON = paths.environment_dir("docs") / "bin" / "python"
EXECUTE = """
import sys
import nbformat
from nbclient import NotebookClient

read, written = sys.argv[1:]
notebook = nbformat.read(read, as_version=4)
nbformat.validate(notebook)
NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
nbformat.write(notebook, written)
"""


@pytest.fixture(scope="module")
def printed(stack, first_up, tmp_path_factory):
    """Source of each cell of code -> what the cell displayed."""
    assert first_up
    if not PYTHON.exists():
        pytest.skip("there is no Jupyter kernel: run `python3 -m tools.install docs`")
    folder = tmp_path_factory.mktemp("notebook")
    places = {name: str(folder / name) for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")}
    command = [PYTHON, "-c", EXECUTE, NOTEBOOK, folder / "executed.ipynb"]
    environ = stack.environ | places
    done = subprocess.run(command, cwd=stack.checkout, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    cells = json.loads((folder / "executed.ipynb").read_text())["cells"]
    shown = {"".join(cell["source"]): "".join(map(_text, cell["outputs"])) for cell in cells if "outputs" in cell}
    assert [source for source, text in shown.items() if not text] == [next(iter(shown))], "a cell displays nothing"
    return shown


def cell(printed, words):
    """What the one cell displayed whose source has these words."""
    (found,) = [text for source, text in printed.items() if words in source]
    return found


def _text(output):
    return "".join(output.get("text", output.get("data", {}).get("text/plain", "")))


@pytest.mark.parametrize("request_of", ['"prediction_url"], {"instances": [vector]}', '"CustomerID"'])
def test_notebook_shows_a_prediction(printed, request_of):
    assert "'predictions': [0." in cell(printed, request_of)


def test_notebook_explains_the_prediction_by_its_features(printed):
    total, _, told = cell(printed, "total = ").partition(", log-odds: ")
    assert total.rpartition(" ")[2] == told.splitlines()[0]
    assert "CreditScore" in told


def test_notebook_shows_run_drift_and_state_of_alerts(printed):
    assert "'test_auc': 0." in cell(printed, "registered-models/alias")
    assert re.search(r"^\[[0-9.]+\]$|not measured yet", cell(printed, "data_drift_score"))
    assert re.search("'DataDriftDetected': '(inactive|pending|firing)'", cell(printed, "/api/v1/rules"))


def test_notebook_shows_no_password(printed, stack):
    passwords = [stack.login(server).partition(":")[2] for server in ("mlflow", "prometheus")]
    assert [password for password in passwords if password in "".join(printed.values())] == []
