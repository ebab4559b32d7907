"""tools/cuda-model rewrites the graph with operations that only the GPU has, and keeps the results.

The onnx package's reference implementation computes them, with layouts transposed around convolutions."""

import os
import subprocess
import sys
from pathlib import Path

import numpy
import pytest

onnx = pytest.importorskip("onnx", reason="needs the onnx package: ./setup test")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402
from onnx.reference.op_run import OpRun  # noqa: E402
from onnx.reference.ops.op_conv import Conv as PlainConv  # noqa: E402
from onnx.reference.ops.op_max_pool import MaxPool as PlainMaxPool  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent.parent
FIRST, LAST = (0, 3, 1, 2), (0, 2, 3, 1)


class Conv(PlainConv):
    op_domain = "com.ms.internal.nhwc"

    def _run(self, x, w, *more, **attributes):
        y, = super()._run(x.transpose(FIRST).astype("f4"), w.astype("f4"), *more, **attributes)
        return (y.transpose(LAST).astype(x.dtype),)


class MaxPool(PlainMaxPool):
    op_domain = "com.ms.internal.nhwc"

    def _run(self, x, *more, **attributes):
        y, *_ = super()._run(x.transpose(FIRST), *more, **attributes)
        return (y.transpose(LAST),)


class BiasAct(OpRun):
    op_domain = "spoton"

    def _run(self, x, bias, *summands, activation=0, before=0, low=0.0, high=0.0):
        y = x.astype("f4") + bias
        for summand in summands[:before]:
            assert summand.shape == x.shape and summand.dtype == x.dtype
            y = y + summand
        if activation == 1:
            y = y / (1 + numpy.exp(-y))
        elif activation == 2:
            y = y.clip(low, high)
        for summand in summands[before:]:
            assert summand.shape == x.shape and summand.dtype == x.dtype
            y = y + summand
        return (y.astype(x.dtype),)


class BiasActF32(BiasAct):
    def _run(self, x, *inputs, **attributes):
        y, = super()._run(x.astype("f4"), inputs[0], *(s.astype("f4") for s in inputs[1:]),
                          **attributes)
        return (y.astype("f4"),)


class Net:
    """The building blocks of detectors, with sizes computed within the graph."""

    def __init__(self):
        self.random, self.nodes, self.weights = numpy.random.default_rng(3), [], []

    def op(self, kind, inputs, outputs=1, **attributes):
        names = [f"{kind}{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, **attributes))
        return names[0] if outputs == 1 else names

    def const(self, values):
        name = f"c{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(numpy.asarray(values), name))
        return name

    def conv(self, x, channels, kernel=1, act="silu", bias=True, **more):
        depth = channels[0] // more.get("group", 1)
        weight = self.random.standard_normal((channels[1], depth, kernel, kernel))
        weight *= (2 / depth / kernel ** 2) ** 0.5
        inputs = [x, self.const(weight.astype("f4"))]
        if bias:
            inputs.append(self.const(self.random.standard_normal(channels[1]).astype("f4")))
        y = self.op("Conv", inputs, pads=[kernel // 2] * 4, **more)
        if act == "silu":
            y = self.op("Mul", [self.op("Sigmoid", [y]), y])
        elif act == "clip":
            y = self.op("Clip", [y, self.const(numpy.float32(0)), self.const(numpy.float32(6))])
        return y

    def half_of(self, x, second):
        """A Slice of channels, with the number of channels read from x."""
        shape = self.op("Shape", [x])
        count = self.op("Gather", [shape, self.const(numpy.array([1]))], axis=0)
        half = self.op("Div", [count, self.const(numpy.array([2]))])
        start, end = (half, count) if second else (self.const(numpy.array([0])), half)
        return self.op("Slice", [x, start, end, self.const(numpy.array([1]))])


def save(path):
    net = Net()
    x = net.conv("images", (3, 8), 3, strides=[2, 2])
    # Split, a shortcut, and parts that are put together as they were
    whole = net.conv(x, (8, 16))
    a, b = net.op("Split", [whole, net.const(numpy.array([8, 8]))], outputs=2, axis=1)
    c = net.op("Add", [b, net.conv(net.conv(b, (8, 8), 3), (8, 8), 3)])
    x = net.conv(net.op("Concat", [a, b, c], axis=1), (24, 16), act="clip")
    # convolutions whose sum is what others make of a Concat; a second user of a convolution
    parts = [net.half_of(x, False), net.half_of(x, True)]
    total = net.op("Add", [net.conv(parts[0], (8, 12), act=""),
                           net.conv(parts[1], (8, 12), act="", bias=False)])
    x = net.op("Clip", [total, net.const(numpy.float32(-1))])
    shared = net.conv(x, (12, 12), 3, act="", group=12)
    x = net.op("Mul", [shared, net.op("Tanh", [shared])])
    pool = net.op("MaxPool", [net.conv(x, (12, 8), 3, strides=[2, 2])], kernel_shape=[5, 5], pads=[2] * 4)
    up = net.op("Resize", [pool, "", net.const(numpy.array([1, 1, 2, 2], "f4"))], mode="nearest",
                coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    x = net.op("Add", [net.conv(up, (8, 12), act=""), x])
    # a head, and a matrix in the middle of things
    size = net.op("Shape", [x])
    flat = net.op("Reshape", [x, net.const(numpy.array([0, 12, -1]))])
    flat = net.op("MatMul", [net.const(numpy.eye(12, dtype="f4")[::-1].copy()), flat])
    x = net.op("Reshape", [flat, size])
    boxes = net.conv(x, (12, 4), 3, act="")
    boxes = net.op("Mul", [net.op("Softplus", [boxes]), net.const(numpy.float32(8))])
    confidences = net.op("Sigmoid", [net.conv(x, (12, 2), act="")])
    both = net.op("Concat", [boxes, confidences], axis=1)
    net.nodes.append(helper.make_node("Reshape", [both, net.const(numpy.array([0, 6, -1]))], ["out"]))
    graph = helper.make_graph(
        net.nodes, "net",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 6, "cells"])], net.weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def convert(*args):
    return subprocess.run([sys.executable, ROOT / "tools/cuda-model", *map(str, args)],
                          capture_output=True, text=True, timeout=120)


def run(path, image):
    model = onnx.load(path)
    ours = [Conv, MaxPool, BiasAct, BiasActF32] if len(model.opset_import) > 1 else []
    return ReferenceEvaluator(model, new_ops=ours).run(None, {"images": image})[0]


@pytest.fixture
def models(tmp_path):
    save(tmp_path / "plain.onnx")
    return tmp_path


def images():
    return numpy.random.default_rng(5).integers(0, 256, (2, 32, 48, 3)).astype("f4")


def kinds(path):
    return [node.op_type for node in onnx.load(path).graph.node]


def test_numbers_stay(models):
    done = convert(models / "plain.onnx", models / "cuda.onnx", "--f32")
    assert done.returncode == 0, done.stderr
    image = images() / 255
    plain = run(models / "plain.onnx", image.transpose(FIRST))
    cuda = run(models / "cuda.onnx", image)
    assert plain.shape == cuda.shape and numpy.abs(plain - cuda).max() < 1e-4
    assert numpy.abs(plain).max() > 1


def test_what_follows_a_convolution_is_one_operation(models):
    assert convert(models / "plain.onnx", models / "cuda.onnx", "--f32").returncode == 0
    found = kinds(models / "cuda.onnx")
    convs = kinds(models / "plain.onnx").count("Conv")
    assert found.count("Conv") == convs and found.count("BiasAct") == convs - 1  # two are a sum
    # the one Sigmoid of the confidences; no sum, no limit, no copy of parts left
    assert found.count("Sigmoid") == 1 and not {"Add", "Clip", "Split"} & set(found)
    # Around the matrix, and where the head begins.
    assert found.count("Transpose") <= 4
    summands = [len(node.input) - 2 for node in onnx.load(models / "cuda.onnx").graph.node
                if node.op_type == "BiasAct"]
    assert sum(summands) == 3


def test_f16_takes_bytes_and_gives_f32(models):
    done = convert(models / "plain.onnx", models / "cuda.onnx")
    assert done.returncode == 0, done.stderr
    model = onnx.load(models / "cuda.onnx")
    value = model.graph.input[0]
    assert value.type.tensor_type.elem_type == TensorProto.FLOAT16
    assert [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim] == ["n", "h", "w", 3]
    # the last convolution of 1x1 is f32 itself, the other's sum is
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    wide = [n for n in model.graph.node if n.op_type == "Conv" and
            types[n.input[1]] == TensorProto.FLOAT]
    assert len(wide) == 1 and kinds(models / "cuda.onnx").count("BiasActF32") == 1
    plain = run(models / "plain.onnx", (images() / 255).transpose(FIRST))
    cuda = run(models / "cuda.onnx", images().astype("f2"))
    assert cuda.dtype == numpy.float32
    assert numpy.abs(plain - cuda).max() < 0.02 * numpy.abs(plain).max()


def test_what_it_cannot_read_is_said(models):
    (models / "text.onnx").write_text("no model")
    done = convert(models / "text.onnx", models / "out.onnx")
    assert done.returncode == 1 and "text.onnx" in done.stderr and "Traceback" not in done.stderr
    assert not (models / "out.onnx").exists()


def test_other_engines_refuse_it(models):
    program = os.environ.get("SPOTON_BIN")
    if not program or not list(Path(program).parent.glob("engines/*onnxruntime.so")):
        pytest.skip("needs the onnxruntime engine")
    assert convert(models / "plain.onnx", models / "cuda.onnx").returncode == 0
    done = subprocess.run([program, "run", "--camera", "a=sim://walk?seconds=1", "--limit", "1", "--engine", "onnxruntime",
                           "--yolo-model-path", str(models / "cuda.onnx"), "--out",
                           str(models / "out")], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and "ENGINE=cuda" in done.stderr, done.stderr
