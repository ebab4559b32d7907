"""What `make install` installs: it runs where the source tree is gone, and names nothing of it."""

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess

import pytest

from clips import rectangles
from conftest import ROOT, SLOWER, Spoton
from serving import Serving

PREFIX = "/usr/local"
LIBRARIES_MAX_BYTES = 130e6  # of lib/spoton: see docs/INSTALL.md


@pytest.fixture(scope="session")
def installed(program, tmp_path_factory):
    """The prefix below a DESTDIR; several workers share it."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    stage = base / "install" / "stage"
    stage.parent.mkdir(exist_ok=True)
    with open(stage.parent / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (stage.parent / "done").exists():
            done = subprocess.run([ROOT / "tools" / "install", program.parent, PREFIX, stage], capture_output=True,
                                  text=True, timeout=300 * SLOWER)
            assert done.returncode == 0, done.stdout + done.stderr
            (stage.parent / "done").touch()
    return stage / PREFIX[1:]


def without_source(installed, folder):
    """A script that runs the installed program where the source tree and .venv are empty folders."""
    hidden = sorted({ROOT, (ROOT / ".venv").resolve()})
    assert not any(path in folder.parents for path in hidden)
    script = folder / "spoton-without-source"
    for flags in ("-m", "-rm"):
        unshare = ["unshare", flags, "--propagation", "private"]
        mounts = " && ".join(f"mount -t tmpfs none '{path}'" for path in hidden)
        if subprocess.run([*unshare, "sh", "-c", mounts], capture_output=True).returncode == 0:
            script.write_text(f"#!/bin/sh\nexec {' '.join(unshare)} sh -c \"{mounts}"
                              f" && cd / && exec {installed}/bin/spoton \\\"\\$@\\\"\" sh \"$@\"\n")
            script.chmod(0o755)
            return script
    pytest.skip("no mount namespace may be made here, so the source tree cannot be hidden")
    return None


@pytest.fixture
def alone(installed, tmp_path):
    """(program, environment) of the installed tree with the source gone; the fake engine beside."""
    engines = tmp_path / "engines"
    engines.mkdir()
    shutil.copy(ROOT / "build" / "engines" / "spoton-engine-fake.so", engines)
    return without_source(installed, tmp_path), {"XDG_CACHE_HOME": tmp_path / "cache", "SPOTON_ENGINE_DIR": engines}


def test_source_tree_is_hidden(installed, tmp_path):
    """The test of the tests below."""
    script = without_source(installed, tmp_path)
    text = script.read_text().replace(f"{installed}/bin/spoton", "ls -A")
    script.write_text(text)
    done = subprocess.run([script, ROOT, (ROOT / ".venv").resolve()], capture_output=True, text=True)
    assert done.returncode == 0 and "README.md" not in done.stdout and "bin" not in done.stdout, done.stdout + done.stderr


@pytest.mark.openvino
def test_runs_without_the_source_tree(alone, demo_clip, make_clip, tmp_path):
    program, environment = alone
    run = Spoton(program, tmp_path)
    clip = shutil.copy(demo_clip, tmp_path / "yard.avi")
    run("run", clip, "--limit", 4, "--out", tmp_path / "real", engine=None, env=environment, timeout=120, expect=0)
    summary = json.loads((tmp_path / "real" / "summary.json").read_text())
    assert summary["engine"]["name"] == "openvino", summary["engine"]
    frames = [json.loads(line) for line in (tmp_path / "real" / "yard.jsonl").read_text().splitlines()]
    frames = [frame for frame in frames if "detections" in frame]
    assert len(frames) == 4 and all(frame["detections"] for frame in frames), frames

    run("run", make_clip(frames=8), "--out", tmp_path / "fake", env=environment, expect=0)
    assert json.loads((tmp_path / "fake" / "summary.json").read_text())["engine"]["name"] == "fake"

    done = run("doctor", engine=None, env=environment, timeout=120)
    for engine in ("openvino", "onnxruntime"):
        assert re.search(rf"^engine +{engine} +\d+\.\d+", done.stdout, re.M), str(done)


@pytest.mark.openvino
@pytest.mark.parametrize("engine", ["openvino", "fake"])
def test_serves_without_the_source_tree(alone, make_clip, tmp_path, engine):
    program, environment = alone
    with Serving(program, tmp_path, {"door": make_clip()}, {**environment, "ENGINE": engine}) as server:
        server.until(lambda: server.get("/api/v2/stats")["engine"]["name"] == engine, 60)
        server.until(lambda: server.get("/api/v2/cameras/door")["ledger"]["inferred"] > 0, 60)
        assert b"<html" in server.request("GET", "/")[2]
        mapped = {line.split()[-1] for line in open(f"/proc/{server.process.pid}/maps") if "/" in line}
        assert not [path for path in mapped if path.startswith((f"{ROOT}/", f"{(ROOT / '.venv').resolve()}/"))]
        server.stop(signal.SIGTERM)


def test_nothing_names_the_source_tree(installed):
    names = [str(ROOT).encode(), str((ROOT / ".venv").resolve()).encode()]
    for path in installed.rglob("*"):
        assert not path.is_symlink() or not os.path.isabs(os.readlink(path)), path
        if path.is_file():
            data = path.read_bytes()
            assert not any(name in data for name in names), path
    for plugin in (installed / "lib/spoton/engines").iterdir():
        said = subprocess.run(["readelf", "-d", plugin], capture_output=True, text=True, check=True).stdout
        for found in re.findall(r"(?:RPATH|RUNPATH).*\[(.*)\]", said):
            assert all(part.startswith("$ORIGIN/../") for part in found.split(":")), (plugin, found)


def test_installed_files(installed):
    for name in ("bin/spoton", "lib/spoton/engines/spoton-engine-openvino.so", "share/spoton/models/person.onnx",
                 "share/spoton/models/person-int8.onnx", "share/spoton/models/person-int8.json",
                 "share/spoton/tools/quantize.py", "share/doc/spoton/README.md", "share/doc/spoton/LICENSE",
                 "share/doc/spoton/docs/CONFIG.md", "share/doc/spoton/examples/engine/bright.c",
                 "share/doc/spoton/runtimes/openvino/LICENSE", "share/doc/spoton/runtimes/onnxruntime/LICENSE"):
        assert (installed / name).stat().st_size > 0
    bundled = {path.name for path in (ROOT / "models").iterdir()
               if path.suffix in (".onnx", ".json") and path.name.startswith("person")}
    assert len(bundled) >= 3 and bundled <= {path.name for path in (installed / "share/spoton/models").iterdir()}
    assert not list(installed.rglob("*fake*")) and not list(installed.rglob("*.pt"))
    headers = {path.name for path in (ROOT / "include" / "spoton").iterdir()}
    assert {path.name for path in (installed / "include" / "spoton").iterdir()} == headers
    unit = (installed / "lib/systemd/system/spoton.service").read_text()
    assert f"ExecStart={PREFIX}/bin/spoton serve" in unit and not re.search(r"@\w+@", unit)
    sizes = [path.stat().st_size for path in (installed / "lib" / "spoton").rglob("*.so*")]
    assert sum(sizes) < LIBRARIES_MAX_BYTES


def test_make_passes_prefix_and_destdir():
    done = subprocess.run(["make", "-n", "install", "PREFIX=/opt/s", "DESTDIR=/tmp/d"], cwd=ROOT, capture_output=True,
                          text=True)
    assert "tools/install build '/opt/s' '/tmp/d'" in done.stdout, done.stdout + done.stderr
    done = subprocess.run([ROOT / "tools" / "install", "build", "relative"], capture_output=True, text=True)
    assert done.returncode == 2 and "PREFIX=relative: not an absolute path" in done.stderr


def plain(page):
    """The text of a page without what escapes it."""
    return page.read_text().replace("\\-", "-").replace("\\(dq", '"').replace('"', "")


def test_man_pages_hold_every_option_and_setting(installed, spoton):
    man = installed / "share" / "man"
    commands = re.findall(r"^  ([a-z]+) ", spoton("--help", expect=0).stdout, re.M)
    commands = [name for name in commands if name not in ("config", "spoton")]
    assert {page.name for page in (man / "man1").iterdir()} == {"spoton.1", *(f"spoton-{name}.1" for name in commands)}
    for name in commands:
        text = spoton(name, "--help", expect=0).stdout
        page = plain(man / "man1" / f"spoton-{name}.1")
        for flag in re.findall(r"^  (?:-\w, )?(--?[a-z-]+)", text, re.M):
            assert re.search(rf"^\.BR .*{flag}\b", page, re.M), f"{name}: {flag}"
        assert f"spoton-{name} (1)" in plain(man / "man1" / "spoton.1")
    rows = re.findall(r"^\| `([A-Z0-9_]+)` \| `(--[a-z0-9-]+)", spoton("config", expect=0).stdout, re.M)
    settings = plain(man / "man5" / "spoton-settings.5")
    for key, flag in rows:
        assert re.search(rf"^\.BR {key} , +{flag}\b", settings, re.M), key


def test_man_pages_are_sound(installed):
    if not shutil.which("man"):
        pytest.skip("no program man")
    for page in (installed / "share" / "man").rglob("*.[15]"):
        done = subprocess.run(["man", "--warnings", "-l", page], capture_output=True, text=True,
                              env={**os.environ, "LC_ALL": "C.UTF-8", "MANPAGER": "cat", "MANWIDTH": "100"})
        assert done.returncode == 0 and not done.stderr, f"{page.name}: {done.stderr}"


def test_engine_plugin_builds_against_the_installed_header(installed, program, make_clip, tmp_path):
    environment = {**os.environ, "PKG_CONFIG_PATH": str(installed / "share" / "pkgconfig")}

    def pkg_config(*words):
        return subprocess.run(["pkg-config", *words, "spoton-engine"], env=environment, capture_output=True, text=True,
                              check=True).stdout.strip()
    assert os.path.realpath(pkg_config("--variable=enginedir")) == str(installed / "lib/spoton/engines")
    assert f"spoton {pkg_config('--modversion')}\n" == subprocess.run(
        [program, "--version"], capture_output=True, text=True).stdout
    source = installed / "share/doc/spoton/examples/engine/bright.c"
    subprocess.run(["cc", "-std=c17", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-O2",
                    *pkg_config("--cflags").split(), "-o", tmp_path / "spoton-engine-bright.so", source], check=True)
    run = Spoton(installed / "bin" / "spoton", tmp_path)
    run("run", make_clip(frames=6, objects=1), "--out", tmp_path / "out", "--limit", 6, engine="bright",
        env={"SPOTON_ENGINE_DIR": tmp_path}, expect=0)
    log = next((tmp_path / "out").glob("*.jsonl")).read_text().splitlines()
    frames = [json.loads(line) for line in log if "detections" in line]
    assert len(frames) == 6
    for number, frame in enumerate(frames):
        (x1, y1, x2, y2), = rectangles(number, objects=1)
        box, = [row[:4] for row in frame["detections"]]
        assert box == pytest.approx([x1, y1, x2, y2], abs=3)
