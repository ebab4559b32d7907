"""Every head type end to end: a model with random weights, images, and the boxes that NumPy decodes.

The graphs are those of tests/tools/heads.py. For the expected boxes, ONNX Runtime's Python package runs
them and NumPy decodes their outputs.
"""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from conftest import ROOT

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
sys.path.insert(0, str(ROOT / "tests" / "tools"))
import heads  # noqa: E402
import onnx  # noqa: E402

pytestmark = pytest.mark.openvino

GREY = 114
# Pixels differ by the rounding of colours, and NMS may keep either of two nearly equal boxes.
CONFIDENCE, IOU, CONFIDENCE_APART, ALIKE = 0.3, 0.9, 0.02, 0.95

# Two of them are letterboxed.
SIZES = {"whole": (heads.WIDTH, heads.HEIGHT), "narrow": (160, heads.HEIGHT), "low": (heads.WIDTH, 128)}


def make_frame(seed, width, height):
    """Blocks of colour with grain, at a resolution that JPEG with 4:2:0 preserves."""
    random = np.random.default_rng(seed)
    coarse = random.integers(15, 241, (height // 16, width // 16, 3)).repeat(16, 0).repeat(16, 1)
    grain = random.integers(-15, 16, (height // 2, width // 2, 1)).repeat(2, 0).repeat(2, 1)
    return Image.fromarray(np.clip(coarse + grain, 0, 255).astype(np.uint8))


def read_pixels(path, width, height):
    """The decoded JPEG, full range BT.601, with each chroma sample repeated for its 2x2 pixels."""
    done = subprocess.run(["ffmpeg", "-v", "error", "-i", path, "-f", "rawvideo", "-pix_fmt",
                           "yuvj420p", "-"], stdout=subprocess.PIPE, check=True)
    data = np.frombuffer(done.stdout, np.uint8).astype(np.float64)
    assert len(data) == width * height * 3 // 2
    luma = data[:width * height].reshape(height, width)
    blue, red = (plane.reshape(height // 2, width // 2).repeat(2, 0).repeat(2, 1) - 128
                 for plane in np.split(data[width * height:], 2))
    pixels = np.stack([luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red,
                       luma + 1.772 * blue], axis=2)
    return np.clip(np.round(pixels), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    folder = tmp_path_factory.mktemp("frames")
    made = {}
    for seed, (name, size) in enumerate(SIZES.items()):
        make_frame(seed, *size).save(folder / f"{name}.jpg", quality=92, subsampling="4:2:0")
        made[name] = read_pixels(folder / f"{name}.jpg", *size)
        (folder / f"{name}.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    return folder, made


def expected(variant, session, frame, swap=False):
    """Boxes in pixels of the frame, and confidences."""
    what = heads.VARIANTS[variant]
    height, width = frame.shape[:2]
    left, top = (heads.WIDTH - width) // 2, (heads.HEIGHT - height) // 2
    image = np.full((heads.HEIGHT, heads.WIDTH, 3), GREY, np.uint8)
    image[top:top + height, left:left + width] = frame
    if what.get("bgr", False) != swap:
        image = image[:, :, ::-1]
    image = image[None].astype(np.float32) / (1 if what.get("bytes") else 255)
    if not what.get("nhwc"):
        image = image.transpose(0, 3, 1, 2)
    if what.get("half"):
        image = image.astype(np.float16)
    boxes, confidences = heads.decode(variant, session.run(None, {"images": image}))
    boxes = np.clip(boxes - [left, top, left, top], 0, [width, height] * 2)
    there = np.all(boxes[:, 2:] > boxes[:, :2], axis=1)
    return boxes[there], confidences[there]


def share_found(boxes, confidences, among, among_confidences):
    """Share of the boxes with a confidence of at least CONFIDENCE that have a match in the others."""
    sure = confidences >= CONFIDENCE
    if not len(among):
        return 0.0
    alike = (heads.overlap(boxes[sure], among) >= IOU) & (
        abs(confidences[sure, None] - among_confidences[None]) <= CONFIDENCE_APART)
    return alike.any(axis=1).mean()


def read_boxes(path, name):
    rows = [line.split() for line in path.read_text().splitlines()]
    rows = np.array([row[1:] for row in rows if row[0] == name], float).reshape(-1, 5)
    return rows[:, :4], rows[:, 4]


def engines(spoton):
    listed = spoton("doctor", engine=None, expect=0).stdout
    return ["openvino"] + (["onnxruntime"] if "onnxruntime  1" in listed else [])


@pytest.mark.parametrize("variant", heads.VARIANTS)
def test_boxes_are_those_of_numpy(spoton, frames, tmp_path, variant):
    folder, made = frames
    model = heads.build(variant)
    onnx.save(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(model.SerializeToString())
    wanted = {name: expected(variant, session, frame) for name, frame in made.items()}
    swapped = {name: expected(variant, session, frame, swap=True)
               for name, frame in made.items()}
    for engine in engines(spoton):
        done = spoton("eval", tmp_path / "model.onnx", folder, "--json", "-o", tmp_path / "boxes",
                      engine=engine, expect=0, env={"PRECISION": "f32"})
        assert json.loads(done.stdout)["head_type"] == heads.VARIANTS[variant]["as"]
        for name in SIZES:
            boxes, confidences = wanted[name]
            found, found_confidences = read_boxes(tmp_path / "boxes", name)
            count = int((confidences >= CONFIDENCE).sum())
            recall = share_found(boxes, confidences, found, found_confidences)
            precision = share_found(found, found_confidences, boxes, confidences)
            says = f"{variant} {engine} {name}: {count} boxes, {recall:.3f}, {precision:.3f}"
            print(says)
            assert count >= 15 and recall >= ALIKE and precision >= ALIKE, says
            # The test detects swapped red and blue.
            assert share_found(found, found_confidences, *swapped[name]) < 0.5, says


def test_nanodet_is_refused_by_its_name(spoton, frames, tmp_path):
    """80 classes, then 8 bins for each of four sides, on the grids of four strides."""
    cells = sum((heads.WIDTH // s) * (heads.HEIGHT // s) for s in (8, 16, 32, 64))
    g = heads.Graph(3)
    x = g("Relu", g.conv("images", 3, 112, 3, 64))
    x = g("Reshape", g("GlobalAveragePool", x), g.indices(1, 1, 112))
    output = g("Sigmoid", g("Expand", x, g.indices(1, cells, 112)))
    g.nodes.append(onnx.helper.make_node("Identity", [output], ["output"]))
    float32 = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        g.nodes, "nanodet",
        [onnx.helper.make_tensor_value_info("images", float32, [1, 3, heads.HEIGHT, heads.WIDTH])],
        [onnx.helper.make_tensor_value_info("output", float32, [1, cells, 112])], g.initializers)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)],
                                     ir_version=8), tmp_path / "nanodet.onnx")
    done = spoton("eval", tmp_path / "nanodet.onnx", frames[0], engine="openvino", expect=1)
    assert "NanoDet" in done.error_lines[-1] and "supported:" in done.error_lines[-1]
