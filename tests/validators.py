"""What judges the program from outside: a real Envoy and rules of accessibility, see `requirements/validators.in`."""

from pathlib import Path

import pytest

from infra.base import paths

HOME = paths.environment_dir("validators")
HINT = "run `python3 -m tools.install validators`"


def envoy() -> Path:
    """The Envoy server; skips the test where it is not installed."""
    found = next(iter(HOME.glob("lib/python*/site-packages/envoy/_bin/envoy")), None)
    if found is None:
        pytest.skip(f"there is no Envoy: {HINT}")
    return found


def axe() -> str:
    """axe-core's script; skips the test where it is not installed."""
    found = next(iter(HOME.glob("lib/python*/site-packages/axe_playwright_python/axe.min.js")), None)
    if found is None:
        pytest.skip(f"there is no axe-core: {HINT}")
    return found.read_text(encoding="utf-8")
