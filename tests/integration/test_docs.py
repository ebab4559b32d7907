"""The pages say what is."""

import re
import subprocess
import sys

from conftest import ROOT

LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(#[^)]*)?\)")


def pages():
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*.md")])


def test_links_lead_somewhere():
    broken = [f"{page.name}: {target}" for page in pages()
              for target, _ in LINK.findall(page.read_text())
              if not target.startswith(("http:", "https:", "mailto:"))
              and not (page.parent / target).exists()]
    assert not broken, broken


def test_config_page_is_up_to_date(program):
    done = subprocess.run([sys.executable, ROOT / "tools" / "update-docs", "--check", "--program", program],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_diagram_is_drawn_from_its_source():
    done = subprocess.run([sys.executable, ROOT / "tools" / "draw-diagram", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_settings_of_the_first_pages_exist():
    """README and the troubleshooting page advise settings by hand; docs/CONFIG.md is the program's."""
    known = set(re.findall(r"^\| `([A-Z0-9_]+)` \| `--", (ROOT / "docs" / "CONFIG.md").read_text(), re.M))
    assert "FRAME_SKIP" in known
    for page in (ROOT / "README.md", ROOT / "docs" / "TROUBLESHOOTING.md"):
        named = set(re.findall(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)(?:=[^`]*)?`", page.read_text()))
        assert named and named <= known, f"{page.name}: {sorted(named - known)}"


def test_readme_stays_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_make_targets_of_the_readme_exist():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([\w-]+):", makefile, re.M))
    wanted = set(re.findall(r"`make ([\w-]+)`", (ROOT / "README.md").read_text()))
    assert wanted and wanted <= targets, wanted - targets


def test_architecture_page_names_every_room():
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    for room in (path.name for path in (ROOT / "src").iterdir() if path.is_dir()):
        assert f"{room}/" in text, f"src/{room} is not in docs/ARCHITECTURE.md"
