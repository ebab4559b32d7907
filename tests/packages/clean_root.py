"""Root folders of a bare Debian 12, made by mmdebstrap from the mirror that this machine's apt uses."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "packages"
SUITE = "bookworm"


def sources():
    """The files of apt's sources that have Debian 12."""
    files = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    return [path for path in files if path.suffix in (".list", ".sources") and path.is_file()
            and SUITE in path.read_text() and "debian" in path.read_text()]


def bare_root():
    """The archive of a bare root, made once."""
    if os.geteuid() != 0 or not shutil.which("mmdebstrap"):
        pytest.skip("making a root needs root and mmdebstrap (./setup package)")
    if not sources():
        pytest.skip(f"apt's sources have no {SUITE}")
    archive = CACHE / f"{SUITE}.tar"
    if not archive.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        part = CACHE / f"{SUITE}.part.tar"
        acquire = subprocess.run(["apt-config", "dump", "Acquire::http", "Acquire::https"], capture_output=True, text=True)
        options = [f"--aptopt={line.rstrip(';')}" for line in acquire.stdout.splitlines() if ' "";' not in line]
        done = subprocess.run(["mmdebstrap", "--quiet", "--variant=apt", *options, SUITE, part, *sources()],
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        part.rename(archive)
    return archive


class Root:
    """A root folder and what runs in it, in namespaces of its own for mounts and processes."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        subprocess.run(["tar", "-xf", bare_root(), "-C", folder, "--exclude=./dev/*"], check=True)
        shutil.copy("/etc/resolv.conf", folder / "etc/resolv.conf")

    def command(self, *words):
        inside = ('mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && '
                  'exec chroot "$0" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@"')
        return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private",
                "sh", "-c", inside, str(self.folder), *map(str, words)]

    def __call__(self, *words, status=0):
        done = subprocess.run(self.command(*words), capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=900)
        assert status is None or done.returncode == status, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def path(self, name):
        return self.folder / name.lstrip("/")

    def add(self, path, to="/tmp"):
        shutil.copy(path, self.path(to))
        return f"{to}/{Path(path).name}"
