"""spoton bench and spoton doctor, and what the program says about itself."""

import json
import re

import pytest

from checks import assert_balanced
from conftest import ROOT


def bench(spoton, clip, *args, **keywords):
    done = spoton("bench", "--camera", f"a={clip}", "--camera", f"b={clip}", "--seconds", "2",
                  "--json", *args, expect=0, **keywords)
    return json.loads(done.stdout)


@pytest.mark.sanitize
def test_bench_json(spoton, make_clip):
    report = bench(spoton, make_clip("h264", frames=60), env={"ENGINE_OPTIONS": "delay_us=2000"})
    assert report["frames_per_s"] > 0 and report["engine_frames_per_s"] > 0
    # Both are measured, one after the other: what they are depends on what else the machine does.
    assert report["ratio"] == pytest.approx(report["frames_per_s"] / report["engine_frames_per_s"],
                                            rel=0.02)
    for name in ("decode", "letterbox", "engine", "head", "track", "draw", "encode"):
        stage = report["stages"][name]
        assert stage["count"] > 0, name
        assert 0 <= stage["p50_ms"] <= stage["p95_ms"] <= stage["p99_ms"], name
    assert report["stages"]["engine"]["p50_ms"] >= 1.9, "the fake engine takes 2 ms a run"
    assert_balanced(report["ledger"])
    assert report["ledger"]["inferred"] > 0


def test_bench_without_jpeg_encodes_none(spoton, make_clip):
    report = bench(spoton, make_clip("h264", frames=60), "--no-jpeg")
    assert report["stages"].get("encode", {"count": 0})["count"] == 0
    assert report["stages"]["track"]["count"] > 0


def test_bench_table(spoton, make_clip):
    done = spoton("bench", "--camera", f"a={make_clip('h264', frames=60)}", "--seconds", "1",
                  "--jpeg-rate", "1", expect=0)
    assert "JPEG of at most 1 frames a second of each" in done.stdout, str(done)
    for word in ("frames/s", "p50", "p95", "p99", "decode", "letterbox", "engine", "track",
                 "encode"):
        assert word in done.stdout, str(done)


def test_bench_mix(spoton):
    """Every frame and by need, each camera with as many frames; what is inferred depends on pixels only."""
    words = [f"sim://{what}&paced=0&fps=10&width=160&height=96"
             for what in ("walk?people=2", "visit?people=1", "empty?seed=1")]
    done = spoton("bench", "--mix", *words, "--frames", "60", "--rounds", "1", "--no-jpeg", "--json",
                  env={"YOLO_INPUT_SIZE": 160}, expect=0)
    report = json.loads(done.stdout)
    assert report["ratio"] > 0 and report["cpu_ratio"] > 0
    assert len(report["rounds"]) == 1
    every, need = report["rounds"][0]["every"], report["rounds"][0]["need"]
    for run in (every, need):
        assert_balanced(run["ledger"])
        assert run["ledger"]["received"] == 16 * 60 and run["frames_per_s"] > 0
    assert set(every["inferred_share"].values()) == {1} and every["ledger"]["inferred"] == 16 * 60
    shares = need["inferred_share"]
    assert shares["quiet"] == 0.05, shares  # the first frame and audits every 2 s
    assert shares["quiet"] < shares["medium"] < shares["busy"] < 1, shares
    assert need["ledger"]["inferred"] + need["ledger"]["unneeded"] == 16 * 60


def test_bench_mix_of_what_it_cannot_mix(spoton):
    for words, text in ((["sim://empty?paced=0"] * 2, "give three"), (["--seconds", "2"], "use --frames")):
        done = spoton("bench", "--mix", *words, expect=1)
        assert text in done.stderr, done


@pytest.mark.sanitize
def test_bench_over_devices(spoton, make_clip):
    # A camera on each device, of as many frames; those before all cameras delivered do not count.
    cameras = [word for name in "ab" for word in ("--camera", f"{name}={make_clip('h264', frames=60)}")]
    done = spoton("bench", *cameras, "--frames", "100", "--rounds", "1", "--no-jpeg", "--json",
                  env={"ENGINE_OPTIONS": "devices=2;delay_us=2000", "DEVICES": "1,0"}, expect=0)
    report = json.loads(done.stdout)
    assert [each["device"] for each in report["devices"]] == [1, 0]
    for each in report["devices"]:
        assert 0 < each["images"] <= 100 and each["error"] is None, each
        whole = sum(other["images"] for other in report["devices"])
        assert each["share"] == pytest.approx(each["images"] / whole, abs=0.001), each
        # Both are readings of clocks one after the other: how they relate depends on the load.
        assert each["utilization"] > 0 and each["in_flight"] > 0, each
    assert sum(each["share"] for each in report["devices"]) == pytest.approx(1, abs=0.001)
    stages = report["stages"]
    together = sum(stage["concurrency"] for name, stage in stages.items() if name not in ("wait", "total"))
    assert report["overlap"] == pytest.approx(together, abs=0.02) and together > 0
    assert len(report["rounds"]) == 1
    assert_balanced(report["ledger"])


@pytest.mark.sanitize
def test_bench_tells_which_device_decoded(spoton):
    """Cameras go to the device with the most room, and are inferred where they are decoded."""
    cameras = [part for name, gpu in (("a", 1), ("b", 1), ("c", 1), ("d", 0))
               for part in ("--camera", f"{name}=sim://walk?paced=0&frames=50&gpu={gpu}")]
    done = spoton("bench", *cameras, "--frames", "50", "--rounds", "1", "--no-jpeg", "--json",
                  env={"ENGINE_OPTIONS": "devices=2"}, expect=0)
    report = json.loads(done.stdout)
    for each in report["devices"]:
        assert 0 < each["decoded"] <= 100, str(done) # without those before all delivered
    assert report["ledger"]["inferred"] == 200
    off = spoton("bench", *cameras, "--frames", "50", "--rounds", "1", "--no-jpeg", "--json",
                 env={"ENGINE_OPTIONS": "devices=2", "DECODER": "cpu"}, expect=0)
    assert [each["decoded"] for each in json.loads(off.stdout)["devices"]] == [0, 0]


def test_a_round_begins_when_the_engine_is_ready(spoton, make_clip):
    """However long opening takes."""
    report = bench(spoton, make_clip("h264", frames=60), "--rounds", "1", "--no-jpeg",
                   env={"ENGINE_OPTIONS": "open_ms=3000"})
    assert 2 / 1.5 - 0.05 <= report["seconds"] < 2 / 1.5 + 2.9 and report["frames"] > 0


def test_bench_says_what_a_lost_device_did(spoton, make_clip):
    clip = make_clip("h264", frames=60)
    done = spoton("bench", "--camera", f"a={clip}", "--camera", f"b={clip}", "--frames", "100",
                  env={"ENGINE_OPTIONS": "devices=2;break_after=10;only_device=1"})
    assert done.returncode == 0 and "its cameras move to the other device" in done.stderr, str(done)
    assert "FAILED: engine fake" in done.stdout and "failed 0 " in done.stdout, str(done)


@pytest.mark.sanitize
def test_bench_of_a_bad_source(spoton, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_text("no video")
    done = spoton("bench", "--camera", f"a={bad}", "--seconds", "1", "--json")
    assert done.returncode == 1, str(done)
    assert len(done.error_lines) >= 1 and "bad.mp4" in done.stderr, str(done)


@pytest.mark.openvino
def test_doctor_on_this_machine(spoton):
    """Which of the bundled files it chooses is this CPU's affair: test_cpus.py."""
    done = spoton("doctor", engine=None, expect=0)
    text = done.stdout.lower()
    for word in ("core", "openvino", "fake", "gpu", "model"):
        assert word in text, str(done)
    assert re.search(r"^model .*/models/person(-int8)?\.onnx: yolov8, 1 class", done.stdout, re.M), str(done)
    assert re.search(r"20\d\d\.\d+", text), "the version of OpenVINO\n" + str(done)


def test_doctor_says_what_is_wrong(spoton, make_clip, tmp_path):
    text = tmp_path / "text.mp4"
    text.write_text("no video\n" * 100)
    for words in ([text], [tmp_path / "nothing.mp4"],
                  ["--yolo-model-path", tmp_path / "nothing.onnx"]):
        done = spoton("doctor", *words)
        assert done.returncode == 1, str(done)
        assert words[-1].name in done.stdout + done.stderr, str(done)
    good = make_clip("h264", frames=5)
    done = spoton("doctor", env={"ENGINE_OPTIONS": "devices=2", "DEVICES": "0,2"})
    assert done.returncode == 1, str(done)
    assert "device    1: fake 1" in done.stdout, str(done)
    assert "DEVICES: device 2: does not exist; engine fake has 2" in done.stdout, str(done)
    done = spoton("doctor", good, expect=0)
    assert "h264" in done.stdout and "320" in done.stdout, str(done)


@pytest.mark.parametrize("env, says", [
    ({}, "batch 1: fastest on a CPU as measured; BATCH_ACCUMULATION_SIZE has no effect here"),
    ({"SPOTON_FAKE_BATCH": 16}, "batch 8: 2 cameras x 4 (BATCH_ACCUMULATION_SIZE)"),
    ({"SPOTON_FAKE_BATCH": 16, "BATCH_ACCUMULATION_SIZE": 1}, "batch 2: 2 cameras x 1 (BATCH_ACCUMULATION_SIZE)"),
    ({"SPOTON_FAKE_BATCH": 16, "BATCH_ACCUMULATION_SIZE": "auto"}, "batch 16: preferred by the engine"),
    ({"SPOTON_FAKE_BATCH": 16, "ENGINE_BATCH": 5}, "batch 5 (ENGINE_BATCH)"),
])
def test_doctor_tells_the_batch(spoton, env, says):
    done = spoton("doctor", "--camera", "a=sim://walk", "--camera", "b=sim://walk", env=env, expect=0)
    assert f"choice    {says}\n" in done.stdout, str(done)
    assert f"in batches of {re.search(r'batch ([0-9]+)', says)[1]}\n" in done.stdout, str(done)


@pytest.mark.openvino
def test_doctor_checks_a_corrupt_model(spoton, tmp_path):
    model = tmp_path / "cut.onnx"
    model.write_bytes((ROOT / "models" / "person.onnx").read_bytes()[:100000])
    done = spoton("doctor", "--yolo-model-path", model, engine=None)
    assert done.returncode == 1, str(done)
    assert "cut.onnx" in done.stdout + done.stderr, str(done)


@pytest.mark.parametrize("command", ["serve", "run", "track", "eval", "bench", "tune", "export", "doctor"])
def test_help_lists_options_and_settings_apart(spoton, command):
    done = spoton(command, "--help", expect=0)
    assert done.stdout.startswith(f"Usage: spoton {command} "), str(done)
    assert "--env FILE" in done.stdout and "--yolo-confidence-threshold" not in done.stdout, str(done)
    assert ("--camera" in done.stdout) == (command not in ("track", "eval", "export")), str(done)
    settings = spoton(command, "--help-settings", expect=0).stdout
    flags = re.findall(r"^\| `[A-Z0-9_]+` \| `(--[a-z0-9-]+)", spoton("config", expect=0).stdout, re.M)
    assert len(flags) > 40
    assert re.findall(r"^  (--[a-z0-9-]+)", settings, re.M) == flags
    assert settings == spoton("--help-settings", expect=0).stdout


def test_program_help_and_version(spoton):
    done = spoton("--help", expect=0)
    for command in ("run", "track", "bench", "doctor"):
        assert re.search(rf"^\s+{command}\s", done.stdout, re.M), str(done)
    assert re.fullmatch(r"spoton \d+\.\d+\.\d+\S*\n", spoton("--version", expect=0).stdout)


@pytest.mark.parametrize("args, word", [([], "usage"), (["rnu"], "did you mean run?"), (["--bogus"], "--bogus"),
                                        (["--vresion"], "did you mean --version?")],
                         ids=["nothing", "typo", "flag", "flag typo"])
def test_wrong_command(spoton, args, word):
    done = spoton(*args)
    assert done.returncode == 2, str(done)
    assert word in done.stderr, str(done)


def test_wrong_command_shows_no_password(spoton):
    done = spoton("rtsp://user:secret@192.0.2.7/live", expect=2)
    assert "unknown command" in done.stderr and "secret" not in done.stderr, str(done)


def test_config_page_is_printed_by_the_program(spoton):
    """docs/CONFIG.md is the program's own text; `make docs` writes it anew."""
    done = spoton("config", expect=0)
    assert done.stdout == (ROOT / "docs" / "CONFIG.md").read_text()
