"""Bad input: one clear line, a non-zero exit, and the other cameras' results intact."""

import os
import shutil
import socket
import subprocess

import pytest

from checks import (Results, assert_summary_balanced, no_leftovers, probe_video, read_results_log,
                    read_mot, read_summary)
from clips import rectangles


def truncated(make_clip, tmp_path):
    """An MP4 with its index at the start, so that the frames before the cut can be decoded."""
    whole = make_clip("h264", frames=60, options=("-movflags", "+faststart"))
    path = tmp_path / "truncated.mp4"
    path.write_bytes(whole.read_bytes()[:int(whole.stat().st_size * 0.6)])
    return path


def without_index(make_clip, tmp_path):
    whole = make_clip("h264", frames=60)
    path = tmp_path / "noindex.mp4"
    path.write_bytes(whole.read_bytes()[:int(whole.stat().st_size * 0.5)])
    return path


def zero_bytes(make_clip, tmp_path):
    path = tmp_path / "zero.mp4"
    path.touch()
    return path


def text_file(make_clip, tmp_path):
    path = tmp_path / "text.mp4"
    path.write_text("This is not a video.\n" * 200)
    return path


def directory(make_clip, tmp_path):
    path = tmp_path / "folder"
    path.mkdir()
    return path


def missing(make_clip, tmp_path):
    return tmp_path / "missing.mp4"


BAD = [truncated, without_index, zero_bytes, text_file, directory, missing]


@pytest.mark.sanitize
@pytest.mark.parametrize("make_bad", BAD, ids=lambda bad: bad.__name__)
def test_bad_file_fails_its_camera_only(spoton, make_clip, tmp_path, make_bad):
    good, bad = make_clip("h264", frames=50, objects=3), make_bad(make_clip, tmp_path)
    alone, both = tmp_path / "alone", tmp_path / "both"
    spoton("run", "--camera", f"good={good}", "--out", alone, "--video", expect=0)
    done = spoton("run", "--camera", f"bad={bad}", "--camera", f"good={good}", "--out", both,
                  "--video")
    assert done.returncode == 1, str(done)
    for kind in ("txt", "jsonl", "mp4"):
        assert (both / f"good.{kind}").read_bytes() == (alone / f"good.{kind}").read_bytes(), kind
    about = [line for line in done.error_lines if "bad" in line or bad.name in line]
    assert len(about) == 1, f"one clear line about it\n{done}"
    summary = read_summary(both)
    assert summary["complete"] is False
    assert_summary_balanced(summary)
    cameras = {camera["name"]: camera for camera in summary["cameras"]}
    assert cameras["good"]["error"] is None and cameras["good"]["ledger"]["inferred"] == 50
    assert cameras["bad"]["error"], "the summary says why"
    assert no_leftovers(both)


@pytest.mark.sanitize
def test_truncated_file_gives_what_can_be_decoded(spoton, make_clip, tmp_path):
    out = tmp_path / "out"
    done = spoton("run", "--camera", f"c={truncated(make_clip, tmp_path)}", "--out", out)
    assert done.returncode == 1, str(done)
    summary = read_summary(out)
    assert_summary_balanced(summary)
    assert 20 <= summary["ledger"]["inferred"] < 60, summary


@pytest.mark.sanitize
@pytest.mark.parametrize("make_bad", BAD, ids=lambda bad: bad.__name__)
def test_a_bad_file_alone_is_no_success(spoton, make_clip, tmp_path, make_bad):
    bad = make_bad(make_clip, tmp_path)
    done = spoton("run", bad, "--out", tmp_path / "out", "--video")
    assert done.returncode == 1, str(done)
    assert any(bad.stem in line for line in done.error_lines), str(done)


def concatenated(make_clip, tmp_path, second_size):
    """MPEG-TS whose second half has another image size."""
    path = tmp_path / "change.ts"
    one = make_clip("h264", frames=20, extension="ts")
    two = make_clip("h264", frames=20, size=second_size, extension="ts",
                    options=("-output_ts_offset", "2"))
    path.write_bytes(one.read_bytes() + two.read_bytes())
    return path


@pytest.mark.sanitize
@pytest.mark.parametrize("second_size", [(640, 480), (320, 180), (160, 120)],
                         ids=lambda size: "x".join(map(str, size)))
def test_size_change_midway(spoton, make_clip, tmp_path, second_size):
    """No frame is lost, boxes are in pixels of their own frame, the video keeps its size, and the other
    camera is not affected."""
    out = tmp_path / "out"
    done = spoton("run", "--camera", f"c={concatenated(make_clip, tmp_path, second_size)}",
                  "--camera", f"other={make_clip('h264', frames=30)}", "--out", out, "--video",
                  expect=0)
    results = Results(out, "c")
    assert results.sequences == list(range(40)), str(done)
    told = "camera c: frame 21 is {}x{}, previous frames were 320x240".format(*second_size)
    assert done.stderr.count(told) == 1, str(done)
    for line in results.results_log:
        number = line["sequence"]
        size = (320, 240) if number < 20 else second_size
        wanted = rectangles(number % 20, size)
        assert len(line["detections"]) == 2, line
        for box in wanted:
            assert any(all(abs(a - b) <= 17 for a, b in zip(found, box))
                       for found in line["detections"]), (line, box)
    assert probe_video(results.mp4_path) == (40, 320, 240, "h264")
    assert Results(out, "other").sequences == list(range(30))
    assert_summary_balanced(read_summary(out))


# --- models ----------------------------------------------------------------------------------


def refuse_model(spoton, make_clip, tmp_path, model, *words):
    done = spoton("run", "--camera", f"c={make_clip('h264', frames=5)}", "--out", tmp_path / "out",
                  env={"YOLO_MODEL_PATH": model}, engine="openvino")
    assert done.returncode in (1, 2), str(done)
    assert len(done.error_lines) == 1, str(done)
    for word in (os.path.basename(model), *words):
        assert word in done.error_lines[0], str(done)
    assert not (tmp_path / "out" / "c.txt").exists()
    return done


@pytest.mark.openvino
def test_missing_model(spoton, make_clip, tmp_path):
    refuse_model(spoton, make_clip, tmp_path, tmp_path / "nothing.onnx")


@pytest.mark.openvino
@pytest.mark.parametrize("kind", ["zero", "text", "cut"])
def test_corrupt_model(spoton, make_clip, tmp_path, kind):
    from conftest import ROOT
    path = tmp_path / f"{kind}.onnx"
    whole = (ROOT / "models" / "person.onnx").read_bytes()
    path.write_bytes({"zero": b"", "text": b"no model\n" * 99, "cut": whole[:len(whole) // 2]}[kind])
    refuse_model(spoton, make_clip, tmp_path, path)


@pytest.mark.openvino
def test_model_with_another_head(spoton, make_clip, tmp_path):
    onnx = pytest.importorskip("onnx")
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("GlobalAveragePool", ["images"], ["features"]),
         helper.make_node("Flatten", ["features"], ["classes"])],
        "classifier",
        [helper.make_tensor_value_info("images", floats, [1, 3, 224, 224])],
        [helper.make_tensor_value_info("classes", floats, [1, 3])])
    path = tmp_path / "classifier.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)],
                                ir_version=8), path)
    # The error has what was found, and the page that lists what is supported.
    refuse_model(spoton, make_clip, tmp_path, path, "[1,3]", "docs/MODELS.md")


# --- cameras and settings --------------------------------------------------------------------


def refuse(spoton, tmp_path, *args, words=(), env=None):
    done = spoton("run", *args, "--out", tmp_path / "out", env=env)
    assert done.returncode == 2, str(done)
    assert len(done.error_lines) == 1, str(done)
    for word in words:
        assert word in done.error_lines[0], str(done)
    assert not (tmp_path / "out").exists(), "nothing was started"


@pytest.mark.sanitize
def test_no_camera(spoton, tmp_path):
    refuse(spoton, tmp_path, words=("camera",))


@pytest.mark.sanitize
def test_65_cameras(spoton, make_clip, tmp_path):
    clip = make_clip("h264", frames=5)
    words = [word for n in range(65) for word in ("--camera", f"c{n}={clip}")]
    refuse(spoton, tmp_path, *words, words=("64",))


@pytest.mark.sanitize
def test_64_cameras(spoton, make_clip, tmp_path):
    clip = make_clip("mjpeg", frames=3)
    words = [word for n in range(64) for word in ("--camera", f"c{n}={clip}")]
    spoton("run", *words, "--out", tmp_path / "out", expect=0)
    summary = read_summary(tmp_path / "out")
    assert_summary_balanced(summary)
    assert summary["ledger"]["inferred"] == 64 * 3
    assert Results(tmp_path / "out", "c63").sequences == [0, 1, 2]


@pytest.mark.sanitize
def test_two_cameras_of_one_name(spoton, make_clip, tmp_path):
    clip = make_clip("h264", frames=5)
    refuse(spoton, tmp_path, "--camera", f"gate={clip}", "--camera", f"gate={clip}",
           words=("gate",))


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "-dash", "sp ace"])
def test_camera_name_that_is_no_file_name(spoton, make_clip, tmp_path, name):
    refuse(spoton, tmp_path, "--camera", f"{name}={make_clip('h264', frames=5)}")
    assert not (tmp_path / "up.txt").exists()


@pytest.mark.sanitize
@pytest.mark.parametrize("text, words", [
    ("FRAME_SKIP=2\n\nYOLO_CONFIDENCE_TRESHOLD=0.4\n",
     ("line 3", "YOLO_CONFIDENCE_TRESHOLD", "YOLO_CONFIDENCE_THRESHOLD")),
    ("YOLO_CONFIDENCE_THRESHOLD=1.5\n", ("line 1", "YOLO_CONFIDENCE_THRESHOLD", "1.5", "0", "1")),
    ("# ok\nFRAME_SKIP=0\n", ("line 2", "FRAME_SKIP", "1")),
    ("FRAME_JPEG_QUALITY=high\n", ("line 1", "FRAME_JPEG_QUALITY", "high", "100")),
    ("PRECISION=f33\n", ("line 1", "PRECISION", "f33", "f32")),
    ("FRAME_SKIP=1\nFRAME_SKIP=2\n", ("line 2", "FRAME_SKIP")),
    ("just words\n", ("line 1",)),
], ids=["unknown", "above", "below", "no-number", "no-choice", "twice", "malformed"])
def test_env_file_mistakes(spoton, make_clip, tmp_path, text, words):
    env_file = tmp_path / "bad.env"
    env_file.write_text(text)
    refuse(spoton, tmp_path, "--env", env_file, "--camera", f"c={make_clip('h264', frames=5)}",
           words=words)


def test_missing_env_file(spoton, make_clip, tmp_path):
    refuse(spoton, tmp_path, "--env", tmp_path / "none.env", "--camera",
           f"c={make_clip('h264', frames=5)}", words=("none.env",))


@pytest.mark.parametrize("flags, words", [
    (["--frame-skp", "2"], ("--frame-skp", "--frame-skip")),
    (["--frame-skip", "1000"], ("--frame-skip", "100")),
    (["--limit", "many"], ("--limit",)),
    (["--limit", "0"], ("--limit",)),
    (["--limit", "-3"], ("--limit",)),
], ids=["unknown", "range", "words", "zero", "negative"])
def test_flag_mistakes(spoton, make_clip, tmp_path, flags, words):
    refuse(spoton, tmp_path, *flags, "--camera", f"c={make_clip('h264', frames=5)}", words=words)


def test_environment_mistake(spoton, make_clip, tmp_path):
    refuse(spoton, tmp_path, "--camera", f"c={make_clip('h264', frames=5)}",
           env={"TRACK_BUFFER_SIZE": "-1"}, words=("TRACK_BUFFER_SIZE",))


def test_unknown_engine(spoton, make_clip, tmp_path):
    done = spoton("run", "--camera", f"c={make_clip('h264', frames=5)}", "--out", tmp_path / "out",
                  engine="warpdrive")
    assert done.returncode in (1, 2), str(done)
    assert len(done.error_lines) == 1 and "warpdrive" in done.error_lines[0], str(done)


def test_run_without_out(spoton, make_clip):
    done = spoton("run", make_clip("h264", frames=5))
    assert done.returncode == 2, str(done)
    assert "--out" in done.stderr, str(done)


# --- outputs ---------------------------------------------------------------------------------


@pytest.mark.sanitize
def test_out_is_below_a_file(spoton, make_clip, tmp_path):
    blocker = tmp_path / "file"
    blocker.touch()
    done = spoton("run", "--camera", f"c={make_clip('h264', frames=5)}", "--out", blocker / "out")
    assert done.returncode in (1, 2), str(done)
    assert len(done.error_lines) == 1 and str(blocker) in done.error_lines[0], str(done)


def test_out_may_not_be_written(spoton, make_clip, tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    done = spoton("run", "--camera", f"c={make_clip('h264', frames=5)}", "--out", closed)
    assert done.returncode in (1, 2), str(done)
    assert done.error_lines and str(closed) in done.error_lines[0], str(done)


@pytest.mark.sanitize
def test_one_camera_may_not_write(spoton, make_clip, tmp_path):
    """A folder has the name of one camera's results log: only that camera fails."""
    out = tmp_path / "out"
    (out / "a.jsonl.part" / "x").mkdir(parents=True)
    (out / "a.jsonl" / "x").mkdir(parents=True)
    clip = make_clip("h264", frames=20)
    done = spoton("run", "--camera", f"a={clip}", "--camera", f"b={clip}", "--out", out)
    assert done.returncode == 1, str(done)
    assert Results(out, "b").sequences == list(range(20))
    summary = read_summary(out)
    assert summary["cameras"][0]["error"] and summary["cameras"][1]["error"] is None
    assert_summary_balanced(summary)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 KiB: needs root, or a kernel with unprivileged mounts."""
    mount = tmp_path / "disk"
    mount.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small file system needs root")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", mount],
                          capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip("a small file system could not be mounted: " + done.stderr.strip())
    yield mount
    subprocess.run(["umount", "-l", mount], check=True)


@pytest.mark.sanitize
def test_disk_full(spoton, make_clip, small_disk):
    out = small_disk / "out"
    clip = make_clip("mpeg4", frames=400, objects=3)
    done = spoton("run", "--camera", f"a={clip}", "--camera", f"b={clip}", "--out", out, "--video")
    assert done.returncode == 1, str(done)
    assert any("space" in line for line in done.error_lines), str(done)
    # Once a camera, and once for the summary if that found no room either.
    assert len(done.error_lines) <= 3, str(done)
    assert no_leftovers(out)
    for path in out.glob("*.txt"):
        read_mot(path)
    for path in out.glob("*.jsonl"):
        assert len(read_results_log(path)) > 0
    for path in out.glob("*.mp4"):
        assert probe_video(path)[0] > 0


def test_earlier_results_survive_a_full_disk(spoton, make_clip, small_disk):
    out = small_disk / "out"
    spoton("run", "--camera", f"a={make_clip('h264', frames=10)}", "--out", out, expect=0)
    before = {path.name: path.read_bytes() for path in out.glob("a.*")}
    filler = small_disk / "filler"
    with open(filler, "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass
    done = spoton("run", "--camera", f"a={make_clip('h264', frames=60)}", "--out", out)
    assert done.returncode == 1, str(done)
    assert {path.name: path.read_bytes() for path in out.glob("a.*")} == before


# --- secrets ---------------------------------------------------------------------------------


@pytest.mark.sanitize
@pytest.mark.parametrize("url", [
    "rtsp://operator:{secret}@127.0.0.1:{port}/live",
    "http://operator:{secret}@127.0.0.1:{port}/live.mjpg",
    "http://127.0.0.1:{port}/live?user=operator&password={secret}",
    "http://127.0.0.1:{port}/live?token={secret}&x=1",
    "rtsp://operator:a@b/c?d#{secret}@127.0.0.1:{port}/live",
    "HTTP://{secret}@127.0.0.1:{port}/live",
    "http://operator:{secret}/e f@127.0.0.1:{port}/live",
    "rtsp://127.0.0.1:{port}/user=admin_password={secret}_channel=1_stream=0.sdp",
    "rtsp://127.0.0.1:{port}/0/admin:{secret}/main",
    "http://127.0.0.1:{port}/live?loginpas={secret}",
    "http://127.0.0.1:{port}/live?kennwort={secret}",
    "http://127.0.0.1:{port}/live#access_token={secret}",
], ids=["rtsp", "http", "query", "token", "unescaped", "no colon", "blank", "path", "segment",
        "loginpas", "unknown", "fragment"])
def test_passwords_are_never_shown(spoton, make_clip, tmp_path, url):
    secret = "s3same0pen"
    # A port without a listener: bound here, so that no other program can use it.
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = url.format(secret=secret, port=taken.getsockname()[1])
        out = tmp_path / "out"
        done = spoton("run", "--camera", f"gate={url}", "--camera",
                      f"good={make_clip('h264', frames=5)}", "--out", out,
                      env={"LOG_LEVEL": "debug"})
        doctor = spoton("doctor", url, env={"LOG_LEVEL": "debug"})
        unnamed = spoton("run", url, "--out", tmp_path / "unnamed")
    assert done.returncode == 1, str(done)
    assert any("gate" in line for line in done.error_lines), str(done)
    for text in (done.stdout, done.stderr, doctor.stdout, doctor.stderr, unnamed.stdout,
                 unnamed.stderr):
        assert secret not in text
    for path in [*out.iterdir(), *(tmp_path / "unnamed").iterdir()]:
        assert secret not in path.name
        assert secret.encode() not in path.read_bytes(), path
    assert "***" in {camera["name"]: camera for camera in
                     read_summary(out)["cameras"]}["gate"]["url"]
    assert Results(out, "good").sequences == list(range(5))


def test_password_in_the_env_file_is_never_shown(spoton, tmp_path):
    secret = "s3same0pen"
    env_file = tmp_path / "bad.env"
    env_file.write_text(f"CAMERA_a=rtsp://u:{secret}@127.0.0.1:1/x\n"
                        f"CAMERA_a=rtsp://u:{secret}@127.0.0.1:1/y\n")
    done = spoton("run", "--env", env_file, "--out", tmp_path / "out")
    assert done.returncode == 2, str(done)
    assert secret not in done.stdout + done.stderr
