#!/usr/bin/env python3
"""Writes small ONNX files for the tests of the model reader: make_models.py FOLDER

Every file computes a constant that is spread over the batch, so that it runs in no time and what it
must give is known. Exits with 77 when the onnx package is not there.
"""
import sys
from pathlib import Path

try:
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper
except ImportError as missing:
    print(f"make_models.py: {missing}")
    sys.exit(77)

SIZE = 128
STRIDES = (8, 16, 32)


def cells():
    """Centres of all cells in pixels: 336 at 128x128."""
    rows = []
    for stride in STRIDES:
        for y in range(SIZE // stride):
            rows += [((x + 0.5) * stride, (y + 0.5) * stride) for x in range(SIZE // stride)]
    return np.array(rows, np.float32)


def grid_head(classes, unit=1.0):
    """[336, 4 + classes]; a box of 16x24 px at cell 9 has score 0.9 in the last class."""
    centres = cells()
    head = np.zeros((len(centres), 4 + classes), np.float32)
    head[:, :2] = centres
    head[:, 2:4] = (16, 24)
    head[:, :4] *= unit
    head[9, 3 + classes] = 0.9
    return head


def end_to_end_head(unit=1.0):
    head = np.zeros((300, 6), np.float32)
    head[:, :4] = (np.array([8, 8, 24, 32], np.float32) + np.arange(300)[:, None] % 30) * unit
    head[0] = (10 * unit, 20 * unit, 30 * unit, 60 * unit, 0.9, 0)
    return head


def save(folder, name, outputs, shape=(1, 3, SIZE, SIZE), element=TensorProto.FLOAT, names=None,
         inputs=1, quantise=False, out_element=TensorProto.FLOAT):
    nodes, initializers, values = [], [], []
    start = "images"
    if element != TensorProto.FLOAT:
        nodes.append(helper.make_node("Cast", ["images"], ["as_float"], to=TensorProto.FLOAT))
        start = "as_float"
    if quantise:
        initializers += [numpy_helper.from_array(np.float32(1 / 255), "step"),
                         numpy_helper.from_array(np.uint8(0), "zero")]
        nodes += [helper.make_node("QuantizeLinear", [start, "step", "zero"], ["small"]),
                  helper.make_node("DequantizeLinear", ["small", "step", "zero"], ["back"])]
        start = "back"
    nodes.append(helper.make_node("ReduceMean", [start], ["mean"], keepdims=1,
                                  axes=list(range(1, len(shape)))))
    initializers.append(numpy_helper.from_array(np.float32(0), "nothing"))
    nodes.append(helper.make_node("Mul", ["mean", "nothing"], ["zeros"]))
    for i, output in enumerate(outputs):
        rank = output.ndim
        initializers += [numpy_helper.from_array(np.array([-1] + [1] * rank, np.int64), f"dims{i}"),
                         numpy_helper.from_array(output[None], f"constant{i}")]
        final = f"output{i}"
        nodes += [helper.make_node("Reshape", ["zeros", f"dims{i}"], [f"spread{i}"]),
                  helper.make_node("Add", [f"spread{i}", f"constant{i}"],
                                   [final if out_element == TensorProto.FLOAT else final + "f"])]
        if out_element != TensorProto.FLOAT:
            nodes.append(helper.make_node("Cast", [final + "f"], [final], to=out_element))
        values.append(helper.make_tensor_value_info(final, out_element, [shape[0], *output.shape]))
    sources = [helper.make_tensor_value_info("images", element, list(shape))]
    for i in range(1, inputs):
        sources.append(helper.make_tensor_value_info(f"more{i}", TensorProto.FLOAT, [1]))
        nodes.append(helper.make_node("Identity", [f"more{i}"], [f"unused{i}"]))
    graph = helper.make_graph(nodes, name, sources, values, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    if names:
        entry = model.metadata_props.add()
        entry.key, entry.value = "names", repr(dict(enumerate(names)))
    onnx.save(model, str(folder / f"{name}.onnx"))


def save_echo(folder, name, shape, element=TensorProto.FLOAT):
    """Gives out, as f32, the very numbers that it was given."""
    nodes = [helper.make_node("Cast", ["images"], ["output0"], to=TensorProto.FLOAT)]
    graph = helper.make_graph(
        nodes, name, [helper.make_tensor_value_info("images", element, list(shape))],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, list(shape))])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(folder / f"{name}.onnx"))


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    relative = 1 / SIZE
    nhwc = (1, SIZE, SIZE, 3)
    save(folder, "v8", [grid_head(2).T], names=["dog", "person"])
    save(folder, "v8_free_batch", [grid_head(1).T], shape=("b", 3, SIZE, SIZE))
    save(folder, "v8_relative", [grid_head(2, relative).T])
    save(folder, "v8_rows", [grid_head(2)])
    save(folder, "v8_rows_relative_nhwc", [grid_head(2, relative)], shape=nhwc)
    save(folder, "v8_half", [grid_head(1).T], element=TensorProto.FLOAT16,
         out_element=TensorProto.FLOAT16)
    save(folder, "v8_u8", [grid_head(1).T], element=TensorProto.UINT8)
    save(folder, "v8_quantised", [grid_head(1).T], quantise=True)
    save(folder, "v8_no_person", [grid_head(2).T], names=["cat", "dog"])
    save(folder, "v8_coco", [grid_head(80).T])
    save(folder, "end_to_end", [end_to_end_head()])
    save(folder, "end_to_end_relative", [end_to_end_head(relative)], names=["bag", "person", "dog"])

    for layout, shape in (("nchw", ("b", 3, "h", "w")), ("nhwc", ("b", "h", "w", 3))):
        save_echo(folder, f"echo_f32_{layout}", shape)
        save_echo(folder, f"echo_f16_{layout}", shape, TensorProto.FLOAT16)
        save_echo(folder, f"echo_u8_{layout}", shape, TensorProto.UINT8)

    raw = np.zeros((336, 6), np.float32)  # offsets and log sizes, as YOLOX gives them
    raw[:, :2] = 0.5
    raw[:, 4:] = 0.01
    save(folder, "no_grid", [raw])
    save(folder, "no_objectness", [np.ones((1008, 85), np.float32)])
    save(folder, "no_classes", [np.full((300, 6), 0.4, np.float32)])
    save(folder, "no_three_anchors", [np.ones((1008, 6), np.float32)])
    save(folder, "no_yolox", [np.ones((336, 85), np.float32)])
    save(folder, "no_two_outputs", [grid_head(1).T, grid_head(1).T])
    save(folder, "no_two_inputs", [grid_head(1).T], inputs=2)
    save(folder, "no_rank", [np.ones(512, np.float32)])
    save(folder, "no_map", [np.ones((85, 8, 8), np.float32)])
    save(folder, "no_picture", [grid_head(1).T], shape=(1, 12))
    save(folder, "no_grey", [grid_head(1).T], shape=(1, 1, SIZE, SIZE))
    save(folder, "no_int_input", [grid_head(1).T], element=TensorProto.INT32)
    save(folder, "no_keypoints", [grid_head(52).T], names=["person"])
    save(folder, "no_values", [np.ones((4, 336), np.float32)])


main()
