import pytest

from stacks.commands import rotate


@pytest.mark.parametrize(
    ("config", "workload", "written"),
    [
        ("{}", "", "mlplatform:loan_default.signing_generation 2"),
        ("{mlplatform:loan_default: {signing_generation: 4}}", "", "mlplatform:loan_default.signing_generation 5"),
        ("{mlplatform:default_workload: turbofan}", "", "mlplatform:turbofan.signing_generation 2"),
        ("{mlplatform:default_workload: turbofan}", "loan-default", "mlplatform:loan_default.signing_generation 2"),
    ],
)
def test_rotation_counts_up_the_key_of_one_workload(tmp_path, monkeypatch, config, workload, written):
    file, asked = tmp_path / "Pulumi.local.yaml", []
    file.write_text(f"config: {config}\n")
    monkeypatch.setattr(rotate.subprocess, "run", lambda command, check: asked.append((command, check)))
    rotate.rotate(file, "local", workload)
    ((command, check),) = asked
    assert " ".join(command).endswith(written)
    assert (command[:3], str(file) in command, check) == (["pulumi", "config", "set"], True, True)
