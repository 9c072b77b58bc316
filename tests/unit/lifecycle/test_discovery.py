import importlib
import sys
from importlib import metadata

import pytest

from workloads.lifecycle.discovery import ENTRY_POINTS, find, load
from workloads.lifecycle.schema import DefinitionError
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
        ("import no_such_library\n", "cannot be imported: No module named 'no_such_library'; install it, or correct"),
        ("import pandas.api\n", "the definition 'pumps:PUMPS' imports pandas, which the Pulumi program lacks: move"),
        ("PUMPS = (\n", r"cannot be imported: '\(' was never closed \(.*pumps.py, line 1\); correct it"),
        ("PUMPS = ROWS\n", r"NameError: name 'ROWS' is not defined \(.*pumps.py, line 1\); correct it"),
        (COPY + "PUMPS = LOAN_DEFAULT.views[0].features[0].name.nothing\n", "AttributeError: 'str' object has no att"),
        ("OTHER = 1\n", "pumps has no 'PUMPS'"),
        ("PUMPS = 3\n", "'pumps:PUMPS' is a int, not a Workload"),
        (COPY + "PUMPS = type(LOAN_DEFAULT)(name='X')\n", "workload 'pumps:PUMPS': name: 'X' cannot name a workload"),
        (
            COPY + "PUMPS = type(LOAN_DEFAULT.entities[0])(name='x', key='x', description='x')\n",
            "Entity.column is missing",
        ),
    ],
)
def test_definition_that_cannot_be_used_is_refused_with_the_reason(module, text, message):
    module(text)
    with pytest.raises(DefinitionError, match=message):
        find("pumps:PUMPS")


def test_definition_that_imports_a_heavy_library_is_refused(module, tmp_path):
    (tmp_path / "xgboost.py").write_text("")
    module(COPY + "import xgboost\nPUMPS = LOAN_DEFAULT\n")
    with pytest.raises(
        DefinitionError,
        match="imports xgboost, which the Pulumi program lacks: move what needs it into a module of its own",
    ):
        find("pumps:PUMPS")
    sys.modules.pop("xgboost", None)


@pytest.mark.parametrize(
    ("dotted", "message"),
    [
        ("nowhere.derivation:derive", "derive='nowhere.derivation:derive' leads nowhere: there is no module 'nowhere."),
        ("pumps_code:other", "derive='pumps_code:other' leads nowhere: pumps_code has no 'other'; correct the"),
        ("pumps_broken:derive", r"derive='pumps_broken:derive' leads nowhere: invalid syntax \(.*, line 2\)"),
    ],
)
def test_reference_to_nothing_is_refused_without_importing_it(module, tmp_path, dotted, message):
    (tmp_path / "pumps_code.py").write_text("import no_such_library\ndef derive(): ...\n")
    (tmp_path / "pumps_broken.py").write_text("\ndef derive(: ...\n")
    module(COPY + f"PUMPS = LOAN_DEFAULT.model_copy(update={{'derive': {dotted!r}}})\n")
    with pytest.raises(DefinitionError, match=f"workload 'loan-default': {message}"):
        find("pumps:PUMPS")
    module(COPY + "PUMPS = LOAN_DEFAULT.model_copy(update={'derive': 'pumps_code:derive'})\n")
    sys.modules.pop("pumps", None)
    importlib.invalidate_caches()
    assert find("pumps:PUMPS").derive == "pumps_code:derive"


def test_name_that_two_packages_register_is_refused(monkeypatch):
    points = [metadata.EntryPoint("pumps", value, ENTRY_POINTS) for value in ("a:A", "b:B")]
    monkeypatch.setattr(metadata, "entry_points", lambda group: points if group == ENTRY_POINTS else [])
    with pytest.raises(DefinitionError, match=r"2 installed packages register a workload 'pumps' \(a:A, b:B\)"):
        find("pumps")


def test_reference_that_does_not_load_names_its_field():
    with pytest.raises(DefinitionError, match=r"derive='pumps\.nothing:derive' cannot be imported"):
        load("pumps.nothing:derive", "derive")
