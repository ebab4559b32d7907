"""The Debian packages, installed into a bare Debian 12 that has never seen the source: install, run, serve, upgrade, remove,
purge; in this order, as each test continues with the root of the one before."""

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import time
import urllib.request

import pytest

from clean_root import Root

PORT = 38470


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return Root(tmp_path_factory.mktemp("clean") / "root")


def test_lintian_has_no_complaint(packages):
    if not shutil.which("lintian"):
        pytest.skip("no lintian (./setup package)")
    done = subprocess.run(["lintian", "--fail-on", "error,warning", "--allow-root", *packages.values()], capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_installs_with_its_dependencies_only(root, packages):
    root("apt-get", "update")
    before = set(root("dpkg-query", "-W", "-f", "${Package}\n").stdout.split())
    root("apt-get", "install", "-y", "--no-install-recommends", root.add(packages["spoton"]))
    added = set(root("dpkg-query", "-W", "-f", "${Package}\n").stdout.split()) - before
    assert "spoton" in added and not {name for name in added if re.search("python3|systemd$|gcc-12$|-dev$", name)}, added
    assert root("dpkg", "--verify", "spoton").stdout == ""
    assert root("dpkg", "--audit").stdout == ""


def owner_and_mode(root, path):
    about = root.path(path).stat()
    users = dict(line.split(":")[2::-2] for line in root.path("/etc/passwd").read_text().splitlines())
    groups = dict(line.split(":")[2::-2] for line in root.path("/etc/group").read_text().splitlines())
    return users[str(about.st_uid)], groups[str(about.st_gid)], oct(stat.S_IMODE(about.st_mode))


def test_files_with_secrets_are_the_services(root):
    assert owner_and_mode(root, "/etc/spoton/spoton.yaml") == ("root", "spoton", "0o640")
    assert owner_and_mode(root, "/etc/spoton") == ("root", "spoton", "0o750")
    assert owner_and_mode(root, "/var/lib/spoton") == ("spoton", "spoton", "0o700")
    assert root.path("/etc/systemd/system/multi-user.target.wants/spoton.service").is_symlink()
    unit = root.path("/lib/systemd/system/spoton.service").read_text()
    assert "ExecStart=/usr/bin/spoton serve --config /etc/spoton/spoton.yaml" in unit


def as_service(root, *words):
    return root.command("setpriv", "--reuid=spoton", "--regid=spoton", "--clear-groups", "--no-new-privs", "env",
                        "--chdir=/var/lib/spoton", "XDG_CACHE_HOME=/var/cache", *words)


def test_runs_a_clip(root, demo_clip):
    root.add(demo_clip, "/var/lib/spoton")
    done = subprocess.run(as_service(root, "spoton", "run", "vtest.avi", "--limit", "40", "--out", "out"), capture_output=True,
                          text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads(root.path("/var/lib/spoton/out/summary.json").read_text())
    assert summary["engine"]["name"] == "openvino"
    rows = root.path("/var/lib/spoton/out/vtest.txt").read_text().splitlines()
    assert len(rows) > 100, len(rows)  # 40 frames with 5 people and more
    done = subprocess.run(as_service(root, "spoton", "doctor"), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and "no problems found" in done.stdout, done.stdout


def serve_once(root):
    """The unit's command, as its user, until its camera has been inferred; the command's log."""
    root.path("/etc/spoton/spoton.yaml").write_text(
        f"server: {{host: 127.0.0.1, port: {PORT}}}\ncameras:\n  - {{name: yard, url: /var/lib/spoton/vtest.avi}}\n")
    words = re.search(r"^ExecStart=(.*)$", root.path("/lib/systemd/system/spoton.service").read_text(), re.M)[1].split()
    server = subprocess.Popen(as_service(root, *words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              start_new_session=True)
    try:
        line = server.stdout.readline()
        assert "dashboard: " in line or server.poll() is None, line
        camera, limit = {}, time.monotonic() + 300
        while time.monotonic() < limit and not camera.get("ledger", {}).get("inferred"):
            time.sleep(0.5)
            try:
                camera = json.load(urllib.request.urlopen(f"http://127.0.0.1:{PORT}/api/v2/cameras/yard", timeout=30))
            except OSError:
                pass
        assert camera["ledger"]["inferred"] > 0
        assert b"<html" in urllib.request.urlopen(f"http://127.0.0.1:{PORT}/", timeout=30).read()
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def test_serves_as_its_user(root):
    serve_once(root)


def newer(package, folder):
    """The same package as a later version."""
    tree = folder / "tree"
    subprocess.run(["dpkg-deb", "-R", package, tree], check=True)
    control = tree / "DEBIAN" / "control"
    control.write_text(re.sub(r"^Version: .*$", "Version: 99.0", control.read_text(), flags=re.M))
    conffile = tree / "etc/spoton/spoton.yaml"
    conffile.write_text(conffile.read_text() + "# of the later version\n")
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "-b", tree, folder / "spoton_99.0_amd64.deb"], check=True,
                   capture_output=True)
    return folder / "spoton_99.0_amd64.deb"


def test_an_upgrade_keeps_settings_and_data(root, packages, tmp_path):
    settings = root.path("/etc/spoton/spoton.yaml").read_text()
    assert f"port: {PORT}" in settings
    root("chmod", "600", "/etc/spoton/spoton.yaml")
    root("chown", "spoton:spoton", "/etc/spoton/spoton.yaml")
    root("dpkg", "--force-confold", "-i", root.add(newer(packages["spoton"], tmp_path)))
    assert root("dpkg-query", "-W", "-f", "${Version} ${Status}", "spoton").stdout == "99.0 install ok installed"
    assert root.path("/etc/spoton/spoton.yaml").read_text() == settings
    assert owner_and_mode(root, "/etc/spoton/spoton.yaml") == ("spoton", "spoton", "0o600")
    assert root.path("/var/lib/spoton/out/summary.json").exists()
    serve_once(root)


def test_removal_keeps_them_too(root):
    root("apt-get", "remove", "-y", "spoton")
    assert not root.path("/usr/bin/spoton").exists() and not root.path("/usr/lib/spoton").exists()
    assert not root.path("/lib/systemd/system/spoton.service").exists()
    assert root.path("/etc/spoton/spoton.yaml").exists() and root.path("/var/lib/spoton/out").exists()


def test_purging_leaves_nothing(root):
    root("apt-get", "purge", "-y", "spoton")
    left = [path for path in ("/etc/spoton", "/var/lib/spoton", "/var/cache/spoton", "/usr/share/spoton",
                              "/etc/systemd/system/multi-user.target.wants/spoton.service",
                              "/var/lib/systemd/deb-systemd-helper-enabled/spoton.service.dsh-also")
            if root.path(path).is_symlink() or root.path(path).exists()]
    assert not left


def test_the_other_packages_install_and_build_a_plugin(root, packages):
    root("apt-get", "install", "-y", "--no-install-recommends", "gcc", "libc6-dev", "pkg-config",
         *[root.add(path) for path in packages.values()])
    assert re.search(r"^engine +onnxruntime +\d+\.\d+", root("spoton", "doctor", status=None).stdout, re.M)
    root("sh", "-c", "cc -std=c17 -Wall -Werror -shared -fPIC -O2 $(pkg-config --cflags spoton-engine) -o "
         "$(pkg-config --variable=enginedir spoton-engine)/spoton-engine-bright.so "
         "/usr/share/doc/spoton/examples/engine/bright.c")
    assert re.search(r"^engine +bright ", root("spoton", "doctor", status=None).stdout, re.M)
