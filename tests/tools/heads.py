"""Small detectors with random weights, one for each variant of each head type, and a decoder in NumPy.

build(variant) returns an ONNX graph: five strided convolutions, a 1x1 convolution for each of the strides
8, 16 and 32, and the head. decode(variant, output) decodes its output into boxes. None of this code is
shared with the program.
"""
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WIDTH, HEIGHT = 320, 256  # not square, so that swapped axes are detected
STRIDES = (8, 16, 32)
CLASSES = 3
NAMES = ["dog", "person", "bicycle"]
PERSON = 1
BINS = 16
QUERIES = 300
ANCHORS = {8: ((12, 16), (18, 36), (40, 28)), 16: ((36, 75), (76, 55), (60, 110)),
           32: ((110, 90), (120, 160), (200, 180))}

# "as" is the head type that the program must report; the rest describes input and output.
VARIANTS = {
    "v5": {"as": "yolov5"},
    "v5_half": {"as": "yolov5", "half": True},
    "v8": {"as": "yolov8"},
    "v8_rows": {"as": "yolov8", "rows": True},
    "v8_relative_nhwc": {"as": "yolov8", "relative": True, "nhwc": True},
    "end_to_end": {"as": "end-to-end"},
    "end_to_end_relative": {"as": "end-to-end", "relative": True},
    "yolox": {"as": "yolox", "bgr": True, "bytes": True},
    "yolox_decoded": {"as": "yolox", "bgr": True, "bytes": True},
    "rtdetr": {"as": "rtdetr"},
    "rtdetr_pair": {"as": "rtdetr"},
    "rtdetr_topk": {"as": "end-to-end", "relative": True},
}


class Graph:
    """Builds an ONNX graph: each call adds a node and returns the name of its output."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)
        self.nodes, self.initializers = [], []

    def __call__(self, kind, *inputs, outputs=1, **attributes):
        names = [f"t{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def value(self, array):
        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def numbers(self, array):
        return self.value(np.asarray(array, np.float32))

    def indices(self, *array):
        return self.value(np.asarray(array, np.int64))

    def conv(self, x, fan_in, out, size, stride, gain=1.0, bias=0.0):
        deviation = gain * np.sqrt(2 / (fan_in * size * size))
        weights = self.random.normal(0, deviation, (out, fan_in, size, size))
        return self("Conv", x, self.numbers(weights), self.numbers(np.full(out, bias)),
                    strides=[stride] * 2, pads=[size // 2] * 4)

    def concat(self, parts, axis):
        return self("Concat", *parts, axis=axis)

    def slice(self, x, axis, start, end):
        return self("Slice", x, self.indices(start), self.indices(end), self.indices(axis))


def backbone(g, x, white):
    """The feature maps of the three strides, 32 channels each, with mean 0 and deviation near 1."""
    x = g("Relu", g.conv(x, 3, 16, 3, 2, gain=2.0 / white))
    x = g("Relu", g.conv(x, 16, 24, 3, 2))
    maps = []
    for channels in (24, 32, 32):
        x = g("Relu", g.conv(x, channels, 32, 3, 2, gain=1.3))
        mean = g("ReduceMean", x, axes=[2, 3], keepdims=1)
        centred = g("Sub", x, mean)
        spread = g("Sqrt", g("ReduceMean", g("Mul", centred, centred), axes=[1, 2, 3], keepdims=1))
        maps.append(g("Div", centred, g("Add", spread, g.numbers(1e-3))))
    return maps


def grid(stride):
    rows, columns = np.mgrid[:HEIGHT // stride, :WIDTH // stride]
    return np.stack([columns.ravel(), rows.ravel()]).astype(np.float32)  # [2][cells]


def raw_maps(g, maps, channels, bias, gain=0.5):
    """[1][channels][cells] of each stride."""
    parts = []
    for feature, stride in zip(maps, STRIDES):
        x = g.conv(feature, 32, channels, 1, 1, gain=gain)
        x = g("Add", x, g.numbers(np.reshape(bias, (1, channels, 1, 1))))
        cells = (HEIGHT // stride) * (WIDTH // stride)
        parts.append(g("Reshape", x, g.indices(1, channels, cells)))
    return parts


def distances_to_boxes(g, maps):
    """DFL as in YOLOv8: a distribution over 16 distances for each side. -> corners and confidences."""
    corners, confidences = [], []
    bias = np.concatenate([np.tile(np.linspace(1.5, -1.5, BINS), 4), np.full(CLASSES, -1.6)])
    for x, stride in zip(raw_maps(g, maps, 4 * BINS + CLASSES, bias), STRIDES):
        cells = (HEIGHT // stride) * (WIDTH // stride)
        sides = g("Reshape", g.slice(x, 1, 0, 4 * BINS), g.indices(1, 4, BINS, cells))
        weights = g("Softmax", sides, axis=2)
        bins = g.numbers(np.arange(BINS).reshape(1, 1, BINS, 1))
        sides = g("ReduceSum", g("Mul", weights, bins), g.indices(2), keepdims=0)
        centre = g.numbers(grid(stride)[None] + 0.5)
        low = g("Sub", centre, g.slice(sides, 1, 0, 2))
        high = g("Add", centre, g.slice(sides, 1, 2, 4))
        corners.append(g("Mul", g.concat([low, high], 1), g.numbers(stride)))
        confidences.append(g("Sigmoid", g.slice(x, 1, 4 * BINS, 4 * BINS + CLASSES)))
    return g.concat(corners, 2), g.concat(confidences, 2)


def to_unit(g, x, axis, relative):
    shape = [1, 1, 1]
    shape[axis] = 4
    size = np.array([WIDTH, HEIGHT, WIDTH, HEIGHT]).reshape(shape)
    return g("Div", x, g.numbers(size)) if relative else x


def v8(g, maps, what):
    corners, confidences = distances_to_boxes(g, maps)
    low, high = g.slice(corners, 1, 0, 2), g.slice(corners, 1, 2, 4)
    centre = g("Mul", g("Add", low, high), g.numbers(0.5))
    boxes = to_unit(g, g.concat([centre, g("Sub", high, low)], 1), 1, what.get("relative"))
    output = g.concat([boxes, confidences], 1)
    return [g("Transpose", output, perm=[0, 2, 1]) if what.get("rows") else output]


def end_to_end(g, maps, what):
    corners, confidences = distances_to_boxes(g, maps)
    best = g("ReduceMax", confidences, axes=[1], keepdims=0)
    kind = g("ArgMax", confidences, axis=1, keepdims=0)
    values, order = g("TopK", best, g.indices(QUERIES), outputs=2)
    kind = g("Cast", g("GatherElements", kind, order, axis=1), to=TensorProto.FLOAT)
    places = g("Expand", g("Unsqueeze", order, g.indices(2)), g.indices(1, QUERIES, 4))
    rows = g("GatherElements", g("Transpose", corners, perm=[0, 2, 1]), places, axis=1)
    rows = to_unit(g, rows, 2, what.get("relative"))
    last = g.indices(2)
    return [g.concat([rows, g("Unsqueeze", values, last), g("Unsqueeze", kind, last)], 2)]


def v5(g, maps, what):
    """Three anchors per cell, ordered by anchor, then by cell."""
    levels = []
    values = 5 + CLASSES
    bias = np.tile(np.r_[np.zeros(4), -2.0, np.full(CLASSES, 1)], 3)
    for x, stride in zip(raw_maps(g, maps, 3 * values, bias), STRIDES):
        cells = (HEIGHT // stride) * (WIDTH // stride)
        x = g("Sigmoid", g("Reshape", x, g.indices(1, 3, values, cells)))
        twice = g("Mul", x, g.numbers(2))
        offset = g("Add", g.slice(twice, 2, 0, 2), g.numbers(grid(stride)[None, None] - 0.5))
        side = g.slice(twice, 2, 2, 4)
        anchors = np.array(ANCHORS[stride], np.float32).reshape(1, 3, 2, 1)
        x = g.concat([g("Mul", offset, g.numbers(stride)),
                      g("Mul", g("Mul", side, side), g.numbers(anchors)),
                      g.slice(x, 2, 4, values)], 2)
        x = g("Transpose", x, perm=[0, 1, 3, 2])
        levels.append(g("Reshape", x, g.indices(1, 3 * cells, values)))
    return [g.concat(levels, 1)]


def yolox(g, maps, what, decoded=False):
    levels = []
    bias = np.r_[0.3, 0.3, 0.8, 1.2, -1.4, np.full(CLASSES, 1)]
    for x, stride in zip(raw_maps(g, maps, 5 + CLASSES, bias, gain=0.3), STRIDES):
        centre, side = g.slice(x, 1, 0, 2), g.slice(x, 1, 2, 4)
        if decoded:
            centre = g("Mul", g("Add", centre, g.numbers(grid(stride)[None])), g.numbers(stride))
            side = g("Mul", g("Exp", side), g.numbers(stride))
        shares = g("Sigmoid", g.slice(x, 1, 4, 5 + CLASSES))
        levels.append(g("Transpose", g.concat([centre, side, shares], 1), perm=[0, 2, 1]))
    return [g.concat(levels, 1)]


def rtdetr(g, maps, what, pair=False, topk=False):
    """The first 300 cells of stride 16 are the queries: no attention, but the same form of output."""
    bias = np.r_[0, 0, -1.5, -1.0, np.full(CLASSES, -1.6)]
    x = g.slice(raw_maps(g, maps, 4 + CLASSES, bias)[1], 2, 0, QUERIES)
    x = g("Transpose", x, perm=[0, 2, 1])
    boxes, confidences = g("Sigmoid", g.slice(x, 2, 0, 4)), g.slice(x, 2, 4, 4 + CLASSES)
    if topk:  # Ultralytics since 8.4: the highest confidences over all classes, boxes by their centres
        best, order = g("TopK", g("Reshape", g("Sigmoid", confidences), g.indices(1, QUERIES * CLASSES)),
                        g.indices(QUERIES), outputs=2)
        query = g("Div", order, g.indices(CLASSES))
        kind = g("Cast", g("Mod", order, g.indices(CLASSES)), to=TensorProto.FLOAT)
        places = g("Expand", g("Unsqueeze", query, g.indices(2)), g.indices(1, QUERIES, 4))
        last = g.indices(2)
        return [g.concat([g("GatherElements", boxes, places, axis=1), g("Unsqueeze", best, last),
                          g("Unsqueeze", kind, last)], 2)]
    return [confidences, boxes] if pair else [g.concat([boxes, g("Sigmoid", confidences)], 2)]


HEADS = {"v5": v5, "v8": v8, "end": end_to_end, "yolox": yolox, "rtdetr": rtdetr}


def build(variant, seed=1):
    what = VARIANTS[variant]
    g = Graph(seed)
    element = TensorProto.FLOAT16 if what.get("half") else TensorProto.FLOAT
    shape = [1, HEIGHT, WIDTH, 3] if what.get("nhwc") else [1, 3, HEIGHT, WIDTH]
    x = g("Cast", "images", to=TensorProto.FLOAT)
    if what.get("nhwc"):
        x = g("Transpose", x, perm=[0, 3, 1, 2])
    extra = {"yolox_decoded": {"decoded": True}, "rtdetr_pair": {"pair": True},
             "rtdetr_topk": {"topk": True}}.get(variant, {})
    outputs = HEADS[variant.split("_")[0]](g, backbone(g, x, 255 if what.get("bytes") else 1), what, **extra)
    names = ["logits", "pred_boxes"] if len(outputs) == 2 else ["output0"]
    for output, name in zip(outputs, names):
        g.nodes.append(helper.make_node("Cast", [output], [name], to=element))
    graph = helper.make_graph(
        g.nodes, variant, [helper.make_tensor_value_info("images", element, shape)],
        [helper.make_tensor_value_info(name, element, None) for name in names], g.initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    entry = model.metadata_props.add()
    entry.key, entry.value = "names", repr(dict(enumerate(NAMES)))
    return model


def overlap(a, b):
    """IoU of every box of a with every box of b, corners."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = np.prod(np.clip(high - low, 0, None), axis=2)
    area = [np.prod(x[:, 2:] - x[:, :2], axis=1) for x in (a, b)]
    return both / np.maximum(area[0][:, None] + area[1][None] - both, 1e-9)


def suppress(boxes, confidences, most):
    kept = []
    for i in np.argsort(-confidences, kind="stable"):
        if not kept or overlap(boxes[i:i + 1], boxes[kept]).max() <= most:
            kept.append(i)
    return kept


def decode(variant, outputs, lowest=0.25, most=0.7):
    """People in one image: corners in pixels of the input [n][4], and confidences. NMS takes time that grows with the
    square of the boxes, and those below `lowest` suppress none above it."""
    what, kind = VARIANTS[variant], VARIANTS[variant]["as"]
    outputs = [np.asarray(output[0], np.float64) for output in outputs]
    rows = outputs[0]
    size = np.array([WIDTH, HEIGHT] * 2)
    if kind == "end-to-end":
        rows = rows[rows[:, 5] == PERSON]
        boxes = rows[:, :4] * (size if what.get("relative") else 1)
        if variant == "rtdetr_topk":
            boxes = np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], axis=1)
        sure = rows[:, 4] >= lowest
        return boxes[sure], rows[sure, 4]
    if kind == "yolov8" and not what.get("rows"):
        rows = rows.T
    if kind == "rtdetr" and len(outputs) == 2:
        rows = np.concatenate([outputs[1], 1 / (1 + np.exp(-outputs[0]))], axis=1)
    centre, side = rows[:, :2], rows[:, 2:4]
    if variant == "yolox":  # offsets within the cell and log sizes, both in cells
        cells = np.concatenate([grid(s).T for s in STRIDES])
        strides = np.concatenate([np.full((grid(s).shape[1], 1), s) for s in STRIDES])
        centre, side = (centre + cells) * strides, np.exp(side) * strides
    if kind == "rtdetr" or what.get("relative"):
        centre, side = centre * size[:2], side * size[:2]
    confidences = rows[:, 4 + PERSON]
    if kind in ("yolov5", "yolox"):
        confidences = rows[:, 4] * rows[:, 5 + PERSON]
    sure = confidences >= lowest
    boxes, confidences = np.concatenate([centre - side / 2, centre + side / 2], axis=1)[sure], confidences[sure]
    kept = list(range(len(boxes))) if kind == "rtdetr" else suppress(boxes, confidences, most)
    return boxes[kept], confidences[kept]
