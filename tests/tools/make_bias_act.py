#!/usr/bin/env python3
"""Writes graphs of the engine cuda's own operations: make_bias_act.py FOLDER

half.onnx and float.onnx: y = BiasAct(x, bias, a, b, after), z = BiasActF32(y, bias), of [n,h,w,c] with
n, h and w free, and for x not even named. y: SiLU with two summands before it and one after; z: clip to
-1..6. The shape of the sum over z is an output, too. Exits with 77 if the onnx package is not installed.
"""
import sys
from pathlib import Path

try:
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper
except ImportError as missing:
    print(f"make_bias_act.py: {missing}")
    sys.exit(77)

CHANNELS = 24


def save(path, element):
    value = helper.make_tensor_value_info
    dims = ["n", "h", "w", CHANNELS]
    common = {"domain": "spoton", "low": -1.0, "high": 6.0}
    bias = numpy_helper.from_array(np.linspace(-2, 2, CHANNELS, dtype=np.float32), "bias")
    numbers = {"begin": [0] * 4, "zero": [0], "last": [2**62], "rows": [1], "two": [2]}
    constants = [numpy_helper.from_array(np.array(values, np.int64), name)
                 for name, values in numbers.items()]
    nodes = [
        helper.make_node("Shape", ["x"], ["sides"]),
        helper.make_node("Abs", ["sides"], ["end"]),  # shapes are not inferred through it
        helper.make_node("Slice", ["x", "begin", "end"], ["all_of_x"]),
        helper.make_node("BiasAct", ["all_of_x", "bias", "a", "b", "after"], ["y"], activation=1, before=2,
                         **common),
        helper.make_node("BiasActF32", ["y", "bias"], ["z"], activation=2, before=0, **common),
        # Doubles the rows and takes every second one: a size of -1 would leave 0 rows and fail to add.
        helper.make_node("Concat", ["z", "z"], ["twice"], axis=1),
        helper.make_node("Slice", ["twice", "zero", "last", "rows", "two"], ["once"]),
        helper.make_node("Add", ["z", "once"], ["sum"]),
        helper.make_node("Shape", ["sum"], ["size"]),
    ]
    graph = helper.make_graph(
        nodes, "bias_act", [value(name, element, dims) for name in ("x", "a", "b", "after")],
        [value("z", TensorProto.FLOAT, dims), value("size", TensorProto.INT64, [4])], [bias, *constants])
    model = helper.make_model(graph, ir_version=8, opset_imports=[
        helper.make_opsetid("", 17), helper.make_opsetid("spoton", 1)])
    onnx.save(model, str(path))


folder = Path(sys.argv[1])
save(folder / "half.onnx", TensorProto.FLOAT16)
save(folder / "float.onnx", TensorProto.FLOAT)
