"""`examples/quickstart.ipynb` as it is kept; `tests/e2e/test_example_notebook.py` executes it."""

import ast
import json
import sys

from infra.base.paths import CHECKOUT

NOTEBOOK = CHECKOUT / "examples" / "quickstart.ipynb"
CELLS = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]


def test_notebook_keeps_no_output_that_could_become_untrue():
    assert CELLS
    kept = [cell["source"] for cell in CELLS if cell["outputs"] or cell["execution_count"] is not None]
    assert kept == [], "clear the outputs: `jupyter nbconvert --clear-output --inplace examples/quickstart.ipynb`"


def test_notebook_imports_only_the_standard_library():
    nodes = [node for cell in CELLS for node in ast.walk(ast.parse("".join(cell["source"])))]
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} - sys.stdlib_module_names == set()
