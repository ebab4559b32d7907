"""Tracker plugins: the example, and small ones that require frames or do not fit."""

import json
import os
import subprocess

import pytest

from clips import rectangles
from conftest import ROOT

EXAMPLE = ROOT / "examples" / "tracker" / "nearest.c"
# A tracker with one track for each frame: its confidence is the luma of the frame's first pixel / 255.
LUMA = """
#include <spoton/tracker.h>
static int open_it(struct spoton_tracker_state **out, const struct spoton_tracker_params *p, char *e, size_t n)
{ static int one; (void)p; (void)e; (void)n; *out = (struct spoton_tracker_state *)&one; return 0; }
static void close_it(struct spoton_tracker_state *t) { (void)t; }
static int update(struct spoton_tracker_state *t, const struct spoton_tracker_input *in,
                  struct spoton_tracker_output *out, int capacity, char *e, size_t n)
{ (void)t; (void)capacity; (void)e; (void)n;
  out[0] = (struct spoton_tracker_output){1, 0, 0, 0, 0, in->frame->width, in->frame->height,
                                          in->frame->plane[0][0] / 255.0};
  return 1; }
static int predict(const struct spoton_tracker_state *t, double f, double s, struct spoton_tracker_output *out, int c)
{ (void)t; (void)f; (void)s; (void)out; (void)c; return 0; }
const struct spoton_tracker_api *spoton_tracker_entry(void)
{ static const struct spoton_tracker_api api = {SPOTON_TRACKER_ABI + OLD, sizeof api, "luma", NEEDS, open_it, close_it,
                                                update, predict};
  return &api; }
"""


def build(source, to, *flags):
    subprocess.run(["cc", "-std=c17", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-O2", *flags, "-I",
                    ROOT / "include", "-o", to, source, "-lm"], check=True)
    return to


@pytest.fixture(scope="module")
def plugins(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trackers")
    build(EXAMPLE, folder / "spoton-tracker-nearest.so")
    (folder / "luma.c").write_text(LUMA)
    for name, needs, old in (("luma", 1, 0), ("future", 6, 0), ("old", 0, 1)):
        build(folder / "luma.c", folder / f"spoton-tracker-{name}.so", f"-DNEEDS={needs}", f"-DOLD={old}")
    return folder


@pytest.fixture
def detections(tmp_path):
    """Two people who walk towards each other, MOT Challenge rows; one misses a frame."""
    rows = [f"{frame},-1,{left},50,40,90,0.9" for frame in range(1, 21)
            for left in (100 + 4 * frame, 500 - 4 * frame) if not (frame == 8 and left > 300)]
    (tmp_path / "det.txt").write_text("\n".join(rows) + "\n")
    return tmp_path / "det.txt"


def rows_of(path):
    return [[float(value) for value in line.split(",")] for line in path.read_text().splitlines()]


def test_track_runs_the_example(spoton, plugins, detections, tmp_path):
    spoton("track", "--tracker", plugins / "spoton-tracker-nearest.so", detections, "-o", tmp_path / "a.txt", engine=None,
           expect=0)
    rows = rows_of(tmp_path / "a.txt")
    assert len(rows) == 39 and {row[1] for row in rows} == {1, 2}
    for frame, track, left, *_ in rows:
        assert left == (100 + 4 * frame if track == 1 else 500 - 4 * frame)
    # By name, with an option: boxes must overlap nearly completely, so each is a new track.
    spoton("track", "--tracker", "nearest?overlap=0.99", detections, "-o", tmp_path / "b.txt", engine=None, expect=0,
           env={"SPOTON_TRACKER_DIR": plugins})
    assert {row[1] for row in rows_of(tmp_path / "b.txt")} == set(range(1, 40))


def test_run_uses_it_and_predicts_between(spoton, plugins, make_clip, tmp_path):
    spoton("run", make_clip(frames=12, objects=2), "--tracker", "nearest", "--frame-skip", 2, "--out", tmp_path / "out",
           env={"SPOTON_TRACKER_DIR": plugins}, expect=0)
    rows = rows_of(next((tmp_path / "out").glob("*.txt")))
    assert len(rows) == 24 and {row[1] for row in rows} == {1, 2}
    for frame, _, left, *_ in rows:  # the example predicts by repeating
        inferred = int(frame - 1) // 2 * 2
        assert any(left == pytest.approx(box[0], abs=4) for box in rectangles(inferred, objects=2))


def test_frames_reach_a_tracker_that_requires_them(spoton, plugins, make_clip, detections, tmp_path):
    clip = make_clip(frames=4, objects=1)
    spoton("run", clip, "--tracker", plugins / "spoton-tracker-luma.so", "--out", tmp_path / "out", expect=0)
    frames = [json.loads(line) for line in next((tmp_path / "out").glob("*.jsonl")).read_text().splitlines()]
    frames = [frame for frame in frames if "tracks" in frame]
    pixel = subprocess.run(["ffmpeg", "-v", "error", "-i", clip, "-frames:v", "1", "-pix_fmt", "yuv420p", "-f", "rawvideo",
                            "-"], capture_output=True, check=True).stdout[0]
    assert len(frames) == 4
    row = rows_of(next((tmp_path / "out").glob("*.txt")))[0]
    assert row[4:7] == pytest.approx([frames[0]["width"], frames[0]["height"], pixel / 255], abs=0.01)
    done = spoton("track", "--tracker", plugins / "spoton-tracker-luma.so", detections, "-o", tmp_path / "a.txt",
                  engine=None)
    assert done.returncode == 1 and "tracker luma: it requires frames" in done.stderr


@pytest.mark.parametrize("tracker, said", [
    ("bytetracks", "TRACKER=bytetracks: unknown; did you mean bytetrack? Use that, or a plugin: there is no "),
    ("sort", "TRACKER=sort: unknown; use bytetrack, spoton, or a plugin: there is no spoton-tracker-sort.so in "),
    ("/nowhere/x.so", "TRACKER=/nowhere/x.so: no such file"),
    ("future", "it requires what this program does not have (needs 0x6)"),
    ("old", "built for interface version 2, but this program has 1; rebuild it"),
    ("nearest?wrong=1", 'tracker nearest: "wrong=1": unknown option; use overlap=NUMBER'),
    (str(EXAMPLE), "tracker plugin does not load"),
])
def test_refused(spoton, plugins, detections, make_clip, tmp_path, tracker, said):
    environment = {"SPOTON_TRACKER_DIR": plugins}
    done = spoton("track", "--tracker", tracker, detections, "-o", tmp_path / "a.txt", engine=None, env=environment)
    assert done.returncode == 1 and said in done.stderr and not (tmp_path / "a.txt").exists(), str(done)
    done = spoton("run", make_clip(frames=2), "--tracker", tracker, "--out", tmp_path / "out", env=environment)
    assert done.returncode == 1 and said in done.stderr, str(done)


def test_example_builds_against_the_header_alone(tmp_path):
    build(EXAMPLE, tmp_path / "a.so")
    said = subprocess.run(["nm", "-D", "--defined-only", tmp_path / "a.so"], capture_output=True, text=True,
                          check=True).stdout.split()
    assert "spoton_tracker_entry" in said and os.path.getsize(tmp_path / "a.so") < 100000
