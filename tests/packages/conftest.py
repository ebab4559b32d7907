"""Tests of the packages in a clean root: minutes, as root, with a mirror. Not part of `make test`; `make test-packages`
runs them."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def demo_clip():
    done = subprocess.run([ROOT / "tools" / "fetch-demo-clip"], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip("no demo clip: " + done.stderr.strip())
    return ROOT / done.stdout.strip()


@pytest.fixture(scope="session")
def packages():
    """{package name: file} of `make deb`."""
    found = {path.name.split("_")[0]: path for path in (ROOT / "out" / "deb").glob("*.deb")}
    assert "spoton" in found, "no out/deb/spoton_*.deb; run make deb"
    return found
