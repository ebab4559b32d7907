#!/usr/bin/env python3
"""Writes a graph of the shape of YOLO26m with random weights: make_yolo26m.py OUT.onnx

For measuring: 20 M parameters, 68 GFLOP an image at 640x640, batch and size free, end-to-end head
[b,300,6]. Blocks and widths are those of the medium size of YOLO11 and YOLO26: C3k2, SPPF, C2PSA,
depthwise class branches, one-to-one head without DFL. Sizes are read from the tensors at run time
(Shape, Gather, Concat), as exporters with free sizes write it. Prints the parameters and the GFLOP.
"""
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CLASSES, BOXES = 80, 300


class Graph:
    def __init__(self):
        self.nodes, self.weights, self.count, self.parameters = [], [], 0, 0
        self.random = np.random.default_rng(1)
        self.flop = 0

    def name(self, kind):
        self.count += 1
        return f"{kind}{self.count}"

    def op(self, kind, inputs, outputs=1, **attributes):
        names = [self.name(kind) for _ in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, **attributes))
        return names[0] if outputs == 1 else names

    def const(self, values):
        name = self.name("c")
        self.weights.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def ints(self, *values):
        return self.const(np.array(values, np.int64))


class Net(Graph):
    """Tensors are (name, channels, stride); the stride gives the size, which the GFLOP count needs."""

    def conv(self, x, out, k=1, s=1, groups=1, act=True):
        name, channels, stride = x
        fan = channels // groups * k * k
        weight = self.random.standard_normal((out, channels // groups, k, k)) * (1.6 / fan) ** 0.5
        self.parameters += weight.size + out
        stride *= s
        self.flop += 2 * weight.size * (640 // stride) ** 2
        y = self.op("Conv", [name, self.const(weight.astype(np.float32)),
                             self.const(np.zeros(out, np.float32))],
                    kernel_shape=[k, k], strides=[s, s], pads=[k // 2] * 4, group=groups)
        if act:
            y = self.op("Mul", [y, self.op("Sigmoid", [y])])
        return y, out, stride

    def add(self, a, b):
        return self.op("Add", [a[0], b[0]]), a[1], a[2]

    def cat(self, *xs):
        return self.op("Concat", [x[0] for x in xs], axis=1), sum(x[1] for x in xs), xs[0][2]

    def split(self, x, *parts):
        names = self.op("Split", [x[0], self.ints(*parts)], outputs=len(parts), axis=1)
        return [(name, part, x[2]) for name, part in zip(names, parts)]

    def bottleneck(self, x, e=0.5, k=(3, 3)):
        y = self.conv(self.conv(x, int(x[1] * e), k[0]), x[1], k[1])
        return self.add(x, y)

    def c3k(self, x, n=2):
        hidden = x[1] // 2
        a = self.conv(x, hidden)
        for _ in range(n):
            a = self.bottleneck(a, 1.0)
        return self.conv(self.cat(a, self.conv(x, hidden)), x[1])

    def c3k2(self, x, out, e=0.5, c3k=True):
        hidden = int(out * e)
        parts = self.split(self.conv(x, 2 * hidden), hidden, hidden)
        parts.append(self.c3k(parts[-1]) if c3k else self.bottleneck(parts[-1]))
        return self.conv(self.cat(*parts), out)

    def sppf(self, x, out):
        parts = [self.conv(x, x[1] // 2)]
        for _ in range(3):
            pool = self.op("MaxPool", [parts[-1][0]], kernel_shape=[5, 5], pads=[2] * 4)
            parts.append((pool, parts[-1][1], x[2]))
        return self.conv(self.cat(*parts), out)

    def size_of(self, x):
        """[b], [h], [w], [h*w] as 1-element tensors."""
        shape = self.op("Shape", [x[0]])
        b, h, w = (self.op("Gather", [shape, self.ints(i)]) for i in (0, 2, 3))
        return b, h, w, self.op("Mul", [h, w])

    def attention(self, x, heads):
        channels = x[1]
        head, key = channels // heads, channels // heads // 2
        qkv = self.conv(x, channels + 2 * key * heads, act=False)
        b, h, w, hw = self.size_of(x)
        shape = self.op("Concat", [b, self.ints(heads), self.ints(2 * key + head), hw], axis=0)
        q, k, v = self.op("Split", [self.op("Reshape", [qkv[0], shape]),
                                    self.ints(key, key, head)], outputs=3, axis=2)
        weights = self.op("MatMul", [self.op("Transpose", [q], perm=[0, 1, 3, 2]), k])
        weights = self.op("Softmax", [self.op("Mul", [weights, self.const(np.float32(key ** -0.5))])],
                          axis=-1)
        y = self.op("MatMul", [v, self.op("Transpose", [weights], perm=[0, 1, 3, 2])])
        back = self.op("Concat", [b, self.ints(channels), h, w], axis=0)
        y = (self.op("Reshape", [y, back]), channels, x[2])
        place = (self.op("Reshape", [v, back]), channels, x[2])
        y = self.add(y, self.conv(place, channels, 3, groups=channels, act=False))
        return self.conv(y, channels, act=False)

    def c2psa(self, x):
        hidden = x[1] // 2
        a, b = self.split(self.conv(x, 2 * hidden), hidden, hidden)
        b = self.add(b, self.attention(b, hidden // 64))
        b = self.add(b, self.conv(self.conv(b, 2 * hidden), hidden, act=False))
        return self.conv(self.cat(a, b), x[1])

    def up(self, x):
        y = self.op("Resize", [x[0], "", self.const(np.array([1, 1, 2, 2], np.float32))],
                    mode="nearest", coordinate_transformation_mode="asymmetric",
                    nearest_mode="floor")
        return y, x[1], x[2] // 2

    def cells(self, x):
        """Centres of the level's cells in pixels, [1, 2, h*w]."""
        _, h, w, _ = self.size_of(x)
        sides = []
        for side in (w, h):
            scalar = self.op("Squeeze", [side])
            steps = self.op("Range", [self.const(np.int64(0)), scalar, self.const(np.int64(1))])
            steps = self.op("Cast", [steps], to=TensorProto.FLOAT)
            steps = self.op("Add", [steps, self.const(np.float32(0.5))])
            sides.append(self.op("Mul", [steps, self.const(np.float32(x[2]))]))
        plane = self.op("Concat", [h, w], axis=0)
        flat = self.op("Concat", [self.ints(1), self.ints(1), self.op("Mul", [h, w])], axis=0)
        xs = self.op("Expand", [self.op("Unsqueeze", [sides[0], self.ints(0)]), plane])
        ys = self.op("Expand", [self.op("Unsqueeze", [sides[1], self.ints(1)]), plane])
        return self.op("Concat", [self.op("Reshape", [xs, flat]), self.op("Reshape", [ys, flat])],
                       axis=1)

    def level(self, x):
        """One level of the head: boxes [b,4,n] in pixels, confidences [b,80,n]."""
        box = self.conv(self.conv(self.conv(x, 64, 3), 64, 3), 4, act=False)
        confidences = self.conv(x, x[1], 3, groups=x[1])
        confidences = self.conv(confidences, 256)
        confidences = self.conv(self.conv(confidences, 256, 3, groups=256), 256)
        confidences = self.conv(confidences, CLASSES, act=False)
        b, _, _, hw = self.size_of(x)
        flat = [self.op("Reshape", [y[0], self.op("Concat", [b, self.ints(y[1]), hw], axis=0)])
                for y in (box, confidences)]
        near, far = self.op("Split", [flat[0], self.ints(2, 2)], outputs=2, axis=1)
        unit = self.const(np.float32(x[2]))
        cells = self.cells(x)
        corners = [self.op("Sub", [cells, self.op("Mul", [self.op("Abs", [near]), unit])]),
                   self.op("Add", [cells, self.op("Mul", [self.op("Abs", [far]), unit])])]
        return self.op("Concat", corners, axis=1), flat[1]

    def head(self, levels):
        both = [self.level(x) for x in levels]
        boxes = self.op("Concat", [pair[0] for pair in both], axis=2)
        confidences = self.op("Sigmoid", [self.op("Concat", [pair[1] for pair in both], axis=2)])
        boxes = self.op("Transpose", [boxes], perm=[0, 2, 1])
        confidences = self.op("Transpose", [confidences], perm=[0, 2, 1])
        best = self.op("ReduceMax", [confidences], axes=[2], keepdims=0)
        _, index = self.op("TopK", [best, self.ints(BOXES)], outputs=2, axis=1)
        wide = self.op("Unsqueeze", [index, self.ints(2)])
        boxes = self.op("GatherElements", [boxes, self.op("Tile", [wide, self.ints(1, 1, 4)])], axis=1)
        confidences = self.op("GatherElements",
                              [confidences, self.op("Tile", [wide, self.ints(1, 1, CLASSES)])], axis=1)
        batch = self.op("Gather", [self.op("Shape", [confidences]), self.ints(0)])
        flat = self.op("Reshape", [confidences, self.op("Concat", [batch, self.ints(-1)], axis=0)])
        confidence, place = self.op("TopK", [flat, self.ints(BOXES)], outputs=2, axis=1)
        classes = self.const(np.int64(CLASSES))
        row = self.op("Div", [place, classes])
        kind = self.op("Sub", [place, self.op("Mul", [row, classes])])
        rows = self.op("Tile", [self.op("Unsqueeze", [row, self.ints(2)]), self.ints(1, 1, 4)])
        boxes = self.op("GatherElements", [boxes, rows], axis=1)
        confidence = self.op("Unsqueeze", [confidence, self.ints(2)])
        kind = self.op("Unsqueeze", [self.op("Cast", [kind], to=TensorProto.FLOAT), self.ints(2)])
        self.nodes.append(helper.make_node("Concat", [boxes, confidence, kind], ["output0"], axis=2))


def build():
    net = Net()
    x = net.conv(("images", 3, 1), 64, 3, 2)
    x = net.c3k2(net.conv(x, 128, 3, 2), 256, 0.25)
    p3 = net.c3k2(net.conv(x, 256, 3, 2), 512, 0.25)
    p4 = net.c3k2(net.conv(p3, 512, 3, 2), 512)
    p5 = net.c3k2(net.conv(p4, 512, 3, 2), 512)
    p5 = net.c2psa(net.sppf(p5, 512))
    n4 = net.c3k2(net.cat(net.up(p5), p4), 512)
    n3 = net.c3k2(net.cat(net.up(n4), p3), 256)
    n4 = net.c3k2(net.cat(net.conv(n3, 256, 3, 2), n4), 512)
    n5 = net.c3k2(net.cat(net.conv(n4, 512, 3, 2), p5), 512)
    net.head([n3, n4, n5])
    return net


def main():
    net = build()
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        net.nodes, "yolo26m", [value("images", TensorProto.FLOAT, ["batch", 3, "height", "width"])],
        [value("output0", TensorProto.FLOAT, ["batch", BOXES, 6])], net.weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, sys.argv[1])
    print(f"{net.parameters / 1e6:.1f} M parameters, {net.flop / 1e9:.1f} GFLOP an image at 640x640")


main()
