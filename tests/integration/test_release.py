"""`make release`: a reproducible source tarball."""

import os
import re
import shutil
import subprocess
import tarfile
import time

import pytest

from conftest import ROOT

VERSION = re.search(r"^  version: '([\d.]+)'", (ROOT / "meson.build").read_text(), re.M)[1]
IDENTITY = {"GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@localhost", "GIT_COMMITTER_NAME": "t",
            "GIT_COMMITTER_EMAIL": "t@localhost", "GIT_CONFIG_GLOBAL": "/dev/null"}


def git(clone, *words):
    return subprocess.run(["git", "-C", clone, *words], env={**os.environ, **IDENTITY}, check=True,
                          capture_output=True, text=True).stdout


@pytest.fixture
def clone(tmp_path):
    """The last commit, with this tree's release script."""
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("no git, or no repository: a tarball makes no tarball")
    git(ROOT, "clone", "-q", "--shared", ROOT, tmp_path / "clone")
    for name in ("tools/release", "CHANGELOG.md", "meson.build", ".gitattributes"):
        shutil.copy(ROOT / name, tmp_path / "clone" / name)
    git(tmp_path / "clone", "add", "-A")
    git(tmp_path / "clone", "commit", "-q", "--allow-empty", "-m", "release")
    return tmp_path / "clone"


def release(clone, folder, zone="UTC"):
    return subprocess.run([clone / "tools" / "release", folder], env={**os.environ, "TZ": zone}, capture_output=True,
                          text=True)


def test_same_commit_gives_same_bytes(clone, tmp_path):
    first = release(clone, tmp_path / "a")
    assert first.returncode == 0, first.stderr
    time.sleep(1.1)  # a time in the file would differ
    for path in clone.rglob("*.md"):
        path.touch()
    other = tmp_path / "other"
    git(ROOT, "clone", "-q", "--shared", clone, other)
    assert release(other, tmp_path / "b", "Asia/Tokyo").returncode == 0
    name = f"spoton-{VERSION}.tar.gz"
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["SHA256SUMS", name]
    subprocess.run(["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=tmp_path / "a", check=True)

    with tarfile.open(tmp_path / "a" / name) as tar:
        members = {path.removeprefix(f"spoton-{VERSION}/") for path in tar.getnames()}
    tracked = set(git(clone, "ls-files").splitlines())
    assert tracked - members == {"models/person.pt"} and "src/main.c" in members


def test_refuses_what_is_no_release(clone, tmp_path):
    (clone / "README.md").write_text("changed")
    done = release(clone, tmp_path / "a")
    assert done.returncode == 1 and "uncommitted changes" in done.stderr
    git(clone, "checkout", "-q", "README.md")
    text = (clone / "CHANGELOG.md").read_text()
    (clone / "CHANGELOG.md").write_text(text.replace(f"## {VERSION}", "## 9.9.9"))
    git(clone, "commit", "-q", "-a", "-m", "no section")
    done = release(clone, tmp_path / "a")
    assert done.returncode == 1 and f"no section '## {VERSION}'" in done.stderr
    assert not (tmp_path / "a").exists()


def test_version_is_that_of_the_build(spoton):
    assert spoton("--version", expect=0).stdout == f"spoton {VERSION}\n"
    assert re.search(rf"^## {re.escape(VERSION)} - \d{{4}}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.M)
