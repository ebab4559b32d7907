"""spoton export: bundles, bundles of another machine, and the quantization check for INT8."""

import hashlib
import json
import re
import shutil
import subprocess
import sys

import pytest

from checks import Results, read_summary
from conftest import ROOT

MODELS = ROOT / "models"


def export(spoton, folder, *more, **keywords):
    model = folder / "any.onnx"
    model.write_bytes(b"any file is a model to the fake engine")
    return spoton("export", model, "--out", folder / "bundle", "--input", "320x192", *more,
                  **keywords)


def read_manifest(bundle):
    return json.loads((bundle / "manifest.json").read_text())


def leftovers(folder):
    return [path.name for path in folder.iterdir() if path.name.endswith((".part", ".old"))]


@pytest.mark.sanitize
def test_a_bundle_runs(spoton, make_clip, tmp_path):
    done = export(spoton, tmp_path, "--batch", "2", expect=0)
    assert re.search(r"compiled in [\d.]+ s, [\d.]+ ms per image, [\d.]+ MB", done.stdout)
    manifest = read_manifest(tmp_path / "bundle")
    assert (manifest["input"], manifest["precision"]) == ({"width": 320, "height": 192, "batch": 2}, "f32")
    assert manifest["engine"]["name"] == "fake" and "quantization_check" not in manifest
    model = tmp_path / "bundle" / manifest["file"]
    assert manifest["sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
    assert not leftovers(tmp_path)
    moved = tmp_path / "elsewhere"
    shutil.move(tmp_path / "bundle", moved)
    # The manifest's engine is taken, although ENGINE=auto never takes the fake one.
    done = spoton("run", make_clip(frames=5, size=(320, 192)), "--out", tmp_path / "out",
                  env={"YOLO_MODEL_PATH": moved}, engine="auto", expect=0)
    one = read_summary(tmp_path / "out")["engine"]["inputs"][0]
    assert (one["width"], one["height"], one["batch"]) == (320, 192, 2)
    assert "compiling the model again" not in done.stderr


@pytest.mark.sanitize
def test_a_bundle_of_another_machine_is_compiled_again(spoton, make_clip, tmp_path):
    export(spoton, tmp_path, expect=0)
    manifest = read_manifest(tmp_path / "bundle")
    clip = make_clip(frames=5)
    for key, value in (("version", "0.9"), ("device", "another CPU")):
        changed = {**manifest, "engine": {**manifest["engine"], key: value}}
        (tmp_path / "bundle" / "manifest.json").write_text(json.dumps(changed))
        done = spoton("run", clip, "--out", tmp_path / key, expect=0,
                      env={"YOLO_MODEL_PATH": tmp_path / "bundle"})
        assert "compiling the model again" in done.stderr and value in done.stderr


@pytest.mark.sanitize
def test_a_damaged_bundle_is_refused(spoton, make_clip, tmp_path):
    export(spoton, tmp_path, expect=0)
    (tmp_path / "bundle" / "any.onnx").write_bytes(b"changed")
    done = spoton("run", make_clip(frames=5), "--out", tmp_path / "out",
                  env={"YOLO_MODEL_PATH": tmp_path / "bundle"}, expect=1)
    assert len(done.error_lines) == 1 and "SHA-256" in done.error_lines[0]
    (tmp_path / "bundle" / "manifest.json").write_text("{")
    done = spoton("run", make_clip(frames=5), "--out", tmp_path / "out",
                  env={"YOLO_MODEL_PATH": tmp_path / "bundle"}, expect=1)
    assert "manifest.json" in done.error_lines[0]


@pytest.mark.sanitize
def test_out_of_memory_tries_a_smaller_batch(spoton, tmp_path):
    done = export(spoton, tmp_path, "--batch", "16", "--engine-options", "memory_images=3", expect=0)
    assert [int(n) for n in re.findall(r"trying (\d+)", done.stderr)] == [8, 4, 2]
    assert read_manifest(tmp_path / "bundle")["input"]["batch"] == 2


@pytest.mark.sanitize
def test_bad_options_are_refused(spoton, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.jpg").write_bytes(b"precious")
    for words, says in ((("--batch", "33"), "1 to 32"), (("--batch", "0"), "--batch"),
                        (("--input", "640"), "WIDTHxHEIGHT"), (("--input", "640x400"), "multiples"),
                        (("--precision", "int8"), "--calibrate"),
                        (("--required", "1.5"), "--required"),
                        (("--calibrate", "nowhere.mp4"), "nowhere.mp4"),
                        (("--calibrate", tmp_path / "empty"), "no images"),
                        (("--out", tmp_path / "mine"), "not a bundle")):
        (tmp_path / "empty").mkdir(exist_ok=True)
        done = export(spoton, tmp_path, *words)
        assert done.returncode in (1, 2) and len(done.error_lines) == 1, str(done)
        assert says in done.error_lines[0]
        assert not (tmp_path / "bundle").exists() and not leftovers(tmp_path)
    assert (tmp_path / "mine" / "photo.jpg").read_bytes() == b"precious"


@pytest.mark.sanitize
def test_the_quantization_check_takes_any_precision(spoton, make_clip, tmp_path):
    """The fake engine is as good in bf16 as in f32, and the clip has two boxes a frame."""
    done = export(spoton, tmp_path, "--precision", "bf16", "--calibrate", make_clip(frames=60),
                  expect=0)
    check = read_manifest(tmp_path / "bundle")["quantization_check"]
    assert check["recall"] == check["precision"] == 1 and check["boxes"] >= 50
    assert "recall 1.000" in done.stdout


# ---- with the real engine ----


def test_the_bundled_int8_model_matches_its_manifest():
    manifest = json.loads((MODELS / "person-int8.json").read_text())
    for name, digest in ((manifest["file"], manifest["sha256"]),
                         (manifest["source"]["file"], manifest["source"]["sha256"])):
        found = hashlib.sha256((MODELS / name).read_bytes()).hexdigest()
        assert found == digest, f"{name} has changed: run tools/make-person-int8"
    assert manifest["calibration"]["frames"] >= 300 and len(manifest["calibration"]["sources"]) == 5
    check = manifest["quantization_check"]
    assert min(check["recall"], check["precision"]) >= 0.95


@pytest.mark.openvino
def test_int8_takes_the_form_beside_the_model(spoton, demo_clip, tmp_path):
    """The same bytes with one stream and with two: what OpenVINO gets wrong for TFLite files."""
    results = []
    for streams in (1, 2):
        out = tmp_path / str(streams)
        spoton("run", "--camera", f"c={demo_clip}", "--out", out, "--limit", "80", "--precision",
               "int8", engine="openvino", timeout=120, expect=0,
               env={"ENGINE_STREAMS": streams, "THREADS": 2, "ENGINE_CACHE_DIR": "off"})
        summary = read_summary(out)
        assert summary["model"]["path"].endswith("person-int8.onnx")
        assert summary["engine"]["precision"] == "int8"
        assert summary["engine"]["inputs"][0]["streams"] == streams
        results.append(Results(out, "c").bytes())
    assert len(results[0]) > 5000
    assert results[0] == results[1]


@pytest.mark.openvino
def test_the_quantization_check_refuses_a_spoiled_scale(spoton, demo_clip, tmp_path):
    words = ("--reference", MODELS / "person.onnx", "--calibrate", demo_clip, "--samples", "60",
             "--input", "640x480")
    spoiled = tmp_path / "spoiled.onnx"
    made = subprocess.run([sys.executable, ROOT / "tests" / "tools" / "spoil_int8.py",
                           MODELS / "person-int8.onnx", spoiled])
    if made.returncode == 77:
        pytest.skip("no onnx package")
    assert made.returncode == 0
    good = spoton("export", MODELS / "person-int8.onnx", *words, "--out", tmp_path / "good",
                  engine="openvino", timeout=180, expect=0)
    assert "quantization check: recall" in good.stdout
    done = spoton("export", spoiled, *words, "--out", tmp_path / "bad", engine="openvino",
                  timeout=180, expect=1)
    assert "quantization check failed" in done.error_lines[0] and "recall" in done.error_lines[0]
    assert not (tmp_path / "bad").exists() and not leftovers(tmp_path)

    # Loaded without a manifest: refused with INT8_REFERENCE, and a log line without it.
    clip = f"c={demo_clip}"
    done = spoton("run", "--camera", clip, "--out", tmp_path / "out", "--limit", "5",
                  engine="openvino", timeout=180, expect=1,
                  env={"YOLO_MODEL_PATH": spoiled, "INT8_REFERENCE": MODELS / "person.onnx"})
    assert "failed the quantization check" in done.error_lines[0]
    done = spoton("run", "--camera", clip, "--out", tmp_path / "out", "--limit", "5",
                  engine="openvino", timeout=180, expect=0, env={"YOLO_MODEL_PATH": spoiled})
    assert "was not checked" in done.stderr
