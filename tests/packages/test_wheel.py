"""The wheel of `make wheel`, installed by pip with its dependencies into an empty environment; `make test-wheel` runs this."""

import json
import os
import re
import subprocess
import venv

import pytest

from conftest import ROOT

SYSTEM = re.compile(r"/(ld-linux-[\w-]+|lib(c|m|mvec|dl|rt|pthread|resolv|util|anl|gcc_s|stdc\+\+))\.so\.[\d.]+$")


@pytest.fixture(scope="module")
def wheel():
    found = list((ROOT / "out" / "wheel").glob("spoton-*.whl"))
    if not found:
        pytest.skip("no out/wheel/spoton-*.whl; run make wheel")
    return found[0]


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory):
    """The environment's site-packages."""
    folder = tmp_path_factory.mktemp("wheel") / "venv"
    venv.create(folder, with_pip=True)
    subprocess.run([folder / "bin/pip", "install", "-q", "--disable-pip-version-check", "--only-binary=:all:", wheel], check=True)
    return next(folder.glob("lib/python3*/site-packages"))


@pytest.fixture
def command(site, tmp_path):
    def run(name, *words, **settings):
        environment = {key: value for key, value in os.environ.items() if key not in ("LD_LIBRARY_PATH", "PYTHONPATH")}
        done = subprocess.run([site.parents[2] / "bin" / name, *words], cwd=tmp_path, capture_output=True, text=True, timeout=600,
                              env={**environment, "XDG_CACHE_HOME": str(tmp_path / "cache"), **settings})
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
    return run


def test_takes_only_glibc_and_gcc_s_libraries_from_the_system(site):
    files = [*(site / "spoton/_program").rglob("*.so*"), site / "spoton/_program/bin/spoton", *(site / "spoton.libs").iterdir()]
    outside = set()
    for path in files:
        if path.name == "spoton-engine-onnxruntime.so":
            continue  # opens its runtime by name
        for line in subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout.splitlines():
            assert "not found" not in line, (path, line)
            found = re.search(r"(?:=> )?(/\S+) \(", line)
            if found and not os.path.realpath(found[1]).startswith(os.path.realpath(site)) and not SYSTEM.search(found[1]):
                outside.add(found[1])
    assert len(files) > 50 and not outside


def test_every_library_has_its_licence(site):
    notices, = site.glob("spoton-*.dist-info/licenses/libraries")
    listed = dict(re.findall(r"^(\S+): Debian package (\S+), source package \S+ \S+$", (notices / "LIST").read_text(), re.M))
    assert set(listed) == {path.name for path in (site / "spoton.libs").iterdir()}
    assert all((notices / f"{package}.txt").stat().st_size > 100 for package in listed.values())
    assert {"GPL-2", "GPL-3", "LGPL-2.1"} <= {path.name for path in notices.iterdir()}


def test_program(command, demo_clip, tmp_path):
    version = re.search(r"^  version: '([\d.]+)'", (ROOT / "meson.build").read_text(), re.M)[1]
    assert command("spoton", "--version").split() == ["spoton", version]
    for engine, settings in (("openvino", {}), ("fake", {"SPOTON_ENGINE_DIR": str(ROOT / "build" / "engines"),
                                                         "YOLO_MODEL_PATH": "fake"})):
        out = tmp_path / f"of-{engine}"
        command("spoton", "run", "--camera", f"a={demo_clip}", "--limit", "40", "--out", out, ENGINE=engine, **settings)
        assert json.loads((out / "summary.json").read_text())["engine"]["name"] == engine
        assert len((out / "a.txt").read_text().splitlines()) > 100  # 40 frames with 5 people and more


def test_module_beside_others_with_the_same_libraries(command, demo_clip):
    """Python's own OpenSSL, SQLite, zlib and expat are loaded before and after: each has its own copy."""
    lines = command("python", "-c", "\n".join((
        "import sqlite3, ssl, zlib",
        "import spoton",
        "import bz2, lzma, pyexpat, numpy",
        "ssl.create_default_context()",
        "assert zlib.decompress(zlib.compress(b'a')) == b'a' and sqlite3.connect(':memory:').execute('select 1').fetchone() == (1,)",
        f"for result in spoton.track({str(demo_clip)!r}, frame_skip=2):",
        "    print(result.sequence, len(result.tracks), flush=True)",
        "    if result.sequence == 9: break"))).splitlines()
    assert [int(line.split()[0]) for line in lines] == list(range(10)) and all(int(line.split()[1]) >= 2 for line in lines[2:])


def test_engine_onnxruntime_finds_its_extra(command, demo_clip, wheel, tmp_path):
    command("python", "-m", "pip", "install", "-q", "--disable-pip-version-check", "--only-binary=:all:", f"{wheel}[onnxruntime]")
    command("spoton", "run", "--camera", f"a={demo_clip}", "--limit", "4", "--out", tmp_path / "out", ENGINE="onnxruntime")
    assert json.loads((tmp_path / "out/summary.json").read_text())["engine"]["name"] == "onnxruntime"
