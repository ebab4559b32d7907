"""Five published models compared with the bundled one, on frames of the demo clip.

The reference for each model are the boxes on which at least three of the other five models agree (IoU
0.5), so no model takes part in its own reference.
"""

import subprocess

import numpy as np
import pytest

from conftest import ROOT

pytestmark = pytest.mark.openvino

PEERS = {"yolov5n.onnx": "yolov5", "yolov8n_int8.tflite": "yolov8", "yolo11n_int8.tflite": "yolov8",
         "yolo26n_int8.tflite": "end-to-end", "yolox_nano.onnx": "yolox"}
OURS = "person.onnx"
CONFIDENCE, IOU, VOTES, EVERY = 0.3, 0.5, 3, 40
# Confidences of different models are not comparable: each is judged at its best threshold.
THRESHOLDS = np.arange(0.2, 0.61, 0.05)
# A wrong channel order, range or layout costs far more: see test_a_wrong_input_format_is_detected.
WORSE = 0.10


@pytest.fixture(scope="module")
def frames(demo_clip, tmp_path_factory):
    folder = tmp_path_factory.mktemp("frames")
    subprocess.run(["ffmpeg", "-v", "error", "-i", demo_clip, "-vf", f"select=not(mod(n\\,{EVERY}))",
                    "-fps_mode", "passthrough", "-qscale:v", "2", folder / "%03d.jpg"], check=True)
    names = sorted(path.stem for path in folder.glob("*.jpg"))
    assert len(names) == 20
    for name in names:
        (folder / f"{name}.txt").write_text("")
    return folder, names


def find(spoton, model, folder, boxes, env=None):
    done = spoton("eval", model, folder, "-o", boxes, engine="openvino", timeout=240, expect=0,
                  env={"ENGINE_CACHE_DIR": "off", **(env or {})})
    found = {}
    for line in boxes.read_text().splitlines():
        name, *values = line.split()
        if float(values[4]) >= THRESHOLDS[0]:
            found.setdefault(name, []).append([float(value) for value in values])
    return {name: np.array(rows) for name, rows in found.items()}, done.stdout


def overlap(a, b):
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = np.prod(np.clip(high - low, 0, None), axis=2)
    area = [np.prod(x[:, 2:] - x[:, :2], axis=1) for x in (a, b)]
    return both / np.maximum(area[0][:, None] + area[1][None] - both, 1e-9)


def boxes_of(found, name, threshold):
    rows = found.get(name, np.zeros((0, 5)))
    return rows[rows[:, 4] >= threshold, :4]


def people(others, name):
    """Boxes in this frame on which at least VOTES of `others` agree, one per person."""
    lists = [boxes_of(found, name, CONFIDENCE) for found in others]
    seen = []
    for boxes in lists:
        for box in boxes:
            votes = sum(len(rows) > 0 and overlap(box[None], rows).max() >= IOU for rows in lists)
            if votes >= VOTES and (not seen or overlap(box[None], np.array(seen)).max() < IOU):
                seen.append(box)
    return np.array(seen).reshape(-1, 4)


def matches(boxes, people):
    """Number of greedy one-to-one matches."""
    table = overlap(boxes, people) if len(boxes) and len(people) else np.zeros((0, 0))
    hits = 0
    while table.size and table.max() >= IOU:
        i, k = np.unravel_index(table.argmax(), table.shape)
        table[i], table[:, k] = 0, 0
        hits += 1
    return hits


def judge(found, others, names):
    """The best F1 over all thresholds, with its recall, precision and threshold."""
    persons = {name: people(others, name) for name in names}
    count = sum(len(boxes) for boxes in persons.values())
    assert count >= 80
    best = (0, 0, 0, 0)
    for threshold in THRESHOLDS:
        boxes = {name: boxes_of(found, name, threshold) for name in names}
        hits = sum(matches(boxes[name], persons[name]) for name in names)
        total = sum(len(rows) for rows in boxes.values())
        best = max(best, (2 * hits / (count + total), hits / count, hits / max(total, 1), threshold))
    return best


@pytest.fixture(scope="module")
def all_found(program, shared, frames, tmp_path_factory):
    from conftest import Spoton
    tmp = tmp_path_factory.mktemp("peers")
    runner, found = Spoton(program, tmp), {}
    for model in [OURS, *PEERS]:
        path = ROOT / "models" / model if model == OURS else shared / "models" / "peers" / model
        if not path.exists():
            pytest.skip(f"no {path}")
        found[model], text = find(runner, path, frames[0], tmp / "boxes")
        assert model == OURS or PEERS[model] in text
    return found


@pytest.mark.parametrize("model", PEERS)
def test_a_peer_finds_the_people_as_ours_does(all_found, frames, model):
    result = {}
    for one in (OURS, model):
        others = [found for name, found in all_found.items() if name != one]
        result[one] = judge(all_found[one], others, frames[1])
    for one, (f1, recall, precision, threshold) in result.items():
        print(f"{one}: F1 {f1:.3f}, recall {recall:.3f}, precision {precision:.3f} at {threshold:.2f}")
    assert result[model][0] >= result[OURS][0] - WORSE and result[OURS][0] > 0.9


@pytest.mark.parametrize("model, env", [("yolox_nano.onnx", {"MODEL_INPUT_RANGE": "0..1"}),
                                        ("yolov5n.onnx", {"MODEL_INPUT_RANGE": "0..255"})])
def test_a_wrong_input_format_is_detected(spoton, shared, all_found, frames, tmp_path, model, env):
    others = [found for name, found in all_found.items() if name != model]
    found, _ = find(spoton, shared / "models" / "peers" / model, frames[0], tmp_path / "boxes", env)
    assert judge(found, others, frames[1])[0] < 0.5


def test_fastestdet_is_refused(spoton, shared, frames):
    done = spoton("eval", shared / "models" / "peers" / "FastestDet.onnx", frames[0],
                  engine="openvino", expect=1)
    assert "[1,85,22,22]" in done.error_lines[-1] and "FastestDet" in done.error_lines[-1]
