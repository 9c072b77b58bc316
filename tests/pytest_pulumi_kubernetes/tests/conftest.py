from pathlib import Path

import pytest

from pytest_pulumi_kubernetes import KubeTools

CHECKOUT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def kube_tools():
    """What this project's installer builds, where the tests run in its checkout; else what is on PATH."""
    from tools import install  # noqa: PLC0415  (the plugin itself knows nothing of it)

    built = [module for part in ("kubernetes", "gatekeeper", "kserve", "helm") for module in install.GO_PARTS[part]]
    return KubeTools(
        folders=tuple(module.folder / "bin" for module in built),
        modules=tuple(CHECKOUT / "tools" / module.name for module in built),
        hint="run `python3 -m tools.install kubernetes gatekeeper kserve helm`",
    )
