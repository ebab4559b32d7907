"""The image of the Dockerfile, built by buildah from a bare Debian 12 and the packages of `make deb`: no registry is needed.
Run as compose.yaml does: with a root that is read-only, another user than root, and two volumes."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from clean_root import bare_root
from conftest import ROOT

# Folders of compose.yaml that outlive the container: {"STORE": "/data/history", ...}
KEPT = dict(re.findall(r"^    (\w+): \$\{\1:?-(/data/\w+)\}$", (ROOT / "compose.yaml").read_text(), re.M))
TOKEN, PORT = "t" * 32, 38471
BASE, IMAGE = "localhost/spoton-test-base", "localhost/spoton-test"


class Buildah:
    def __init__(self, folder):
        self.command = ["buildah", "--storage-driver", "vfs", "--root", folder / "root", "--runroot", folder / "run"]

    def __call__(self, *words, status=0):
        done = subprocess.run([str(word) for word in [*self.command, *words]], capture_output=True, text=True, timeout=1800,
                              env={**os.environ, "BUILDAH_ISOLATION": "chroot"})
        assert status is None or done.returncode == status, f"{words}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done.stdout.strip()


@pytest.fixture(scope="module")
def image(packages, tmp_path_factory):
    """The root folder of the image and its configuration."""
    if not shutil.which("buildah"):
        pytest.skip("no buildah")
    buildah = Buildah(tmp_path_factory.mktemp("containers"))
    container = buildah("from", "scratch")
    buildah("add", "-q", container, bare_root(), "/")
    buildah("commit", "-q", container, BASE)
    buildah("bud", "-q", "--build-arg", f"BASE={BASE}", "--build-context", f"packages={ROOT / 'out/deb'}", "--target", "spoton",
            "--format", "docker", "-t", IMAGE, ROOT)
    container = buildah("from", IMAGE)
    yield Path(buildah("mount", container)), json.loads(buildah("inspect", "--type", "image", IMAGE))["OCIv1"]["config"]
    buildah("umount", container)
    buildah("rm", "-a")


def test_image_is_small_and_not_root(image):
    root, config = image
    assert config["User"] == "spoton" and set(config["Volumes"]) == {"/config", "/data"}
    assert config["Entrypoint"] == ["spoton"] and config["Cmd"] == ["serve"]
    assert re.search(r"^spoton:x:999:999:", (root / "etc/passwd").read_text(), re.M)
    compressed = subprocess.run(f"tar -c -C '{root}' . | gzip -6 | wc -c", shell=True, capture_output=True, text=True, check=True)
    print(f"compressed {int(compressed.stdout) / 1e6:.0f} MB")
    assert int(compressed.stdout) < 250e6
    assert not [path for path in (root / "usr/bin").iterdir() if path.name in ("gcc", "python3", "curl", "pip")]


def test_contents_are_listed(image):
    root, _ = image
    document = json.loads((root / "usr/share/spoton/contents/sbom.spdx.json").read_text())
    named = {item["name"]: item for item in document["packages"]}
    assert document["spdxVersion"] == "SPDX-2.3" and {"spoton", "openvino", "libavcodec59", "libc6"} <= set(named)
    installed = subprocess.run(["dpkg-query", f"--admindir={root}/var/lib/dpkg", "-W", "-f", "${Package}\n"], capture_output=True,
                               text=True, check=True).stdout.split()
    assert set(named) - {"openvino"} == set(installed)
    assert "libmosquitto1" in installed and not [name for name in installed if name.startswith(("libavdevice", "libgl1", "libllvm"))]
    assert named["openvino"]["licenseDeclared"] == named["spoton"]["licenseDeclared"].split(" AND ")[0] == "Apache-2.0"
    ids = {item["SPDXID"] for item in document["packages"]} | {"SPDXRef-DOCUMENT"}
    assert len(ids) == len(document["packages"]) + 1
    assert all(row["relatedSpdxElement"] in ids and row["spdxElementId"] in ids for row in document["relationships"])
    lines = (root / "usr/share/spoton/contents/licences.txt").read_text().splitlines()
    assert len(lines) == len(document["packages"])


def contained(root, config, folder, *words, environment=()):
    """A command of the image as its user: its root read-only, /tmp empty, and the folders of the volumes."""
    for name in ("config", "data"):
        os.chown(folder / name, 999, 999)
    script = ('mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && mount -t proc proc "$0/proc" && '
              'mount --rbind /dev "$0/dev" && mount -t tmpfs tmp "$0/tmp" && mount --bind "$1/config" "$0/config" && '
              'mount --bind "$1/data" "$0/data" && shift && exec chroot --userspec=999:999 "$0" env -i "$@"')
    settings = [*config["Env"], *environment]
    return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private", "sh", "-c", script, str(root),
            str(folder), f"--chdir={config['WorkingDir']}", *settings, *words]


def stored(folder, path):
    """Whether a folder of the container's volume has a file with content."""
    return any(file.is_file() and file.stat().st_size for file in (folder / path.lstrip("/")).rglob("*"))


def test_live_boxes_within_a_minute(image, demo_clip, tmp_path):
    root, config = image
    for name in ("config", "data"):
        (tmp_path / name).mkdir()
    shutil.copy(demo_clip, tmp_path / "data")
    (tmp_path / "config/.env").write_text("CAMERA_yard=/data/vtest.avi\n")
    refused = subprocess.run(contained(root, config, tmp_path, "spoton", "serve"), capture_output=True, text=True, timeout=60)
    assert refused.returncode == 1 and "API_TOKEN" in refused.stderr, refused.stderr

    # A broker that is away: what it has not received stays in the outbox.
    assert set(KEPT) == {"OUTBOX_DIR", "STORE"}
    environment = [f"API_TOKEN={TOKEN}", f"HTTP_PORT={PORT}", "OUTPUTS=mqtt?url=mqtt://127.0.0.1:1",
                   *[f"{name}={path}" for name, path in KEPT.items()]]
    began = time.monotonic()
    with open(tmp_path / "log", "w") as log:
        server = subprocess.Popen(contained(root, config, tmp_path, "spoton", "serve", environment=environment), stdout=log,
                                  stderr=log, start_new_session=True)
    try:
        tracks, limit = [], time.monotonic() + 300
        while not tracks and time.monotonic() < limit and server.poll() is None:
            time.sleep(0.2)
            try:
                request = urllib.request.Request(f"http://127.0.0.1:{PORT}/api/v2/cameras/yard/tracks",
                                                 headers={"Authorization": f"Bearer {TOKEN}"})
                tracks = json.load(urllib.request.urlopen(request, timeout=30))["tracks"]
            except (urllib.error.URLError, ConnectionError):
                pass
        print(f"live boxes after {time.monotonic() - began:.1f} s")
        assert tracks, (tmp_path / "log").read_text()
        health = subprocess.run(contained(root, config, tmp_path, "healthcheck", environment=environment), capture_output=True,
                                text=True, timeout=60)
        assert health.returncode == 0, health.stdout + health.stderr
        while not all(stored(tmp_path, path) for path in KEPT.values()) and time.monotonic() < limit:
            time.sleep(0.2)
        assert all(stored(tmp_path, path) for path in KEPT.values()), (tmp_path / "log").read_text()
    finally:
        os.killpg(server.pid, signal.SIGKILL)  # unshare, and the server, which has changed its user and so outlives it
        server.wait()
    assert list((tmp_path / "data/cache").rglob("*")), "the compiled model is not cached in the volume"
    verified = subprocess.run(contained(root, config, tmp_path, "spoton", "store", "verify", KEPT["STORE"]), capture_output=True,
                              text=True, timeout=60)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    gone, limit = 0, time.monotonic() + 300
    while gone == 0 and time.monotonic() < limit:
        gone = subprocess.run(contained(root, config, tmp_path, "healthcheck", environment=environment), capture_output=True,
                              timeout=60).returncode
    assert gone != 0
