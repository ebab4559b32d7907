"""spoton tune: what it tries, what it writes, and what it leaves alone."""

import re

import pytest

from conftest import ROOT

# A busy machine takes any time for a frame.
QUICK = ("--limit", "30", "--seconds", "0.5", "--latency", "60000")


@pytest.mark.sanitize
def test_the_environment_file_is_changed_in_its_place(spoton, make_clip, tmp_path):
    env = tmp_path / "mine.env"
    env.write_text("# mine\nTRACK_BUFFER_SIZE=40\nexport FRAME_SKIP=9\nPRECISION = f32\n")
    clip = make_clip(frames=60)
    # A quarter of all inferences is late enough for skipping to win.
    done = spoton("tune", "--env", env, "--camera", f"a={clip}", *QUICK, "--required", "0.5",
                  "--engine-options", "delay_us=2000", timeout=200, expect=0)
    rows = [line for line in done.stdout.splitlines() if re.match(r"(auto|int8|bf16|f16|f32) ", line)]
    assert len(rows) >= 8 and rows[0].endswith("best so far"), str(done)
    assert all(re.search(r"best so far|slower than|tracks: |latency: |model |\w+: ", row) for row in rows)
    assert re.search(r"chosen: [\d.]+ frames/s, [\d.]+ times the defaults", done.stdout)
    lines = env.read_text().splitlines()
    assert lines[:2] == ["# mine", "TRACK_BUFFER_SIZE=40"]
    keys = [line.split("=")[0] for line in lines[2:]]
    assert keys[:7] == ["PRECISION", "ENGINE", "YOLO_INPUT_SIZE", "FRAME_SKIP", "ENGINE_STREAMS",
                        "THREADS", "ENGINE_BATCH"]
    assert "ENGINE=fake" in lines, "an engine that is set stays"
    assert len(keys) == len(set(keys))
    assert [path.name for path in tmp_path.iterdir() if "spoton-tune" in path.name] == []
    # What it wrote is what the program reads.
    spoton("run", "--env", env, "--camera", f"a={clip}", "--out", tmp_path / "out", expect=0)


def test_ground_truth_is_used_if_given(spoton, make_clip, tmp_path):
    """The fake engine's own tracks as ground truth, with rows that do not count; then another clip's."""
    clip = make_clip(frames=60)
    spoton("run", "--camera", f"a={clip}", "--out", tmp_path / "labels", expect=0)
    path = tmp_path / "labels" / "a.txt"
    rows = path.read_text().splitlines()
    # By person instead of by frame, a person who does not count, and rows beyond the first 30 frames.
    rows.sort(key=lambda row: [int(value) for value in row.split(",")[1::-1]])
    ignored = [f"{frame},99,5,5,20,40,0,-1,-1,-1" for frame in range(1, 31)]
    path.write_text("\n".join(rows + ignored) + "\n")
    words = ("tune", "--env", tmp_path / "mine.env", "--camera", f"a={clip}", *QUICK, "--required",
             "0.99", "--ground-truth", tmp_path / "labels")
    done = spoton(*words, timeout=200, expect=0)
    first = next(line for line in done.stdout.splitlines() if line.startswith("auto "))
    assert first.split()[9] == "1.000", str(done)
    # All pairs of tracker settings are as good: the defaults stay.
    assert first.split()[11:13] == ["0.8", "0.5"], str(done)
    assert "TRACK_MATCH_THRESHOLD=0.8\nTRACK_HIGH_THRESHOLD=0.5" in (tmp_path / "mine.env").read_text()
    path.write_text("1,1,500,500,20,40,1,-1,-1,-1\n")
    done = spoton(*words, expect=1)
    assert "check that it belongs to this camera" in done.error_lines[-1]
    path.unlink()
    assert "a.txt" in spoton(*words, expect=1).error_lines[-1]


def test_a_frame_may_take_so_long(spoton, make_clip, tmp_path):
    env = tmp_path / "mine.env"
    done = spoton("tune", "--env", env, make_clip(frames=20), "--limit", "4", "--seconds", "0.1", "--latency",
                  "10", "--engine-options", "delay_us=30000", timeout=200, expect=1)
    assert "ms in the engine; the limit is 10" in done.error_lines[-1], str(done)
    assert not env.exists()


@pytest.mark.sanitize
def test_nothing_is_written_when_no_try_is_good(spoton, make_clip, tmp_path):
    env = tmp_path / "mine.env"
    env.write_text("FRAME_SKIP=2\n")
    done = spoton("tune", "--env", env, tmp_path / "nothing.mp4", *QUICK, expect=1)
    assert "nothing.mp4" in done.error_lines[-1]
    assert env.read_text() == "FRAME_SKIP=2\n"
    assert not (tmp_path / "mine.env.part").exists()


def test_where_it_cannot_write_it_does_not_try(spoton, make_clip, tmp_path):
    """Told at once, not after minutes; but a file that is not there yet is a new one."""
    env = tmp_path / "missing" / "mine.env"
    done = spoton("tune", "--env", env, make_clip(frames=20), *QUICK, expect=1)
    assert f"{env}: cannot be written: No such file" in done.error_lines[-1]
    assert "frames/s" not in done.stdout
    done = spoton("tune", "--capacity", "--env", tmp_path / "new.env", make_clip(frames=20), expect=2)
    assert "cannot be opened" in done.stderr


@pytest.mark.sanitize
def test_capacity(spoton, make_clip):
    done = spoton("tune", "--capacity", "--seconds", "1.5", "--rate", "1", "--limit", "40", make_clip(frames=20),
                  "--engine-options", "delay_us=20000", "--threads", "1", expect=0)
    cameras, rate = re.match(r"(\d+) cameras of 1 frames/s: ([\d.]+)", done.stdout).groups()
    # 20 ms an image at least: 50 a second, and fewer where the machine is busy.
    # The rate is printed rounded to a tenth, so just below a whole number it shows that number.
    assert float(rate) - 1.05 < int(cameras) <= float(rate) and 1 <= int(cameras) <= 50
    cameras, rate = re.search(r"^by need: (\d+) cameras of 1 frames/s: ([\d.]+) .*not guaranteed$", done.stdout,
                              re.MULTILINE).groups()
    assert float(rate) - 1.05 < int(cameras) <= float(rate)


def test_capacity_by_need_excludes_frame_skip(spoton, make_clip):
    done = spoton("tune", "--capacity", "--seconds", "0.5", "--rate", "1", make_clip(frames=20),
                  "--frame-skip", "2", expect=0)
    assert re.search("^by need: not measured: .*FRAME_SKIP=1", done.stdout, re.MULTILINE), done


def test_doctor_finds_a_batch_that_the_bundle_has_not(spoton, tmp_path):
    model = tmp_path / "any.onnx"
    model.write_bytes(b"any")
    spoton("export", model, "--batch", "4", "--out", tmp_path / "bundle", expect=0)
    env = {"YOLO_MODEL_PATH": tmp_path / "bundle"}
    spoton("doctor", env=env, expect=0)
    done = spoton("doctor", env={**env, "ENGINE_BATCH": 16}, expect=1)
    assert "ENGINE_BATCH=16" in done.stdout and "compiled for 4" in done.stdout


def test_doctor_finds_low_rates_and_lacking_memory(spoton, make_clip):
    slow = {"ENGINE_OPTIONS": "delay_us=400000", "THREADS": 1}
    done = spoton("doctor", make_clip(frames=5), env=slow, expect=1)
    assert "raise FRAME_SKIP" in done.stdout
    done = spoton("doctor", env={"ENGINE_OPTIONS": "memory_images=2", "ENGINE_BATCH": 16}, expect=1)
    assert "out of memory" in done.stdout and "smaller ENGINE_BATCH" in done.stdout
    done = spoton("doctor", engine="nowhere", expect=1)
    assert "no spoton-engine-nowhere.so" in done.stdout


def test_doctor_finds_an_engine_that_does_not_load(spoton, tmp_path):
    """A damaged plugin is a problem, though another engine takes its place."""
    folder = tmp_path / "engines"
    folder.mkdir()
    (folder / "spoton-engine-torn.so").write_bytes(b"\x7fELF torn")
    done = spoton("doctor", env={"SPOTON_ENGINE_DIR": folder}, expect=1)
    assert re.search(r"PROBLEM: engine plugin does not load: .*spoton-engine-torn.so", done.stdout)
    assert "engine fake (ENGINE)" in done.stdout


@pytest.mark.openvino
def test_doctor_finds_a_fixed_batch(spoton, tmp_path):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(ROOT / "models" / "person.onnx")
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4
    onnx.save(model, tmp_path / "four.onnx")
    done = spoton("doctor", engine="openvino", expect=1,
                  env={"YOLO_MODEL_PATH": tmp_path / "four.onnx", "ENGINE_BATCH": 16})
    assert "has a fixed batch of 4" in done.stdout and "ENGINE_BATCH=16" in done.stdout


@pytest.mark.openvino
def test_all_engines_are_tried(spoton, make_clip, tmp_path):
    pytest.importorskip("onnx")
    import tiny
    listed = spoton("doctor", engine=None, expect=0).stdout
    here = [name for name in ("openvino", "onnxruntime")
            if re.search(rf"^engine +{name} +[\d:]", listed, re.M)]
    (tmp_path / "mine.env").write_text("")
    done = spoton("tune", "--env", tmp_path / "mine.env", "--camera", f"a={make_clip(frames=10)}",
                  "--limit", "4", "--seconds", "0.2", "--required", "0.01", "--latency", "60000", "--yolo-model-path",
                  tiny.write(tmp_path / "tiny.onnx"), engine=None, expect=0)
    tried = {line.split()[1] for line in done.stdout.splitlines()
             if re.match(r"(auto|int8|bf16|f16|f32) ", line)}
    assert tried == set(here)
    assert re.search(r"^ENGINE=(openvino|onnxruntime)$", (tmp_path / "mine.env").read_text(), re.M)
