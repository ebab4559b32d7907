"""Choices on other CPUs: SPOTON_CPUINFO is a file with the text of their /proc/cpuinfo.

The rule, by docs/MODELS.md: bf16 where the CPU has units for it; INT8 where it has VNNI and no bf16, if the
model has an INT8 form that passed its gate; else f32.
"""

import re
import signal
import subprocess

import pytest

from conftest import ROOT, clean_environment

pytest.importorskip("onnx")
import tiny  # noqa: E402

pytestmark = pytest.mark.openvino

# file of tests/data/cpu: (what is fast there, precision, which of the bundled files)
CPUS = {
    "avx2": ("f32", "f32", "person.onnx"),
    "avx2-vnni": ("int8,f32", "int8", "person-int8.onnx"),
    "avx512-vnni": ("int8,f32", "int8", "person-int8.onnx"),
    "avx512-bf16": ("int8,bf16,f32", "bf16", "person.onnx"),
    "amx": ("int8,bf16,f32", "bf16", "person.onnx"),
}


@pytest.fixture(params=CPUS)
def cpu(request):
    return request.param


@pytest.fixture
def env(cpu):
    return {"SPOTON_CPUINFO": ROOT / "tests" / "data" / "cpu" / f"{cpu}.txt", "ENGINE_CACHE_DIR": "off"}


def test_doctor_chooses(spoton, cpu, env):
    fast, precision, model = CPUS[cpu]
    done = spoton("doctor", engine="openvino", env={**env, "YOLO_INPUT_SIZE": 320}, expect=0)
    assert f"simulated {cpu}, " in done.stdout and f"{cpu}.txt\n" in done.stdout, str(done)
    assert re.search(rf"^engine +openvino .*; fast in {fast}$", done.stdout, re.M), str(done)
    assert re.search(rf"^model .*/{model}: ", done.stdout, re.M), str(done)
    assert re.search(rf"^choice +precision {precision}$", done.stdout, re.M), str(done)
    assert re.search(r"^speed +[\d.]+ ms", done.stdout, re.M), str(done)


def test_a_model_without_an_int8_form_is_used_as_it_is(spoton, make_clip, cpu, env, tmp_path):
    model = tiny.write(tmp_path / "tiny.onnx")
    done = spoton("run", make_clip(frames=6), "--yolo-model-path", model, "--out", tmp_path / "out",
                  engine="openvino", env=env, expect=0)
    assert "tiny.onnx" in (tmp_path / "out" / "summary.json").read_text(), str(done)
    done = spoton("run", make_clip(frames=6), "--yolo-model-path", model, "--out", tmp_path / "int8",
                  engine="openvino", env={**env, "PRECISION": "int8"}, expect=1)
    assert ": not quantized" in done.error_lines[0], str(done)


def test_the_gate_at_load(spoton, make_clip, cpu, env, tmp_path):
    """24 frames of 3 boxes, in INT8 and in f32: the same; with a box moved away: refused."""
    reference = tiny.write(tmp_path / "reference.onnx")
    good = tiny.write(tmp_path / "good.onnx", quantized=True)
    bad = tiny.write(tmp_path / "bad.onnx", quantized=True, boxes=tiny.BOXES[:2])
    clips = [word for name in "abc" for word in ("--camera", f"{name}={make_clip(frames=12)}")]

    def run(model, status):
        return spoton("run", *clips, "--yolo-model-path", model, "--out", tmp_path / model.stem,
                      engine="openvino", env={**env, "INT8_REFERENCE": reference}, expect=status)
    assert "recall 1.000 and precision 1.000 of 72 boxes" in run(good, 0).stderr
    assert "failed the quantization check: recall 0.667" in run(bad, 1).error_lines[0]


def test_tune_tries_what_the_cpu_has(program, make_clip, cpu, env, tmp_path):
    """It starts with the precisions; the test ends it after those."""
    model = tiny.write(tmp_path / "tiny.onnx")
    command = [program, "tune", "--env", tmp_path / "mine.env", "--camera", f"a={make_clip(frames=10)}",
               "--limit", "2", "--seconds", "0.1", "--required", "0.01", "--latency", "60000",
               "--yolo-model-path", model]
    rows = {}
    with subprocess.Popen(command, cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=clean_environment(tmp_path, {**env, "ENGINE": "openvino"})) as process:
        for line in process.stdout:
            if re.match(r"(auto|int8|bf16|f16|f32) ", line):
                rows.setdefault(line.split()[0], line)
            if len(rows) == 5:
                break
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        said = process.stderr.read()
    assert list(rows) == ["auto", "int8", "bf16", "f16", "f32"], said
    assert "not quantized" in rows["int8"], rows
    assert ("has no bf16 units" in rows["bf16"]) == ("bf16" not in CPUS[cpu][0]), rows
    assert "has no fast f16" in rows["f16"], rows
    assert rows["auto"].endswith("best so far\n"), rows
    assert not (tmp_path / "mine.env").exists()
