"""tools/optimize-onnx rewrites the graph and keeps its results."""

import subprocess
import sys
from pathlib import Path

import numpy
import pytest

onnx = pytest.importorskip("onnx", reason="needs the onnx package: ./setup test")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent.parent


def convolution(random, name, source, out, channels, kernel=1, **more):
    """A convolution node and its two initialisers."""
    weight = random.standard_normal((channels[1], channels[0], kernel, kernel)).astype("f4")
    bias = random.standard_normal(channels[1]).astype("f4")
    node = helper.make_node("Conv", [source, f"{name}.w", f"{name}.b"], [out], name=name,
                            pads=[kernel // 2] * 4, **more)
    return node, [numpy_helper.from_array(weight, f"{name}.w"), numpy_helper.from_array(bias, f"{name}.b")]


def save(path, width=24, last_kernel=1, also_output=False):
    """deep -> up \\
                   concat -> last; narrow -> concat -> end. `width`: channels of the parts."""
    random = numpy.random.default_rng(1)
    nodes, weights = [], []

    def add(*args, **kw):
        node, values = convolution(random, *args, **kw)
        nodes.append(node)
        weights.extend(values)

    add("side", "image", "side", (3, width))
    add("deep", "image", "deep", (3, 2 * width), strides=[2, 2])
    nodes.append(helper.make_node("Relu", ["deep"], ["deep+"]))
    nodes.append(helper.make_node("Resize", ["deep+", "", "scales"], ["up"], mode="nearest", name="up",
                                  coordinate_transformation_mode="asymmetric", nearest_mode="floor"))
    weights.append(numpy_helper.from_array(numpy.array([1, 1, 2, 2], "f4"), "scales"))
    nodes.append(helper.make_node("Concat", ["up", "side"], ["both"], axis=1, name="both"))
    add("last", "both", "last", (3 * width, 8), kernel=last_kernel)
    nodes.append(helper.make_node("Relu", ["last"], ["last+"]))
    nodes.append(helper.make_node("Concat", ["last", "last+"], ["again"], axis=1, name="again"))
    add("end", "again", "out", (16, 5))
    outputs = [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 5, "h", "w"])]
    if also_output:
        outputs.append(helper.make_tensor_value_info("both", TensorProto.FLOAT, [1, 3 * width, "h", "w"]))
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info(
        "image", TensorProto.FLOAT, [1, 3, "h", "w"])], outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def optimize(*args):
    return subprocess.run([sys.executable, ROOT / "tools/optimize-onnx", *map(str, args)],
                          capture_output=True, text=True, timeout=120)


def run(path, image):
    return ReferenceEvaluator(onnx.load(path)).run(None, {"image": image})[0]


def kinds(path):
    return [node.op_type for node in onnx.load(path).graph.node]


def test_the_rewritten_graph_gives_the_same_numbers(tmp_path):
    before, after = tmp_path / "before.onnx", tmp_path / "after.onnx"
    save(before)
    done = optimize(before, after)
    assert done.returncode == 0, done.stderr
    assert "Concat" in kinds(before) and "Concat" not in kinds(after)
    image = numpy.random.default_rng(2).random((1, 3, 32, 48), dtype="f4")
    numpy.testing.assert_allclose(run(after, image), run(before, image), rtol=1e-4, atol=1e-4)
    # Upsampling now follows the convolution: 8 channels, not 48.
    graph = onnx.load(after).graph
    source = next(n for n in graph.node if n.op_type == "Resize").input[0]
    maker = next(n for n in graph.node if source in n.output)
    weight = next(i for i in graph.initializer if i.name == maker.input[1])
    assert maker.op_type == "Conv" and list(weight.dims) == [8, 48, 1, 1]
    assert optimize(after, tmp_path / "again.onnx").returncode == 1, "there is nothing left to do"
    assert not (tmp_path / "again.onnx").exists()


@pytest.mark.parametrize("kind", [{"last_kernel": 3}, {"also_output": True}])
def test_what_cannot_be_taken_apart_stays(tmp_path, kind):
    before, after = tmp_path / "before.onnx", tmp_path / "after.onnx"
    save(before, **kind)
    done = optimize(before, after)
    assert done.returncode == 0, done.stderr
    assert "Concat" in kinds(after) and "last" not in done.stdout
    image = numpy.random.default_rng(3).random((1, 3, 16, 16), dtype="f4")
    numpy.testing.assert_allclose(run(after, image), run(before, image), rtol=1e-4, atol=1e-4)


def test_the_bundled_model_has_nothing_left_to_rewrite():
    done = optimize(ROOT / "models/person.onnx", "/dev/null")
    assert done.returncode == 1 and "nothing to rewrite" in done.stderr
