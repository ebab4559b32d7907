"""The systemd unit in contrib/, checked by systemd-analyze."""

import re
import shutil
import subprocess

import pytest

from conftest import ROOT

TEMPLATE = ROOT / "contrib" / "spoton.service.in"


@pytest.fixture
def unit(tmp_path):
    """The unit as installed below /usr."""
    path = tmp_path / "spoton.service"
    path.write_text(TEMPLATE.read_text().replace("@bindir@", "/usr/bin").replace("@docdir@", "/usr/share/doc/spoton"))
    return path


@pytest.fixture
def analyze():
    program = shutil.which("systemd-analyze")
    if not program or b"--offline" not in subprocess.run([program, "--help"], capture_output=True).stdout:
        pytest.skip("there is no systemd-analyze that reads files")
    return lambda *words: subprocess.run([program, *map(str, words)], capture_output=True, text=True)


def test_the_unit_is_confined(analyze, unit):
    done = analyze("security", "--offline=true", "--no-pager", unit)
    exposure = re.search(r"Overall exposure level for spoton.service: (\d+\.\d)", done.stdout)
    assert exposure and float(exposure[1]) <= 3.0, done.stdout + done.stderr


def test_the_unit_is_understood(analyze, unit, tmp_path):
    # The program is not installed, and its user does not exist.
    text = re.sub(r"(?m)^ExecStart=.*$", "ExecStart=/bin/true", unit.read_text())
    copy = tmp_path / "copy" / "spoton.service"
    copy.parent.mkdir()
    copy.write_text(text)
    done = analyze("verify", "--man=no", copy)
    assert done.returncode == 0 and "spoton.service" not in done.stderr, done.stderr
    copy.write_text(text.replace("StateDirectory=", "StateDirectry="))
    assert "spoton.service" in analyze("verify", "--man=no", copy).stderr


def test_secrets_are_the_services_alone():
    """A permanent user, so that it can own files of mode 600, and a directory for its files."""
    lines = TEMPLATE.read_text().splitlines()
    assert "User=spoton" in lines and "DynamicUser=yes" not in lines
    assert "UMask=0077" in lines and "StateDirectory=spoton" in lines and "StateDirectoryMode=0700" in lines
    assert re.search(r"(?m)^u spoton ", (ROOT / "contrib" / "spoton.sysusers").read_text())
