"""The Python package: its wheel is built and installed into an environment of its own, and its examples are run."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from clips import rectangles
from conftest import ROOT, SLOWER

PACKAGE = ROOT / "bindings" / "python"
FAKE = ("engine=fake", "yolo_model_path=fake", "engine_cache_dir=off", "threads=2")


@pytest.fixture(scope="module")
def python(program, tmp_path_factory):
    """An interpreter that has the wheel, and from the tests' environment NumPy and CFFI."""
    folder = tmp_path_factory.mktemp("python")
    shutil.copytree(PACKAGE, folder / "source", symlinks=False)  # builds leave the source tree alone
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index",
                    "--disable-pip-version-check", "-w", folder, folder / "source"], check=True)
    wheel, = folder.glob("spoton-*-py3-none-any.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    site = next((folder / "venv").glob("lib/python3*/site-packages"))
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index",
                    "--disable-pip-version-check", "--target", site, wheel], check=True)
    shared = [path for path in sys.path if path.endswith("site-packages")]
    (site / "shared.pth").write_text("\n".join(shared) + "\n")
    environment = {**os.environ, "SPOTON_LIBRARY": str(program.parent / "libspoton.so.0"), "PYTHONPATH": "",
                   "XDG_CACHE_HOME": str(folder / "cache")}

    def run(*words, expect=0, timeout=600 * SLOWER):
        done = subprocess.run([folder / "venv/bin/python", "-X", "dev", "-W", "error", *words], env=environment,
                              cwd=folder, capture_output=True, text=True, timeout=timeout)
        assert done.returncode == expect, done.stdout + done.stderr
        return done
    return run


def code(*lines):
    return "\n".join(("import numpy as np, spoton", f"FAKE = dict(word.split('=') for word in {FAKE!r})",
                      "def image(n):", "    i = np.full((192, 320, 3), 30, np.uint8)",
                      "    i[40:120, 8 * n:8 * n + 40] = 235", "    return i", *lines))


def test_wheel_has_version_types_and_header(python):
    said = python("-c", "import spoton, pathlib; f = pathlib.Path(spoton.__file__).parent; print(spoton.__version__, "
                        "(f / 'py.typed').exists(), (f / 'spoton.h').read_text() == "
                        f"pathlib.Path({str(ROOT)!r}, 'include/spoton/spoton.h').read_text(), 'venv' in str(f))").stdout
    version = re.search(r"version: '([\d.]+)'", (ROOT / "meson.build").read_text()).group(1)
    assert said.split() == [version, "True", "True", "True"]
    assert f'version = "{version}"' in (PACKAGE / "pyproject.toml").read_text()


def test_video_example(python, make_clip):
    clip = make_clip(frames=8, objects=2)
    lines = python(PACKAGE / "examples/video_tracks.py", clip, *FAKE, "frame_skip=2").stdout.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("frame ")] == [str(n) for n in range(8)]
    assert len([line for line in lines if line.startswith("  person ")]) == 16
    assert sum("(predicted)" in line for line in lines) == 8  # of every second frame
    boxes = [[int(value) for value in line.split()[2:6]] for line in lines if line.startswith("  person ")][:2]
    for box in boxes:
        assert any(box == pytest.approx(expected, abs=4) for expected in rectangles(0, objects=2))
    done = python(PACKAGE / "examples/video_tracks.py", "/nowhere.mp4", *FAKE, expect=1)
    assert done.stderr.startswith("video_tracks: /nowhere.mp4") and "Traceback" not in done.stderr


def test_own_detections_example_equals_the_program(python, spoton, tmp_path):
    rows = [f"{frame},-1,{100 + 5 * frame + 300 * k},{50 + frame},40,90,0.{9 - k}" for frame in range(1, 31)
            for k in range(2) if (frame + 7 * k) % 11]  # now and then one is missing
    (tmp_path / "det.txt").write_text("\n".join(rows) + "\n")
    spoton("track", tmp_path / "det.txt", "-o", tmp_path / "out.txt", engine=None, expect=0)

    def read(text):
        return [[float(value) for value in line.split(",")] for line in text.splitlines()]
    ours = read(python(PACKAGE / "examples/own_detections.py", tmp_path / "det.txt").stdout)
    assert len(ours) > 40 and len({row[1] for row in ours}) == 2
    for one, other in zip(ours, read((tmp_path / "out.txt").read_text()), strict=True):
        assert one == pytest.approx(other, abs=0.006)


def test_image_example(python, tmp_path):
    for name in ("a.png", "b.jpg"):
        subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "color=0x202020:s=640x384",
                        "-vf", "drawbox=80:96:40:80:white:fill", "-frames:v", "1", tmp_path / name], check=True)
    lines = python(PACKAGE / "examples/image_detections.py", tmp_path / "a.png", tmp_path / "b.jpg",
                   *FAKE).stdout.splitlines()
    assert len(lines) == 2
    for line, name in zip(lines, ("a.png", "b.jpg")):
        assert line.startswith(f"{tmp_path / name}: person ")
        assert [int(value) for value in line.split()[-4:]] == pytest.approx([80, 96, 120, 176], abs=4)


def test_pushed_images_and_views(python):
    python("-c", code(
        "seen, events = [], []",
        "with spoton.Pipeline(on_result=seen.append, on_event=events.append, frames=True, yolo_input_size=320, **FAKE) as p:",
        "    own = p.add('own', frame_rate=25, frame_skip=2)",
        "    p.start()",
        "    assert [own.push(image(n), time=10 + n / 25) for n in range(12)] == list(range(12))",
        "    own.end()",
        "    p.wait(500)",
        "    status = own.status()",
        "    assert (status.received, status.inferred, status.skipped, status.ended) == (12, 6, 6, True)",
        "assert [r.sequence for r in seen] == list(range(12)) and seen[3].time == 10.12",
        "assert [r.inferred for r in seen] == [True, False] * 6",
        "for r in seen[::2]:",  # the pipeline is closed: frames and records stay valid
        "    box, = r.detections",
        "    assert np.allclose([box[k] for k in ('x1', 'y1', 'x2', 'y2')], [8 * r.sequence, 40, 8 * r.sequence + 40, 120])",
        "    assert r.tracks['id'].tolist() == [1] and r.names == ['person']",
        "    y, u, v = r.frame.planes()",
        "    assert y.shape == (192, 320) and u.shape == v.shape == (96, 160) and not y.flags.writeable",
        "    assert y[80, 8 * r.sequence + 20] == 235 and r.frame.shape == (192, 320)",
        "    assert np.abs(r.frame.bgr().astype(int) - image(r.sequence)).max() <= 3",
        "last = seen[-1].frame.planes()[0]",
        "del seen, r, y, u, v",
        "assert last.mean() > 30",  # a view keeps its frame
        "assert [e.kind for e in events] == ['camera.ended'] and events[0].payload == {}"))


def test_live_cameras_and_errors(python):
    python("-c", code(
        "import threading",
        "got, logged = threading.Event(), []",
        "p = spoton.Pipeline(live=True, on_result=lambda r: got.set(), on_log=lambda l, t: logged.append(l), **FAKE)",
        "p.start()",
        "camera = p.add('gate', 'sim://walk')",
        "assert got.wait(500) and p.camera('gate').status().state",
        "camera.remove()",
        "def refused(kind, what, *words, **more):",
        "    try: what(*words, **more)",
        "    except kind as why: return str(why)",
        "    raise AssertionError(what)",
        "refused(ValueError, camera.status)",
        "refused(KeyError, p.camera, 'gate')",
        "refused(spoton.Timeout, p.wait, 0.01)",
        "assert 'invalid camera name' in refused(spoton.Error, p.add, 'a b', 'x')",
        "own = p.add('own')",
        "refused(ValueError, own.push, np.zeros((4, 4), np.uint8))",
        "refused(ValueError, own.push, np.zeros((4, 4, 3)))",
        "own.push(image(0)[:, ::-1], timeout=60)",  # not contiguous
        "p.close()",
        "refused(ValueError, own.push, image(0))",
        "assert 'info' in logged",
        "assert 'did you mean FRAME_SKIP?' in refused(spoton.Error, spoton.Pipeline, frame_skips=2)",
        "t = spoton.Tracker(10)",
        "assert len(t.update([])) == 0",
        "refused(ValueError, t.update, [[1, 2, 3]])",
        "assert t.update([[1, 2, 30, 80, .9]])['detection'].tolist() in ([], [1])"))


def test_outputs_lines_and_pause_of_live_cameras(python, tmp_path):
    plugin, written = tmp_path / "spoton-output-jsonl.so", tmp_path / "results.jsonl"
    subprocess.run(["cc", "-shared", "-fPIC", f"-I{ROOT / 'include'}", "-o", plugin, ROOT / "examples/output/jsonl.c"],
                   check=True)
    python("-c", code(
        "import threading",
        "got, entered = threading.Event(), threading.Event()",
        "def note(event): event.kind == 'zone.entered' and event.payload['zone'] == 'all' and entered.set()",
        f"options = dict(FAKE, outputs={f'{plugin}?path={written}'!r}, analytics=True, live=True)",
        "with spoton.Pipeline(on_result=lambda r: got.set(), on_event=note, **options) as p:",
        "    gate = p.add('gate', 'sim://walk')",
        "    try: gate.set_analytics({'zones': [{'name': 'all'}]}); raise AssertionError",
        "    except spoton.Error as why: assert 'polygon' in str(why)",
        "    gate.set_analytics({'zones': [{'name': 'all', 'polygon': [[0, 0], [1, 0], [1, 1], [0, 1]]}]})",
        "    p.start()",
        "    assert got.wait(100) and entered.wait(100)",
        "    gate.pause()",
        "    gate.resume()",
        "    got.clear()",
        "    assert got.wait(100)"))
    lines = [json.loads(line) for line in written.read_text().splitlines()]
    frames, kinds = [line for line in lines if "tracks" in line], {line.get("event") for line in lines}
    assert {frame["camera"] for frame in frames} == {"gate"} and any(frame["tracks"] for frame in frames)
    assert {"camera.added", "zone.entered", "camera.ended"} <= kinds


def test_exception_in_a_callback_ends_the_pipeline(python):
    done = python("-c", code(
        "def fail(result): raise RuntimeError('of the callback')",
        "with spoton.Pipeline(on_result=fail, **FAKE) as p:",
        "    p.add('a', 'sim://walk?frames=100000&paced=0')",
        "    p.start()",
        "    p.wait(500)"), expect=1)
    assert "RuntimeError: of the callback" in done.stderr


def test_package_is_typed(python):
    """Every public function and method has annotations of all parameters and of its result."""
    python("-c", code(
        "import inspect",
        "for name in spoton.__all__:",
        "    thing = getattr(spoton, name)",
        "    parts = [thing] if inspect.isfunction(thing) else [m for n, m in vars(thing).items() "
        "if inspect.isfunction(m)] if inspect.isclass(thing) else []",
        "    for part in parts:",
        "        if part.__name__.startswith('__') and part.__name__ != '__init__': continue",
        "        s = inspect.signature(part)",
        "        assert s.return_annotation is not s.empty or part.__name__ == '__init__', part",
        "        assert all(p.annotation is not p.empty for n, p in s.parameters.items() if n != 'self'), part"))
