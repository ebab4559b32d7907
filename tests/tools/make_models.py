#!/usr/bin/env python3
"""Writes small ONNX files for the tests of the model reader: make_models.py FOLDER

Every model returns a constant, repeated over the batch, so it runs fast and its output is known. Exits with 77
if the onnx package is not installed.
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
    """[336, 4 + classes]; a box of 16x24 px at cell 9 has confidence 0.9 in the last class."""
    centres = cells()
    head = np.zeros((len(centres), 4 + classes), np.float32)
    head[:, :2] = centres
    head[:, 2:4] = (16, 24)
    head[:, :4] *= unit
    head[9, 3 + classes] = 0.9
    return head


def yolov5_head(classes, unit=1.0):
    """[1008, 5 + classes], three anchors per cell, ordered by anchor; the same box and confidence."""
    grids, start = [], 0
    for stride in STRIDES:
        count = (SIZE // stride) ** 2
        grids += [cells()[start:start + count]] * 3
        start += count
    centres = np.concatenate(grids)
    head = np.zeros((len(centres), 5 + classes), np.float32)
    head[:, :2] = centres
    head[:, 2:4] = (16, 24)
    head[:, :4] *= unit
    head[:, 5:] = 0.99  # only objectness separates the box from the background
    head[256 + 9, 4:] = 0.5
    head[256 + 9, 4] = 0.95
    head[256 + 9, 4 + classes] = 0.9 / 0.95
    return head


def yolox_head(classes):
    """[336, 5 + classes], offsets within the cell and log sizes in cells; the same box and confidence."""
    head = np.zeros((336, 5 + classes), np.float32)
    head[:, :2] = 0.5
    head[:, 5:] = 0.99
    head[9] = 0.5
    head[9, 2:4] = np.log(np.array([16, 24], np.float32) / 8)
    head[9, 4] = 0.95
    head[9, 4 + classes] = 0.9 / 0.95
    return head


def rtdetr_heads(classes, queries=300):
    """[queries, 4] relative boxes and [queries, classes] logits; the same box and confidence."""
    boxes = np.full((queries, 4), 0.25, np.float32)
    confidences = np.full((queries, classes), -5, np.float32)
    boxes[17] = np.array([76, 4, 16, 24], np.float32) / SIZE
    confidences[17, classes - 1] = np.log(0.9 / 0.1)
    return boxes, confidences


def yolov6_head(classes):
    """[336, 5 + classes]: YOLOv6 has no objectness; its column is all ones."""
    head = grid_head(classes)
    return np.concatenate([head[:, :4], np.ones((len(head), 1), np.float32), head[:, 4:]], axis=1)


def corner_rows():
    """[336, 6] x1 y1 x2 y2 confidence class, one row per cell; two rows are of the same object."""
    head = grid_head(1)
    rows = np.zeros((len(head), 6), np.float32)
    rows[:, :2], rows[:, 2:4] = head[:, :2] - (8, 12), head[:, :2] + (8, 12)
    rows[:, 4] = head[:, 4]
    rows[10] = rows[9]
    rows[10, 4] = 0.8
    return rows


def rfdetr_heads(classes):
    """As RF-DETR exports it: the last logit is not a class, and is the highest here."""
    boxes, confidences = rtdetr_heads(classes + 1)
    confidences[17] = -5
    confidences[17, classes - 1] = np.log(0.9 / 0.1)
    confidences[:, classes] = 5
    return boxes, confidences


def end_to_end_head(unit=1.0):
    head = np.zeros((300, 6), np.float32)
    head[:, :4] = (np.array([8, 8, 24, 32], np.float32) + np.arange(300)[:, None] % 30) * unit
    head[0] = (10 * unit, 20 * unit, 30 * unit, 60 * unit, 0.9, 0)
    return head


def save(folder, name, outputs, shape=(1, 3, SIZE, SIZE), element=TensorProto.FLOAT, names=None,
         inputs=1, quantize=False, out_element=TensorProto.FLOAT, divide=None, out_names=None,
         free=False):
    nodes, initializers, values = [], [], []
    start = "images"
    if element != TensorProto.FLOAT:
        nodes.append(helper.make_node("Cast", ["images"], ["as_float"], to=TensorProto.FLOAT))
        start = "as_float"
    if divide:
        initializers.append(numpy_helper.from_array(np.float32(divide), "white"))
        nodes.append(helper.make_node("Div", [start, "white"], ["divided"]))
        start = "divided"
    if quantize:
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
        final = out_names[i] if out_names else f"output{i}"
        nodes += [helper.make_node("Reshape", ["zeros", f"dims{i}"], [f"spread{i}"]),
                  helper.make_node("Add", [f"spread{i}", f"constant{i}"],
                                   [final if out_element == TensorProto.FLOAT else final + "f"])]
        if out_element != TensorProto.FLOAT:
            nodes.append(helper.make_node("Cast", [final + "f"], [final], to=out_element))
        dims = ["b", "n", output.shape[1]] if free else [shape[0], *output.shape]
        values.append(helper.make_tensor_value_info(final, out_element, dims))
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
    """A model that returns its input as f32."""
    nodes = [helper.make_node("Cast", ["images"], ["output0"], to=TensorProto.FLOAT)]
    graph = helper.make_graph(
        nodes, name, [helper.make_tensor_value_info("images", element, list(shape))],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, list(shape))])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(folder / f"{name}.onnx"))


def make_ambiguous_heads(folder):
    """Heads that have the shape of another head type."""
    free = ("b", 3, "h", "w")
    save(folder, "v6", [yolov6_head(80)])
    save(folder, "v6_free", [yolov6_head(80)], shape=free, free=True)
    save(folder, "v6_unnamed", [yolov6_head(2)])
    save(folder, "v6_one", [yolov6_head(1)], names=["person"])
    save(folder, "rows_free", [corner_rows()], shape=free, free=True, names=["person"])
    save(folder, "rows_two", [corner_rows()], shape=free, free=True, names=["person", "dog"])
    save(folder, "rows_three", [corner_rows()], names=["person", "dog", "cat"])
    save(folder, "no_rows_unnamed", [corner_rows()])
    for name, classes in (("rfdetr", 3), ("rfdetr_one", 1)):
        save(folder, name, list(rfdetr_heads(classes)), out_names=["dets", "labels"])
    save(folder, "rfdetr_coco", list(rtdetr_heads(91)), out_names=["dets", "labels"])


def make_other_head_types(folder):
    coco = [f"class{i}" if i else "person" for i in range(80)]
    free = ("b", 3, "h", "w")
    boxes, confidences = rtdetr_heads(2)
    save(folder, "v5", [yolov5_head(80)], names=coco)
    save(folder, "v5_unnamed", [yolov5_head(2)])
    save(folder, "v5_relative", [yolov5_head(2, 1 / SIZE)])
    save(folder, "v5_free", [yolov5_head(80)], shape=free, free=True)
    save(folder, "v5_half", [yolov5_head(2)], element=TensorProto.FLOAT16,
         out_element=TensorProto.FLOAT16)
    save(folder, "v5_maps", [yolov5_head(2)] + [np.zeros((3, s, s, 7), np.float32)
                                                for s in (16, 8, 4)])
    save(folder, "yolox", [yolox_head(80)])
    save(folder, "yolox_raw", [yolox_head(2)])
    save(folder, "yolox_free", [yolox_head(80)], shape=free, free=True)
    decoded = np.concatenate([grid_head(80)[:, :4], yolox_head(80)[:, 4:]], axis=1)
    save(folder, "yolox_decoded", [decoded])
    save(folder, "rtdetr", [confidences, boxes], out_names=["logits", "pred_boxes"])
    save(folder, "rtdetr_turned", [boxes, 1 / (1 + np.exp(-confidences))],
         out_names=["pred_boxes", "scores"])
    one = np.concatenate(rtdetr_heads(80), axis=1)
    one[:, 4:] = 1 / (1 + np.exp(-one[:, 4:]))
    save(folder, "rtdetr_one", [one])
    rows = np.zeros((300, 6), np.float32)
    rows[:, :2], rows[:, 2:4] = cells()[:300] / SIZE, (0.1, 0.2)
    rows[0] = (20 / SIZE, 40 / SIZE, 20 / SIZE, 40 / SIZE, 0.9, 0)  # end_to_end_head()'s box
    save(folder, "end_to_end_centers", [rows])
    save(folder, "end_to_end_free", [end_to_end_head()], shape=free, free=True)


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    relative = 1 / SIZE
    nhwc = (1, SIZE, SIZE, 3)
    save(folder, "v8", [grid_head(2).T], names=["dog", "person"])
    save(folder, "v8_free_batch", [grid_head(1).T], shape=("b", 3, SIZE, SIZE))
    save(folder, "v8_relative", [grid_head(2, relative).T])
    save(folder, "v8_rows", [grid_head(2)], names=["dog", "person"])
    save(folder, "v8_unsure", [grid_head(2)])
    save(folder, "v8_takes_bytes", [grid_head(1).T], divide=255)
    save(folder, "v8_rows_relative_nhwc", [grid_head(2, relative)], shape=nhwc)
    save(folder, "v8_half", [grid_head(1).T], element=TensorProto.FLOAT16,
         out_element=TensorProto.FLOAT16)
    save(folder, "v8_u8", [grid_head(1).T], element=TensorProto.UINT8)
    save(folder, "v8_quantized", [grid_head(1).T], quantize=True)
    save(folder, "v8_no_person", [grid_head(2).T], names=["cat", "dog"])
    save(folder, "v8_coco", [grid_head(80).T])
    save(folder, "end_to_end", [end_to_end_head()])
    save(folder, "end_to_end_relative", [end_to_end_head(relative)], names=["bag", "person", "dog"])
    make_other_head_types(folder)
    make_ambiguous_heads(folder)

    for layout, shape in (("nchw", ("b", 3, "h", "w")), ("nhwc", ("b", "h", "w", 3))):
        save_echo(folder, f"echo_f32_{layout}", shape)
        save_echo(folder, f"echo_f16_{layout}", shape, TensorProto.FLOAT16)
        save_echo(folder, f"echo_u8_{layout}", shape, TensorProto.UINT8)

    far = grid_head(2)
    far[:, :2] *= 3
    save(folder, "no_grid", [far])
    logits = grid_head(2)
    logits[:, 4:] *= 9
    save(folder, "no_sigmoid", [logits.T])
    save(folder, "no_objectness", [np.ones((1008, 85), np.float32)])
    save(folder, "no_classes", [np.full((300, 6), 0.4, np.float32)])
    save(folder, "no_three_anchors", [np.ones((1008, 6), np.float32)])
    save(folder, "no_yolox", [np.full((336, 85), 900, np.float32)])
    save(folder, "no_nanodet", [np.zeros((336, 112), np.float32)])
    save(folder, "no_queries", [np.full((300, 38), 0.5, np.float32)])
    save(folder, "no_masks", [np.full((300, 38), 0.5, np.float32)], names=["person"])
    save(folder, "no_detr", list(rtdetr_heads(92, 100))[::-1], out_names=["logits", "pred_boxes"])
    save(folder, "no_relative", [rtdetr_heads(2)[1], rtdetr_heads(2)[0] * SIZE],
         out_names=["logits", "pred_boxes"])
    save(folder, "no_two_outputs", [grid_head(1).T, grid_head(1).T])
    save(folder, "no_two_inputs", [grid_head(1).T], inputs=2)
    save(folder, "no_rank", [np.ones(512, np.float32)])
    save(folder, "no_map", [np.ones((85, 8, 8), np.float32)])
    save(folder, "no_image", [grid_head(1).T], shape=(1, 12))
    save(folder, "no_grey", [grid_head(1).T], shape=(1, 1, SIZE, SIZE))
    save(folder, "no_int_input", [grid_head(1).T], element=TensorProto.INT32)
    save(folder, "no_keypoints", [grid_head(52).T], names=["person"])
    save(folder, "no_values", [np.ones((4, 336), np.float32)])


main()
