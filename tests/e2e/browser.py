"""A real browser without a screen: Debian's Chromium, which talks to nobody but the page's server."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

FLAGS = (
    "--headless",
    "--no-sandbox",  # CI runs as root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=1200,1500",
    "--virtual-time-budget=5000",
)
SECONDS = 120


def chromium():
    """The browser; skips the test where there is none."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("no Chromium: python3 -m tools.install test-system")
    return found


def document(url, *flags):
    """The page's HTML once its script has run."""
    return _run(*flags, "--dump-dom", url)


def screenshot(url, file: Path, *flags):
    """Write a PNG of the page; flags such as `--window-size=1200,640` replace those above."""
    _run(*flags, f"--screenshot={file}", url)


def _run(*arguments):
    with tempfile.TemporaryDirectory() as profile:
        command = [chromium(), *FLAGS, f"--user-data-dir={profile}", *arguments]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, timeout=SECONDS
        )
    return done.stdout
