#!/usr/bin/env python3
"""Writes a copy of a quantized ONNX model with one scale wrong: spoil_int8.py IN OUT [FACTOR]

Multiplies the scale of one activation near the input, in QuantizeLinear and DequantizeLinear alike, like a
calibration on the wrong images: all later layers lose accuracy. Exits with 77 if the onnx package is not
installed.
"""
import sys

try:
    import onnx
    from onnx import numpy_helper
except ImportError as missing:
    print(f"spoil_int8.py: {missing}")
    sys.exit(77)

model = onnx.load(sys.argv[1])
factor = float(sys.argv[3]) if len(sys.argv) > 3 else 0.1
quantize = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
NEAR_INPUT = 2  # the stem: 0 is the image itself
name = quantize[NEAR_INPUT].input[1]
for tensor in model.graph.initializer:
    if tensor.name == name:
        tensor.CopyFrom(numpy_helper.from_array(
            (numpy_helper.to_array(tensor) * factor).astype("float32"), name))
        break
else:
    sys.exit(f"spoil_int8.py: no scale {name}")
onnx.save(model, sys.argv[2])
