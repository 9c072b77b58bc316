import sys
from importlib import metadata

import pytest

from workloads.lifecycle.discovery import ENTRY_POINTS, find, load
from workloads.lifecycle.workload import DefinitionError
from workloads.loan_default.definition import LOAN_DEFAULT

COPY = "from workloads.loan_default.definition import LOAN_DEFAULT\n"


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module of definitions that can be imported as `pumps` meanwhile."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(text: str) -> None:
        (tmp_path / "pumps.py").write_text(text)

    yield write
    sys.modules.pop("pumps", None)


@pytest.fixture
def registered(monkeypatch):
    """Lets an installed package register a workload."""

    def register(name: str, value: str) -> None:
        point = metadata.EntryPoint(name, value, ENTRY_POINTS)
        monkeypatch.setattr(metadata, "entry_points", lambda group: [point] if group == ENTRY_POINTS else [])

    return register


def test_definition_is_found_by_module_and_name():
    assert find("workloads.loan_default.definition:LOAN_DEFAULT") is LOAN_DEFAULT


def test_installed_workload_is_found_by_its_registered_name(registered):
    registered("loan-default", "workloads.loan_default.definition:LOAN_DEFAULT")
    assert find("loan-default") is LOAN_DEFAULT


def test_unknown_name_lists_the_installed_ones(registered):
    registered("loan-default", "workloads.loan_default.definition:LOAN_DEFAULT")
    with pytest.raises(DefinitionError, match=r"no workload is called 'pumps' \(installed: loan-default\)"):
        find("pumps")


def test_entry_point_with_another_name_is_refused(registered):
    registered("pumps", "workloads.loan_default.definition:LOAN_DEFAULT")
    with pytest.raises(DefinitionError, match="'pumps' leads to the workload 'loan-default'"):
        find("pumps")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import no_such_library\n", "cannot be imported: No module named 'no_such_library'"),
        ("OTHER = 1\n", "pumps has no 'PUMPS'"),
        ("PUMPS = 3\n", "'pumps:PUMPS' is a int, not a Workload"),
        (COPY + "PUMPS = type(LOAN_DEFAULT)(name='X')\n", "workload 'pumps:PUMPS': name: 'X' cannot name a workload"),
    ],
)
def test_definition_that_cannot_be_used_is_refused_with_the_reason(module, text, message):
    module(text)
    with pytest.raises(DefinitionError, match=message):
        find("pumps:PUMPS")


def test_definition_that_imports_a_heavy_library_is_refused(module, tmp_path):
    (tmp_path / "xgboost.py").write_text("")
    module(COPY + "import xgboost\nPUMPS = LOAN_DEFAULT\n")
    with pytest.raises(DefinitionError, match="imports xgboost: move what needs it into a module of its own"):
        find("pumps:PUMPS")
    sys.modules.pop("xgboost", None)


def test_reference_of_a_definition_names_its_field_when_it_does_not_load():
    with pytest.raises(DefinitionError, match=r"derive='pumps\.nothing:derive' cannot be imported"):
        load("pumps.nothing:derive", "derive")
