"""spoton run: every frame of every file, in order, into files."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import time

import pytest

from checks import (Results, assert_summary_balanced, no_leftovers, probe_video, read_mot,
                    read_summary)
from clips import rectangles
from conftest import SLOWER, clean_environment

STAGES = {"decode", "letterbox", "engine", "head", "track", "write"}


def near(box, wanted, tolerance):
    return all(abs(a - b) <= tolerance for a, b in zip(box, wanted))


def assert_detections_follow(results_log, size=(320, 240), objects=2, tolerance=8.5):
    """The boxes of every inferred frame are the rectangles of its frame number."""
    for line in results_log:
        if not line["inferred"]:
            continue
        wanted = rectangles(line["sequence"], size, objects)
        found = [box[:4] for box in line["detections"]]
        assert len(found) == len(wanted), line
        for box in wanted:
            assert any(near(other, box, tolerance) for other in found), (line, box)


@pytest.mark.sanitize
@pytest.mark.threads
def test_outputs_hold_every_frame_of_four_cameras(spoton, make_clip, tmp_path):
    out = tmp_path / "out"
    clip = make_clip("h264", frames=40)
    cameras = [word for name in ("c1", "c2", "c3", "c4") for word in ("--camera", f"{name}={clip}")]
    done = spoton("run", *cameras, "--out", out, "--video", expect=0)
    assert not done.error_lines, str(done)
    for name in ("c1", "c2", "c3", "c4"):
        results = Results(out, name)
        assert results.sequences == list(range(40))
        assert all(line["inferred"] for line in results.results_log)
        assert_detections_follow(results.results_log)
        # Both are tracked from the first frame to the last, by one id each.
        assert sorted({row[1] for row in results.rows}) == [1, 2]
        assert len(results.rows) == 80
        assert probe_video(results.mp4_path) == (40, 320, 240, "h264")
    summary = read_summary(out)
    assert summary["complete"] is True
    assert_summary_balanced(summary)
    assert summary["ledger"]["received"] == summary["ledger"]["inferred"] == 160
    assert no_leftovers(out)


@pytest.mark.sanitize
def test_mot_rows_are_the_results_log_one_based(spoton, make_clip, tmp_path):
    out = tmp_path / "out"
    spoton("run", "--camera", f"c1={make_clip('h264', frames=20)}", "--out", out, expect=0)
    results = Results(out, "c1")
    results_log = [(line["sequence"] + 1, track) for line in results.results_log
               for track in line["tracks"]]
    assert len(results_log) == len(results.rows) > 0
    for (frame, track), row in zip(results_log, results.rows):
        identity, x1, y1, x2, y2, confidence, _ = track
        assert (frame, identity) == row[:2]
        # MOT Challenge counts pixels from 1, the results log from 0: they differ by one at most.
        assert near((x1, y1, x2 - x1, y2 - y1), row[2:6], 1.01)
        assert abs(confidence - row[6]) < 0.001


def test_summary_tells_what_ran(spoton, make_clip, tmp_path):
    out = tmp_path / "out"
    spoton("run", "--camera", f"door={make_clip('h264', frames=30)}", "--out", out,
           "--frame-skip", "2", expect=0)
    summary = read_summary(out)
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", summary["version"])
    camera = summary["cameras"][0]
    assert (camera["name"], camera["codec"], camera["width"], camera["height"]) == \
        ("door", "h264", 320, 240)
    assert camera["error"] is None
    assert camera["frames_out"] == 30
    assert camera["tracks"] == 2
    assert summary["seconds"] > 0 and summary["frames_per_s"] > summary["inferred_per_s"] > 0
    assert STAGES <= set(summary["stages"])
    for name in STAGES:
        stage = summary["stages"][name]
        assert 0 <= stage["p50_ms"] <= stage["p95_ms"] <= stage["p99_ms"], name
        assert stage["count"] > 0 and stage["mean_ms"] >= 0 and 0 <= stage["share"] <= 1, name
    assert summary["model"]["path"].endswith("person.onnx")
    assert summary["model"]["head_type"] and summary["model"]["classes"] == 1
    assert summary["engine"]["name"] == "fake"
    assert {"version", "device", "precision"} <= set(summary["engine"])
    (compiled,) = summary["engine"]["inputs"]
    assert (compiled["width"], compiled["height"]) == (640, 480)
    assert {"batch", "precision", "streams", "threads"} <= set(compiled)
    assert str(summary["settings"]["FRAME_SKIP"]) == "2"
    assert float(summary["settings"]["YOLO_CONFIDENCE_THRESHOLD"]) == 0.3


@pytest.mark.parametrize("codec", ["h264", "hevc", "mpeg4", "mjpeg"])
@pytest.mark.sanitize
def test_every_frame_in_order(spoton, make_clip, tmp_path, codec):
    out = tmp_path / "out"
    spoton("run", "--camera", f"c={make_clip(codec, frames=37)}", "--out", out, expect=0)
    results = Results(out, "c")
    assert results.sequences == list(range(37))
    assert_detections_follow(results.results_log)
    assert read_summary(out)["cameras"][0]["codec"] == codec


@pytest.mark.parametrize("extension", ["png", "jpg", "bmp"])
def test_a_frame_is_a_video_of_one_frame(spoton, make_clip, tmp_path, extension):
    out = tmp_path / "out"
    spoton("run", "--camera", f"c={make_clip.image(extension)}", "--out", out, expect=0)
    results = Results(out, "c")
    assert results.sequences == [0]
    assert_detections_follow(results.results_log)


def test_wide_and_tall_frames_keep_their_boxes(spoton, make_clip, tmp_path):
    out = tmp_path / "out"
    sizes = {"wide": (640, 360), "tall": (240, 320), "odd": (322, 242)}
    cameras = [word for name, size in sizes.items()
               for word in ("--camera", f"{name}={make_clip('h264', frames=12, size=size)}")]
    spoton("run", *cameras, "--out", out, "--video", expect=0)
    for name, size in sizes.items():
        results = Results(out, name)
        assert_detections_follow(results.results_log, size, tolerance=17)
        assert probe_video(results.mp4_path) == (12, *size, "h264")


def test_plain_urls_are_named_after_their_files(spoton, make_clip, tmp_path):
    out = tmp_path / "out"
    clip = make_clip("h264", frames=5)
    spoton("run", clip, "--out", out, expect=0)
    assert [camera["name"] for camera in read_summary(out)["cameras"]] == [clip.stem]
    assert Results(out, clip.stem).sequences == list(range(5))


def test_limit_ends_each_camera(spoton, make_clip, tmp_path):
    out = tmp_path / "out"
    clip = make_clip("h264", frames=30)
    spoton("run", "--camera", f"a={clip}", "--camera", f"b={clip}", "--out", out, "--limit", "7",
           "--video", expect=0)
    for name in "ab":
        results = Results(out, name)
        assert results.sequences == list(range(7))
        assert probe_video(results.mp4_path)[0] == 7
    summary = read_summary(out)
    assert summary["complete"] is True
    assert_summary_balanced(summary)
    assert summary["ledger"]["inferred"] == 14


def run_bytes(spoton, out, cameras, env):
    spoton("run", *cameras, "--out", out, "--video", env=env, expect=0)
    names = [path.name for path in sorted(out.iterdir())]
    return {name: (out / name).read_bytes() for name in names if name != "summary.json"}


@pytest.mark.parametrize("env", [
    {},
    {"THREADS": 1}, {"THREADS": 2},
    {"DECODE_THREADS": 1}, {"DECODE_THREADS": 3},
    {"ENGINE_STREAMS": 1}, {"ENGINE_STREAMS": 3},
    {"ENGINE_BATCH": 1}, {"ENGINE_BATCH": 4},
    {"BATCH_ACCUMULATION_SIZE": 1}, {"BATCH_ACCUMULATION_SIZE": "auto"},
], ids=lambda env: ",".join(f"{key}={value}" for key, value in env.items()) or "again")
def test_same_input_gives_same_bytes(spoton, make_clip, tmp_path, env):
    cameras = [
        "--camera", f"a={make_clip('h264', frames=25)}",
        "--camera", f"b={make_clip('mpeg4', frames=40, objects=3)}",
        "--camera", f"c={make_clip('mjpeg', frames=10, size=(320, 180))}"]
    first = run_bytes(spoton, tmp_path / "first", cameras, {"FRAME_SKIP": 2})
    second = run_bytes(spoton, tmp_path / "second", cameras, {"FRAME_SKIP": 2, **env})
    assert set(first) == {f"{name}.{kind}" for name in "abc" for kind in ("txt", "jsonl", "mp4")}
    assert len(first["a.txt"]) > 100
    for name in first:
        assert first[name] == second[name], name


@pytest.mark.sanitize
@pytest.mark.parametrize("codec", ["h264", "mjpeg"])
def test_frame_skip_infers_every_nth_and_predicts_the_rest(spoton, make_clip, tmp_path, codec):
    out = tmp_path / "out"
    spoton("run", "--camera", f"c={make_clip(codec, frames=31)}", "--out", out, "--video",
           env={"FRAME_SKIP": 3}, expect=0)
    results = Results(out, "c")
    assert results.sequences == list(range(31))
    for line in results.results_log:
        assert line["inferred"] == (line["sequence"] % 3 == 0), line
        if not line["inferred"]:
            assert not line["detections"], "nothing was detected in a skipped frame"
    assert_detections_follow(results.results_log)
    # Predicted boxes move with the rectangles; away from the turning points they are on them.
    for line in results.results_log[12:30]:
        wanted = rectangles(line["sequence"])
        assert len(line["tracks"]) == 2, line
        for track in line["tracks"]:
            assert any(near(track[1:5], box, 14) for box in wanted), line
    summary = read_summary(out)
    assert_summary_balanced(summary)
    ledger = summary["ledger"]
    assert (ledger["received"], ledger["inferred"], ledger["skipped"]) == (31, 11, 20)
    assert probe_video(results.mp4_path)[0] == 31


@pytest.mark.sanitize
@pytest.mark.parametrize("codec", ["h264", "mjpeg"])
def test_only_inferred_frames_keep_their_true_numbers(spoton, make_clip, tmp_path, codec):
    clip = make_clip(codec, frames=31)
    spoton("run", "--camera", f"c={clip}", "--out", tmp_path / "sparse", "--video",
           env={"FRAME_SKIP": 3, "OUTPUT_FRAMES": "inferred"}, expect=0)
    spoton("run", "--camera", f"c={clip}", "--out", tmp_path / "all", env={"FRAME_SKIP": 3},
           expect=0)
    sparse, full = Results(tmp_path / "sparse", "c"), Results(tmp_path / "all", "c")
    assert sparse.sequences == list(range(0, 31, 3))
    assert all(line["inferred"] for line in sparse.results_log)
    assert_detections_follow(sparse.results_log)
    # The frames in between do not change the tracks.
    assert sparse.results_log == [line for line in full.results_log if line["inferred"]]
    assert probe_video(sparse.mp4_path)[0] == 11
    summary = read_summary(tmp_path / "sparse")
    assert_summary_balanced(summary)
    assert summary["ledger"]["inferred"] == 11
    assert summary["ledger"]["received"] - summary["ledger"]["skipped"] == 11


@pytest.mark.sanitize
def test_frames_in_a_devices_memory_change_nothing(spoton, tmp_path):
    """Stages that need the pixels copy them to the host."""
    found = {}
    for gpu in (0, 1):
        out = tmp_path / str(gpu)
        spoton("run", "--camera", f"c=sim://walk?paced=0&frames=40&width=641&height=361&gpu={gpu}",
               "--out", out, "--video", expect=0)
        found[gpu] = [(out / f"c.{kind}").read_bytes() for kind in ("txt", "jsonl", "mp4")]
    assert found[0] == found[1] and len(found[0][0]) > 1000


def test_decoder_that_the_engine_has_not_is_refused(spoton, tmp_path):
    done = spoton("run", "--camera", "c=sim://walk?frames=1", "--out", tmp_path / "out",
                  "--decoder", "gpu", env={"ENGINE": "onnxruntime", "YOLO_MODEL_PATH": ""})
    if "no engine" in done.stderr or "onnxruntime: " in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode != 0 and "DECODER=gpu: engine onnxruntime does not decode" in done.stderr


def test_video_frame_shows_the_boxes(spoton, make_clip, tmp_path):
    """The annotated frame differs from the plain one at the boxes, and nowhere else."""
    numpy = pytest.importorskip("numpy")
    out = tmp_path / "out"
    clip = make_clip("mpeg4", frames=10, size=(640, 480))
    spoton("run", "--camera", f"c={clip}", "--out", out, "--video", env={"VIDEO_CRF": 10}, expect=0)

    def luma(path):
        raw = subprocess.run(
            ["ffmpeg", "-v", "error", "-i", path, "-vf", "select=eq(n\\,9)", "-frames:v", "1",
             "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"], capture_output=True, check=True).stdout
        return numpy.frombuffer(raw, numpy.uint8)[:640 * 480].reshape(480, 640).astype(int)

    difference = abs(luma(out / "c.mp4") - luma(clip)) > 40
    line = Results(out, "c").results_log[9]
    assert len(line["tracks"]) == 2
    for track in line["tracks"]:
        x1, y1, x2, y2 = (int(round(value)) for value in track[1:5])
        middle = (y1 + y2) // 2
        assert difference[middle, max(x1 - 6, 0):x1 + 7].any(), "the left side of a box"
        assert difference[middle, x2 - 6:x2 + 7].any(), "the right side of a box"
        assert not difference[middle, x1 + 15:x2 - 15].any(), "what is inside stays as it is"


SPEED = re.compile(
    r"\[SPEED_DEBUG\] MEGA-BATCH Env=(?P<env>\S+) Frames=(?P<first>\d+)-(?P<last>\d+) \| "
    r"Total=(?P<total>\d+(\.\d+)?)ms \| Read=(?P<read>\d+(\.\d+)?)ms "
    r"BatchDet=(?P<det>\d+(\.\d+)?)ms Track=(?P<track>\d+(\.\d+)?)ms "
    r"SpaceMatch=(?P<space>\d+(\.\d+)?)ms Enc=(?P<enc>\d+(\.\d+)?)ms "
    r"WsSend=(?P<send>\d+(\.\d+)?)ms \| Cams=(?P<cams>\d+) BatchSize=(?P<size>\d+) "
    r"FPS=(?P<fps>\d+(\.\d+)?) \(Eff: (?P<eff>\d+(\.\d+)?)\)$")


def test_speed_line_once_a_batch_in_the_known_form(spoton, make_clip, tmp_path):
    clip = make_clip("h264", frames=48)
    cameras = [word for name in ("c1", "c2", "c3", "c4") for word in ("--camera", f"{name}={clip}")]
    done = spoton("run", *cameras, "--out", tmp_path / "out",
                  env={"LOG_LEVEL": "debug", "BATCH_ACCUMULATION_SIZE": 2, "FRAME_SKIP": 3,
                       "SPOTON_FAKE_BATCH": 16, "ENGINE_OPTIONS": "delay_us=2000"}, expect=0)
    assert re.search(r"engine fake ready .*batch 8,", done.stderr), str(done)
    lines = [line for line in done.stderr.splitlines() if "MEGA-BATCH" in line]
    assert lines, str(done)
    seen, images = set(), 0
    for line in lines:
        match = SPEED.search(line)
        assert match, line
        first, last = int(match["first"]), int(match["last"])
        assert 0 <= first <= last < 48, line
        seen.update(range(first, last + 1))
        images += int(match["size"])
        assert 1 <= int(match["cams"]) <= 4, line
        assert int(match["size"]) <= 8, line  # of the engine's batch; the last may be of no inferred frame
        # A run of the fake engine takes at least 2 ms, and is a part of the whole.
        if int(match["size"]) > 0:
            assert float(match["total"]) >= float(match["det"]) * 0.99 >= 1.9, line
    assert seen == set(range(48)), "every frame is in some batch"
    assert images == 4 * 16, "each inferred frame is in one batch"
    # Every frame carries boxes, a third of them is inferred: measured, so only roughly so.
    rates = [SPEED.search(line) for line in lines]
    assert any(float(match["eff"]) > float(match["fps"]) > 0 for match in rates), str(done)


def test_speed_line_only_at_debug(spoton, make_clip, tmp_path):
    done = spoton("run", "--camera", f"c={make_clip('h264', frames=8)}", "--out", tmp_path / "out",
                  expect=0)
    assert "SPEED_DEBUG" not in done.stderr + done.stdout


def test_output_is_plain_without_a_terminal(spoton, make_clip, tmp_path):
    done = spoton("run", "--camera", f"c={make_clip('h264', frames=8)}", "--out", tmp_path / "out",
                  expect=0)
    for text in (done.stdout, done.stderr):
        assert "\r" not in text and "\x1b" not in text, repr(text)


def test_progress_bar_on_a_terminal(program, make_clip, tmp_path):
    main, side = pty.openpty()
    clip = make_clip("h264", frames=60)
    environment = clean_environment(tmp_path, {"ENGINE": "fake", "TERM": "xterm",
                                               "ENGINE_OPTIONS": "delay_us=20000"})
    process = subprocess.Popen([program, "run", "--camera", f"c={clip}", "--out", tmp_path / "out"],
                               cwd=tmp_path, env=environment, stdin=side, stdout=side, stderr=side)
    os.close(side)
    text, limit = b"", time.monotonic() + 300 * SLOWER
    while time.monotonic() < limit:
        if select.select([main], [], [], 0.2)[0]:
            try:
                text += os.read(main, 65536)
            except OSError:  # the other side is closed
                break
        elif process.poll() is not None:
            break
    os.close(main)
    assert process.wait(timeout=120 * SLOWER) == 0, text
    shown = text.decode(errors="replace")
    assert "\r" in shown or "\x1b[" in shown, repr(shown)
    assert re.search(r"\d+ ?%|\d+/\d+", shown), repr(shown)
    assert re.search(r"\d+(\.\d+)? (frames/s|fps)|/s", shown), repr(shown)


@pytest.mark.sanitize
@pytest.mark.threads
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["int", "term"])
def test_interrupted_run_leaves_valid_outputs(spoton, make_clip, tmp_path, number):
    out = tmp_path / "out"
    clip = make_clip("mjpeg", frames=600)
    part, seen = out / "a.jsonl.part", []

    def under_way():
        if part.exists():
            seen.append(time.monotonic())
        return bool(seen) and seen[-1] - seen[0] > 0.7 * SLOWER

    done = spoton.interrupted(
        "run", "--camera", f"a={clip}", "--camera", f"b={clip}", "--out", out, "--video",
        env={"ENGINE_OPTIONS": "delay_us=20000", "THREADS": 1, "ENGINE_STREAMS": 1,
             "ENGINE_BATCH": 1},
        when=under_way, signal=number)
    assert done.returncode == 130, str(done)
    forced = "exiting with the frames written so far" in done.stderr  # a busy machine; test_run_files.py has what it then leaves
    for name in "ab":
        if forced and not (out / f"{name}.jsonl").exists():
            continue
        results = Results(out, name)
        assert 0 < len(results.results_log) < 600, str(done)
        assert results.sequences == list(range(len(results.results_log)))
        assert_detections_follow(results.results_log)
        if not forced:
            assert probe_video(results.mp4_path)[0] == len(results.results_log)
    assert forced or read_summary(out)["complete"] is False
    if not forced:
        assert_summary_balanced(read_summary(out))
        assert no_leftovers(out)


@pytest.mark.sanitize
def test_engine_failures_fail_frames_and_are_counted(spoton, make_clip, tmp_path):
    out = tmp_path / "out"
    done = spoton("run", "--camera", f"c={make_clip('h264', frames=30)}", "--out", out,
                  env={"ENGINE_OPTIONS": "fail_every=5", "ENGINE_BATCH": 1})
    assert done.returncode == 1, str(done)
    summary = read_summary(out)
    assert_summary_balanced(summary)
    assert summary["ledger"]["failed"] > 0
    assert summary["cameras"][0]["error"]
    read_mot(out / "c.txt")


def test_a_second_run_replaces_the_first(spoton, make_clip, tmp_path):
    out = tmp_path / "out"
    spoton("run", "--camera", f"c={make_clip('h264', frames=30)}", "--out", out, expect=0)
    spoton("run", "--camera", f"c={make_clip('h264', frames=5)}", "--out", out, expect=0)
    assert len(Results(out, "c").results_log) == 5
    assert json.loads((out / "summary.json").read_text())["ledger"]["received"] == 5


def test_env_file_and_flags_in_order(spoton, make_clip, tmp_path):
    out = tmp_path / "out"
    env_file = tmp_path / "my.env"
    env_file.write_text(
        f"# cameras\nexport CAMERA_gate=\"{make_clip('h264', frames=9)}\"\nFRAME_SKIP=2\n"
        "TRACK_BUFFER_SIZE=50   # frames\nFRAME_JPEG_QUALITY='70'\n")
    spoton("run", "--env", env_file, "--out", out, "--track-buffer-size=60",
           env={"FRAME_SKIP": 4, "FRAME_JPEG_QUALITY": 75}, expect=0)
    summary = read_summary(out)
    assert [camera["name"] for camera in summary["cameras"]] == ["gate"]
    settings = {key: str(value) for key, value in summary["settings"].items()}
    assert settings["FRAME_SKIP"] == "4", "the environment goes over the file"
    assert settings["FRAME_JPEG_QUALITY"] == "75"
    assert settings["TRACK_BUFFER_SIZE"] == "60", "a flag goes over both"
