"""A model that detects nothing because of its input format: the log names the settings to try."""

import pytest

from checks import read_summary

onnx = pytest.importorskip("onnx")
numpy = pytest.importorskip("numpy")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

pytestmark = pytest.mark.openvino
SIDE = 128


def write_model(path, condition):
    """A YOLOv8 head that detects a person at cell 9 if `condition` (nodes from "images" to the boolean
    "sees" [1,1,1]) is true, and else nothing."""
    centres = numpy.concatenate([[((x + 0.5) * s, (y + 0.5) * s) for y in range(SIDE // s) for x in range(SIDE // s)]
                                 for s in (8, 16, 32)]).astype(numpy.float32)
    boxes = numpy.zeros((1, 5, len(centres)), numpy.float32)
    boxes[0, :2], boxes[0, 2:4] = centres.T, [[16], [24]]
    person = numpy.zeros_like(boxes)
    person[0, 4, 9] = 0.9
    constants = {"boxes": boxes, "person": person, "one": numpy.array([1, 1, 1], numpy.int64),
                 "limit": numpy.float32(2), "some": numpy.float32(0.2)}
    nodes = [*condition, helper.make_node("Cast", ["sees"], ["factor"], to=TensorProto.FLOAT),
             helper.make_node("Mul", ["person", "factor"], ["seen"]),
             helper.make_node("Add", ["boxes", "seen"], ["output0"])]
    graph = helper.make_graph(
        nodes, "m", [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, boxes.shape)],
        [numpy_helper.from_array(numpy.asarray(value), name) for name, value in constants.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    entry = model.metadata_props.add()
    entry.key, entry.value = "names", "{0: 'person'}"
    onnx.save(model, str(path))
    return path


def wants_bytes():
    """True if values are above 2, so not in 0..1."""
    return [helper.make_node("ReduceMax", ["images"], ["most"], axes=[1, 2, 3], keepdims=0),
            helper.make_node("Reshape", ["most", "one"], ["most1"]),
            helper.make_node("Greater", ["most1", "limit"], ["sees"])]


def wants_blue_first():
    """True if the first channel is brighter than the last, in a blue frame."""
    return [helper.make_node("Split", ["images"], ["first", "middle", "last"], axis=1),
            helper.make_node("Sub", ["first", "last"], ["more"]),
            helper.make_node("ReduceMean", ["more"], ["mean"], axes=[1, 2, 3], keepdims=0),
            helper.make_node("Reshape", ["mean", "one"], ["mean1"]),
            helper.make_node("Greater", ["mean1", "some"], ["sees"])]


def wants_what_is_not():
    return [helper.make_node("ReduceMax", ["images"], ["most"], axes=[1, 2, 3], keepdims=0),
            helper.make_node("Reshape", ["most", "one"], ["most1"]),
            helper.make_node("Greater", ["limit", "most1"], ["less"]),
            helper.make_node("Not", ["less"], ["not_less"]),
            helper.make_node("And", ["less", "not_less"], ["sees"])]


@pytest.fixture(scope="module")
def blue(tmp_path_factory):
    from PIL import Image
    path = tmp_path_factory.mktemp("blue") / "blue.png"
    frame = numpy.zeros((SIDE, SIDE, 3), numpy.uint8)
    frame[:, :, 2] = 250
    Image.fromarray(frame).save(path)
    return path


@pytest.mark.parametrize("condition, setting", [
    (wants_bytes, "MODEL_INPUT_RANGE=0..255"), (wants_blue_first, "MODEL_INPUT_COLOR=bgr"),
    (wants_what_is_not, None)], ids=["range", "colour", "neither"])
def test_another_reading_is_named(spoton, blue, tmp_path, condition, setting):
    env = {"YOLO_MODEL_PATH": write_model(tmp_path / "m.onnx", condition()), "PRECISION": "f32"}
    done = spoton("run", f"--camera=c={blue}", "--out", tmp_path / "a", env=env, engine="openvino", expect=0)
    assert read_summary(tmp_path / "a")["cameras"][0]["rows"] == 0
    warnings = [line for line in done.stderr.splitlines() if "no detections so far" in line]
    doctor = spoton("doctor", f"--camera=c={blue}", env=env, engine="openvino")
    if not setting:
        assert warnings == [] and "no detections so far" not in doctor.stdout
        return
    assert len(warnings) == 1
    assert f"it has 1 in 1 of 1 frames: try {setting}" in warnings[0]
    assert "PROBLEM: model m.onnx: no detections so far" in doctor.stdout and setting in doctor.stdout
    name, _, value = setting.partition("=")
    done = spoton("run", f"--camera=c={blue}", "--out", tmp_path / "b", env={**env, name: value},
                  engine="openvino", expect=0)
    assert read_summary(tmp_path / "b")["cameras"][0]["rows"] == 1
    assert "no detections so far" not in done.stderr
