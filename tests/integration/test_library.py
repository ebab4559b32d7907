"""libspoton as a user installs it: `meson install`, pkg-config, a C program against the installed header."""

import os
import re
import shutil
import subprocess

import pytest

from clips import rectangles
from conftest import ROOT
from test_install import installed  # noqa: F401 (a fixture)

PUBLIC = re.compile(r"^SPOTON_API [\w *]+?(spoton_\w+)\(", re.M)
FAKE = ("ENGINE=fake", "YOLO_MODEL_PATH=fake", "ENGINE_CACHE_DIR=off", "YOLO_INPUT_SIZE=320", "THREADS=2")


def library_of(prefix):
    return next(prefix.rglob("libspoton.so.0"))


@pytest.fixture
def environment(installed, program, tmp_path):  # noqa: F811
    """For programs that use the installed library; the fake engine, which is not installed, is beside."""
    engines = tmp_path / "engines"
    engines.mkdir()
    shutil.copy(program.parent / "engines" / "spoton-engine-fake.so", engines)
    library = library_of(installed).parent
    return {**os.environ, "PKG_CONFIG_PATH": str(library / "pkgconfig"), "LD_LIBRARY_PATH": str(library),
            "SPOTON_ENGINE_DIR": str(engines), "XDG_CACHE_HOME": str(tmp_path / "cache")}


@pytest.fixture
def tracks(installed, environment, tmp_path):  # noqa: F811
    """The example, compiled by what pkg-config says of the installed library."""
    said = subprocess.run(["pkg-config", "--cflags", "--libs", "spoton"], env=environment, capture_output=True,
                          text=True, check=True).stdout.split()
    source = installed / "share/doc/spoton/examples/library/tracks.c"
    subprocess.run(["cc", "-std=c17", "-Wall", "-Wextra", "-Werror", "-O2", source, *said, "-o", tmp_path / "tracks"],
                   check=True)
    return tmp_path / "tracks"


def test_exports_the_documented_functions_only(installed):  # noqa: F811
    library = library_of(installed)
    said = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True).stdout
    exported = {line.split()[2].split("@")[0] for line in said.splitlines() if line.split()[1] != "A"}
    assert exported == set(PUBLIC.findall((ROOT / "include/spoton/spoton.h").read_text()))
    assert len(exported) > 20
    dynamic = subprocess.run(["readelf", "-d", library], capture_output=True, text=True, check=True).stdout
    assert "[libspoton.so.0]" in dynamic and "RPATH" not in dynamic and "RUNPATH" not in dynamic
    assert "websockets" not in dynamic  # no server in it


def test_uses_no_process_wide_functions(installed):  # noqa: F811
    """It ends no process and changes no signal, directory or locale of its host."""
    said = subprocess.run(["nm", "-D", "--undefined-only", library_of(installed)], capture_output=True, text=True,
                          check=True).stdout
    used = {line.split()[-1].split("@")[0] for line in said.splitlines()}
    assert "pthread_create" in used
    assert not used & {"exit", "_exit", "quick_exit", "abort", "signal", "sigaction", "sigprocmask", "chdir",
                       "setlocale", "setenv", "putenv", "umask", "atexit", "fork"}


def test_header_is_valid_alone_in_c_and_cpp(tmp_path):
    for compiler, flags in (("cc", ["-std=c99", "-x", "c"]), ("clang", ["-std=c++17", "-x", "c++"])):
        subprocess.run([compiler, *flags, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only",
                        "-I", ROOT / "include", "-"], input="#include <spoton/spoton.h>\n", text=True, check=True)


def test_example_tracks_its_own_frames(tracks, environment):
    done = subprocess.run([tracks, "-", *FAKE], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and not done.stderr, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert len(rows) == 25
    for number, (sequence, time, track, name, *box) in enumerate(rows):
        assert (int(sequence), float(time), track, name) == (number, pytest.approx(number * 0.04), "1", "person")
        assert [float(value) for value in box] == pytest.approx(
            [8 * number, 40, 8 * number + 40, 120], abs=2), number


def test_example_tracks_a_file(tracks, environment, make_clip):
    done = subprocess.run([tracks, make_clip(frames=12, objects=2), "ENGINE=fake", "YOLO_MODEL_PATH=fake", "FRAME_SKIP=2"],
                          env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and not done.stderr, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert {row[0] for row in rows} == {str(n) for n in range(12)} and {row[2] for row in rows} == {"1", "2"}
    for row in rows:
        assert any(float(row[4]) == pytest.approx(box[0], abs=4) for box in rectangles(int(row[0]), objects=2)), row


@pytest.mark.openvino
def test_finds_engine_and_model_of_its_installation(tracks, environment, demo_clip, tmp_path):
    """Without settings: openvino and the bundled model, from the folder of the library."""
    environment.pop("SPOTON_ENGINE_DIR")
    clip = tmp_path / "yard.avi"
    subprocess.run(["ffmpeg", "-v", "error", "-i", demo_clip, "-frames:v", "3", "-c", "copy", clip], check=True)
    done = subprocess.run([tracks, clip], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^2 \S+ \d+ person ", done.stdout, re.M), done.stdout


@pytest.mark.parametrize("words, said", [
    (["/nowhere.mp4", *FAKE], "nowhere.mp4"),
    (["-", "FRAME_SKIPS=2"], "did you mean FRAME_SKIP?"),
    (["-", "ENGINE=none"], "engine none: no spoton-engine-none.so in "),
    (["-", "ENGINE"], "no key or value"),
])
def test_example_reports_errors(tracks, environment, words, said):
    done = subprocess.run([tracks, *words], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and not done.stdout
    assert said in done.stderr.splitlines()[-1], done.stderr
