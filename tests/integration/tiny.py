"""Fast models: ONNX graphs that detect the same boxes in every frame.

They stand for the bundled model where a test is about what is chosen and tried, and not about people.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ROWS = 300  # of the head; unused rows have a confidence of 0
BOXES = ((40, 20, 80, 110), (140, 30, 180, 120), (230, 40, 270, 130))  # corners in pixels of the input


def write(path, quantized=False, boxes=BOXES, name="images"):
    """An end-to-end head, [batch][300][6]; `quantized`: through QuantizeLinear, nearly without loss."""
    rows = np.zeros((1, ROWS, 6), np.float32)
    for row, box in enumerate(boxes):
        rows[0, row, :4], rows[0, row, 4] = box, 0.9
    values = {"rows": rows, "nothing": np.zeros(1, np.float32), "axes": np.array([1, 2], np.int64),
              # A quantization step for each column: of px, of the confidence, of the class.
              "scale": np.array([2, 2, 2, 2, 0.01, 1], np.float32), "zero": np.zeros(6, np.uint8)}
    nodes = [helper.make_node("ReduceMean", [name], ["mean"], axes=[1, 2, 3], keepdims=0),
             helper.make_node("Mul", ["mean", "nothing"], ["none"]),
             helper.make_node("Unsqueeze", ["none", "axes"], ["batch"])]
    head = "rows"
    if quantized:
        nodes += [helper.make_node("QuantizeLinear", ["rows", "scale", "zero"], ["small"], axis=2),
                  helper.make_node("DequantizeLinear", ["small", "scale", "zero"], ["again"], axis=2)]
        head = "again"
    nodes.append(helper.make_node("Add", ["batch", head], ["output0"]))
    graph = helper.make_graph(
        nodes, "tiny",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3, "height", "width"])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, ["batch", ROWS, 6])],
        [numpy_helper.from_array(value, key) for key, value in values.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path
