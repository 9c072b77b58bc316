import re

import pytest

from infra.base import paths
from infra.base.kind_environments import ENVIRONMENTS
from tools import install, stack_files
from tools.console import ToolError
from tools.install import Part


@pytest.fixture
def parts(monkeypatch, checkout):
    """Parts that remember in which order they were got; `there` says which are installed."""
    there, got = set(), []
    for stack in ("local", "prod"):
        (checkout / f"Pulumi.{stack}.yaml").write_text("config: {}\n")
    for function in (stack_files.stacks, stack_files.source):
        monkeypatch.setattr(function, "__defaults__", (checkout,))

    def part(name):
        def get():
            got.append(name)
            there.add(name)

        return Part(lambda: name in there, get)

    named = {name: part(name) for name in ("system", "infra", "cloud", "workloads", "pulumi", "tools", "airflow")}
    monkeypatch.setattr(install, "parts", lambda: named)
    return there, got


def test_local_stack_gets_all_that_runs_here_in_the_order_of_need(parts):
    install.main([])
    assert parts[1] == ["system", "infra", "workloads", "pulumi", "tools"]


def test_other_stack_gets_the_engine_the_cloud_sdks_and_opa(parts):
    install.main(["--stack", "prod"])
    assert parts[1] == ["infra", "cloud", "pulumi", "tools"]


def test_environment_of_a_kind_is_installed_where_a_stack_names_it(parts, checkout):
    (checkout / "Pulumi.local.yaml").write_text("config:\n  mlplatform:pipelines: {kind: airflow-on-host}\n")
    install.main([])
    assert parts[1] == ["system", "infra", "workloads", "pulumi", "tools", "airflow"]


def test_every_environment_of_a_kind_is_a_part_with_a_lock(monkeypatch):
    monkeypatch.undo()
    for name in ENVIRONMENTS.values():
        assert name in install.parts()
        assert "--hash=sha256:" in (paths.CHECKOUT / "requirements" / f"{name}.txt").read_text()


def test_a_stack_that_there_is_not_is_refused_before_anything_is_got(parts):
    with pytest.raises(ToolError, match="no stack 'lcal'"):
        install.main(["--stack", "lcal"])
    assert parts[1] == []


def test_a_second_run_does_nothing_and_says_nothing(parts, capsys):
    install.main([])
    capsys.readouterr()
    install.main([])
    assert capsys.readouterr().err == ""
    assert len(parts[1]) == 5


def test_only_the_named_parts_are_got(parts):
    install.main(["pulumi", "infra"])
    assert parts[1] == ["infra", "pulumi"]


def test_what_another_installer_got_meanwhile_is_not_got_again(parts, monkeypatch):
    there, got = parts

    class Waited:
        def __enter__(self):
            there.update({"system", "infra", "workloads"})

        def __exit__(self, *_):
            return None

    monkeypatch.setattr(install.stamps, "only_one", lambda *_: Waited())
    install.main([])
    assert got == ["pulumi", "tools"]


def test_checkouts_wait_only_where_they_install_the_same(monkeypatch):
    locks = {name: install._lock(name) for name in install.parts()}
    monkeypatch.setattr(paths, "checkout_key", lambda: "another")
    shared = {name for name, lock in locks.items() if install._lock(name) == lock}
    assert shared >= {"system", "pulumi", "tools"}
    assert not shared & set(install.OF_A_CHECKOUT)
    assert locks["cloud"] == locks["infra"]


def test_an_unknown_part_is_refused_with_the_known_ones(parts, capsys):
    with pytest.raises(SystemExit):
        install.main(["everything"])
    assert "workloads" in capsys.readouterr().err
    assert parts[1] == []


def test_the_first_part_that_cannot_be_had_ends_the_installation(parts, monkeypatch):
    def fail():
        raise ToolError("no Go; get it")

    broken = install.parts() | {"infra": Part(lambda: False, fail)}
    monkeypatch.setattr(install, "parts", lambda: broken)
    with pytest.raises(ToolError, match="no Go"):
        install.main([])
    assert parts[1] == ["system"]


def test_every_part_has_a_quick_answer_to_whether_it_is_there(commands, monkeypatch):
    monkeypatch.undo()
    assert {type(part.is_there()) for part in install.parts().values()} == {bool}
    assert commands.called() == []


@pytest.mark.parametrize("module", [module for modules in install.GO_PARTS.values() for module in modules])
def test_go_mod_of_every_part_builds_the_expected_number_of_tools(module, monkeypatch):
    monkeypatch.undo()
    text = (paths.CHECKOUT / "tools" / module.name / "go.mod").read_text()
    lines = re.search(r"^tool (?:\(\n(.*?)^\)|(\S+))", text, re.MULTILINE | re.DOTALL)
    assert len((lines[1] or lines[2]).split()) == len(module.tools)


def test_the_control_plane_says_the_version_that_its_sources_have(monkeypatch):
    monkeypatch.undo()
    text = (paths.CHECKOUT / "tools" / "kubernetes" / "go.mod").read_text()
    assert f"k8s.io/kubernetes v{install.KUBERNETES}" in text
    (module,) = (module for module in install.GO_PARTS["kubernetes"] if module.name == "kubernetes")
    assert f"gitVersion=v{install.KUBERNETES} " in module.linker_flags
    assert module.linker_flags.endswith("gitMinor=36")


@pytest.mark.parametrize("part", ["infra", "cloud"])
def test_each_part_that_makes_the_programs_environment_links_venv(part, monkeypatch):
    done = []
    monkeypatch.setattr(install.environments, "make", lambda name, lock: done.append((name, lock.stem)))
    monkeypatch.setattr(install.environments, "link", lambda: done.append("linked"))
    monkeypatch.setattr(install.environments, "is_made", lambda *_: True)
    monkeypatch.setattr(install, "_is_linked", lambda _: False)
    assert not install.parts()[part].is_there()
    install.parts()[part].get()
    assert done[-1] == "linked"
