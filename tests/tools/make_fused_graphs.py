#!/usr/bin/env python3
"""Writes small detectors' graphs for the tests of the cuda engine's fused executor, and what they
compute: make_fused_graphs.py FOLDER

For each NAME: NAME.onnx, and unless the executor must refuse it NAME.in (f32 [1,3,H,W]) and NAME.out
(f32, all outputs one after the other), by ONNX Runtime on the CPU. Blocks are written as
exporters write them, sizes read from the tensors at run time.
"""
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


class Net:
    def __init__(self, height, width, seed):
        self.nodes, self.weights, self.count = [], [], 0
        self.height, self.width = height, width
        self.random = np.random.default_rng(seed)
        self.channels = {"images": 3}

    def op(self, kind, inputs, outputs=1, **attributes):
        names = []
        for _ in range(outputs):
            self.count += 1
            names.append(f"{kind}_{self.count}")
        self.nodes.append(helper.make_node(kind, inputs, names, **attributes))
        return names[0] if outputs == 1 else names

    def const(self, values):
        self.count += 1
        self.weights.append(numpy_helper.from_array(np.asarray(values), f"c_{self.count}"))
        return f"c_{self.count}"

    def ints(self, *values):
        return self.const(np.array(values, np.int64))

    def conv(self, x, out, k=1, s=1, groups=1, act="silu", bias=True, pad=None):
        inner = self.channels[x] // groups
        weight = self.random.standard_normal((out, inner, k, k)) * (1.5 / (inner * k * k)) ** 0.5
        inputs = [x, self.const(weight.astype(np.float32))]
        if bias:
            inputs.append(self.const((self.random.standard_normal(out) * 0.1).astype(np.float32)))
        y = self.op("Conv", inputs, kernel_shape=[k, k], strides=[s, s], group=groups,
                    pads=[k // 2 if pad is None else pad] * 4)
        self.channels[y] = out
        return self.act(y, act)

    def act(self, y, act):
        channels = self.channels[y]
        if act == "silu":
            y = self.op("Mul", [y, self.op("Sigmoid", [y])])
        elif act == "relu6":
            y = self.op("Clip", [y, self.const(np.float32(0)), self.const(np.float32(6))])
        elif act:
            y = self.op(act, [y])
        self.channels[y] = channels
        return y

    def same(self, y, like):
        self.channels[y] = self.channels[like]
        return y

    def add(self, a, b):
        return self.same(self.op("Add", [a, b]), a)

    def cat(self, *parts):
        y = self.op("Concat", list(parts), axis=1)
        self.channels[y] = sum(self.channels[p] for p in parts)
        return y

    def split(self, x, *sizes):
        names = self.op("Split", [x, self.ints(*sizes)], outputs=len(sizes), axis=1)
        for name, size in zip(names, sizes):
            self.channels[name] = size
        return names

    def cut(self, x, start, end):
        y = self.op("Slice", [x, self.ints(start), self.ints(end), self.ints(1)])
        self.channels[y] = min(end, self.channels[x]) - start
        return y

    def up(self, x):
        return self.same(self.op("Resize", [x, "", self.const(np.array([1, 1, 2, 2], np.float32))],
                                 mode="nearest", nearest_mode="floor",
                                 coordinate_transformation_mode="asymmetric"), x)

    def pool(self, x, k=5, s=1, pad=2):
        return self.same(self.op("MaxPool", [x], kernel_shape=[k, k], strides=[s, s],
                                 pads=[pad] * 4), x)

    def size(self, x):
        shape = self.op("Shape", [x])
        return [self.op("Gather", [shape, self.ints(i)]) for i in (0, 2, 3)]

    # ---- blocks ----

    def c2f(self, x, out, act="silu"):
        """YOLOv8's: both halves of the split are parts of the concatenation."""
        half = out // 2
        parts = self.split(self.conv(x, out, act=act), half, half)
        y = self.conv(self.conv(parts[-1], half, 3, act=act), half, 3, act=act)
        parts.append(self.add(parts[-1], y))
        return self.conv(self.cat(*parts), out, act=act)

    def c3(self, x, out, act="silu"):
        """YOLOv5's and C3k: two convolutions of one input, one of which goes on."""
        half = out // 2
        a = self.conv(x, half, act=act)
        for _ in range(2):
            a = self.add(a, self.conv(self.conv(a, half, act=act), half, 3, act=act))
        return self.conv(self.cat(a, self.conv(x, half, act=act)), out, act=act)

    def join(self, parts, out, act):
        """A convolution over a concatenation, as the sum of convolutions of its parts."""
        y = self.conv(parts[0], out, act=None)
        for part in parts[1:]:
            y = self.add(y, self.conv(part, out, act=None, bias=False))
        return self.act(y, act)

    def sppf(self, x):
        parts = [self.conv(x, self.channels[x] // 2)]
        for _ in range(3):
            parts.append(self.pool(parts[-1]))
        return self.conv(self.cat(*parts), self.channels[x])

    def attention(self, x, heads, key=32, value=64):
        channels = self.channels[x]
        qkv = self.conv(x, heads * (2 * key + value), act=None)
        b, h, w = self.size(x)
        area = self.op("Mul", [h, w])
        shape = self.op("Concat", [b, self.ints(heads, 2 * key + value), area], axis=0)
        q, k, v = self.op("Split", [self.op("Reshape", [qkv, shape]), self.ints(key, key, value)],
                          outputs=3, axis=2)
        weights = self.op("MatMul", [self.op("Transpose", [q], perm=[0, 1, 3, 2]), k])
        weights = self.op("Mul", [weights, self.const(np.float32(key ** -0.5))])
        weights = self.op("Softmax", [weights], axis=-1)
        y = self.op("MatMul", [v, self.op("Transpose", [weights], perm=[0, 1, 3, 2])])
        back = self.op("Concat", [b, self.ints(heads * value), h, w], axis=0)
        y, place = self.op("Reshape", [y, back]), self.op("Reshape", [v, back])
        self.channels[y] = self.channels[place] = heads * value
        y = self.add(y, self.conv(place, heads * value, 3, groups=heads * value, act=None))
        return self.conv(y, channels, act=None)

    def c2psa(self, x):
        half = self.channels[x] // 2
        a, b = self.split(self.conv(x, 2 * half), half, half)
        b = self.add(b, self.attention(b, half // 64))
        b = self.add(b, self.conv(self.conv(b, 2 * half), half, act=None))
        return self.conv(self.cat(a, b), 2 * half)

    # ---- heads ----

    def cells(self, x, stride):
        _, h, w = self.size(x)
        sides = []
        for side in (w, h):
            steps = self.op("Range", [self.const(np.int64(0)), self.op("Squeeze", [side]),
                                      self.const(np.int64(1))])
            steps = self.op("Add", [self.op("Cast", [steps], to=TensorProto.FLOAT),
                                    self.const(np.float32(0.5))])
            sides.append(self.op("Mul", [steps, self.const(np.float32(stride))]))
        plane = self.op("Concat", [h, w], axis=0)
        flat = self.op("Concat", [self.ints(1, 1), self.op("Mul", [h, w])], axis=0)
        xs = self.op("Expand", [self.op("Unsqueeze", [sides[0], self.ints(0)]), plane])
        ys = self.op("Expand", [self.op("Unsqueeze", [sides[1], self.ints(1)]), plane])
        return self.op("Concat", [self.op("Reshape", [xs, flat]), self.op("Reshape", [ys, flat])],
                       axis=1)

    def dfl_head(self, levels, classes):
        """YOLOv8's and YOLO11's: each side of a box is a mean over 16 places."""
        both, cells, strides = [], [], []
        for i, x in enumerate(levels):
            box = self.conv(self.conv(x, 64, 3), 64, act=None)
            kind = self.conv(self.conv(x, 80, 3), classes, act=None)
            b, h, w = self.size(x)
            shape = self.op("Concat", [b, self.ints(64 + classes, -1)], axis=0)
            both.append(self.op("Reshape", [self.cat(box, kind), shape]))
            stride = 2 ** (i + 2)
            cells.append(self.cells(x, stride))
            one = self.op("Concat", [self.ints(1, 1), self.op("Mul", [h, w])], axis=0)
            strides.append(self.op("Expand", [self.const(np.float32([[[stride]]])), one]))
        box, kind = self.op("Split", [self.op("Concat", both, axis=2), self.ints(64, classes)],
                            outputs=2, axis=1)
        shape = self.op("Concat", [self.op("Gather", [self.op("Shape", [box]), self.ints(0)]),
                                   self.ints(4, 16, -1)], axis=0)
        box = self.op("Transpose", [self.op("Reshape", [box, shape])], perm=[0, 2, 1, 3])
        box = self.op("Conv", [self.op("Softmax", [box], axis=1),
                               self.const(np.arange(16, dtype=np.float32).reshape(1, 16, 1, 1))])
        box = self.op("Reshape", [box, self.op("Concat", [
            self.op("Gather", [self.op("Shape", [kind]), self.ints(0)]), self.ints(4, -1)], axis=0)])
        near = self.op("Slice", [box, self.ints(0), self.ints(2), self.ints(1)])
        far = self.op("Slice", [box, self.ints(2), self.ints(4), self.ints(1)])
        stride = self.op("Concat", strides, axis=2)
        near, far = (self.op("Mul", [side, stride]) for side in (near, far))
        cell = self.op("Concat", cells, axis=2)
        low, high = self.op("Sub", [cell, near]), self.op("Add", [cell, far])
        middle = self.op("Div", [self.op("Add", [low, high]), self.const(np.float32(2))])
        size = self.op("Sub", [high, low])
        return self.op("Concat", [middle, size, self.op("Sigmoid", [kind])], axis=1)

    def best_head(self, x, classes, best):
        """YOLO26's: the best without suppression. Confidences rise with the place, so none are equal."""
        box = self.conv(self.conv(x, 16, 3), 4, act=None)
        kind = self.conv(self.conv(x, self.channels[x], 3, groups=self.channels[x]), classes, act=None)
        b, h, w = self.size(x)
        area = self.op("Mul", [h, w])
        box, kind = (self.op("Reshape", [y, self.op("Concat", [b, self.ints(n), area], axis=0)])
                     for y, n in ((box, 4), (kind, classes)))
        box = self.op("Transpose", [box], perm=[0, 2, 1])
        kind = self.op("Transpose", [self.op("Sigmoid", [kind])], perm=[0, 2, 1])
        _, index = self.op("TopK", [self.op("ReduceMax", [kind], axes=[2], keepdims=0),
                                    self.ints(best)], outputs=2, axis=1)
        wide = self.op("Unsqueeze", [index, self.ints(2)])
        box = self.op("GatherElements", [box, self.op("Tile", [wide, self.ints(1, 1, 4)])], axis=1)
        kind = self.op("GatherElements", [kind, self.op("Tile", [wide, self.ints(1, 1, classes)])],
                       axis=1)
        flat = self.op("Reshape", [kind, self.op("Concat", [b, self.ints(-1)], axis=0)])
        confidence, place = self.op("TopK", [flat, self.ints(best)], outputs=2, axis=1)
        row = self.op("Div", [place, self.const(np.int64(classes))])
        kind = self.op("Sub", [place, self.op("Mul", [row, self.const(np.int64(classes))])])
        rows = self.op("Tile", [self.op("Unsqueeze", [row, self.ints(2)]), self.ints(1, 1, 4)])
        box = self.op("GatherElements", [box, rows], axis=1)
        kind = self.op("Cast", [kind], to=TensorProto.FLOAT)
        return self.op("Concat", [box, self.op("Unsqueeze", [confidence, self.ints(2)]),
                                  self.op("Unsqueeze", [kind, self.ints(2)])], axis=2)

    def simple_head(self, x):
        y = self.conv(x, 5, act=None)
        b, h, w = self.size(y)
        return self.op("Reshape", [y, self.op("Concat", [b, self.ints(5), self.op("Mul", [h, w])],
                                              axis=0)])

    def finish(self, *outputs):
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes, "net",
            [value("images", TensorProto.FLOAT, ["batch", 3, self.height, self.width])],
            [value(name, TensorProto.FLOAT, None) for name in outputs], self.weights)
        for output in graph.output:
            output.type.tensor_type.ClearField("shape")
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def v8():
    net = Net(64, 96, 1)
    x = net.c2f(net.conv(net.conv("images", 16, 3, 2), 16, 3, 2), 16)
    p = net.sppf(net.c2f(net.conv(x, 32, 3, 2), 32))
    n = net.c2f(net.cat(net.up(p), x), 16)
    return net.finish(net.dfl_head([n, net.c2f(net.cat(net.conv(n, 16, 3, 2), p), 32)], 3))


def v5():
    net = Net(64, 64, 2)
    x = net.c3(net.conv(net.conv("images", 16, 6, 2, pad=2), 32, 3, 2), 32)
    return net.finish(net.simple_head(net.c3(net.conv(x, 32, 3, 2), 32)))


def v26():
    net = Net(64, 64, 3)
    x = net.conv(net.conv(net.conv("images", 24, 3, 2), 32, 3, 2), 128, 3, 2)
    return net.finish(net.best_head(net.c2psa(net.c3(x, 128)), 5, 20))


def sums():
    net = Net(64, 96, 4)
    x = net.conv(net.conv("images", 8, 3, 2, act="relu6"), 32, 3, 2, act="relu6")
    former, latter = net.conv(x, 16, act="relu6"), net.conv(x, 16, act="relu6")
    step = net.add(latter, net.conv(net.conv(latter, 16, 3, act="relu6"), 16, 3, act="relu6"))
    x = net.join([former, latter, step], 32, "relu6")
    return net.finish(net.simple_head(x), net.simple_head(net.conv(x, 16, 3, 2, act="relu6")))


def odd():
    """What is rarer: sums with an activation behind them, slices, strided and wide windows, a value
    in two concatenations, one that is a part of itself."""
    net = Net(64, 64, 5)
    x = net.conv(net.conv("images", 16, 3, 2, act="Relu"), 16, 3, 2, act="Relu")
    y = net.act(net.add(net.conv(x, 16, 3, act=None), net.conv(x, 16, act=None)), "Relu")
    y = net.act(net.add(net.pool(y, 3, 1, 1), x), "silu")
    z = net.conv(net.pool(y, 2, 2, 0), 16, 5, groups=16)
    w = net.conv(y, 16, 3, 2, groups=16)
    a = net.cat(net.cut(z, 8, 16), w, net.cut(z, 0, 8))
    b = net.cat(w, net.conv(a, 8))
    b = net.cat(b, b)
    return net.finish(net.simple_head(net.conv(b, 24, 3)), net.simple_head(net.conv(a, 16, 7, groups=1)))


def refused():
    net = Net(64, 64, 6)
    x = net.conv("images", 16, 3, 2, act="HardSwish")
    yield "refuse_activation", net.finish(net.simple_head(net.conv(x, 16)))
    net = Net(64, 64, 7)
    x = net.conv(net.conv("images", 16, 3, 2), 12)
    yield "refuse_channels", net.finish(net.simple_head(net.conv(x, 16)))
    net = Net(64, 64, 8)
    yield "refuse_last", net.finish(net.conv(net.conv("images", 16, 3, 2), 8, 3, act=None))
    net = Net(64, 64, 9)
    x = net.op("Div", ["images", net.const(np.float32(255))])
    net.channels[x] = 3
    yield "refuse_input", net.finish(net.simple_head(net.conv(x, 16, 3, 2)))
    net = Net(64, 64, 10)
    x = net.conv("images", 16, 3, 2)
    yield "refuse_groups", net.finish(net.simple_head(net.conv(x, 16, 3, groups=2)))


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for make in (v8, v5, v26, sums, odd):
        model, name = make(), make.__name__
        onnx.save(model, folder / f"{name}.onnx")
        dims = model.graph.input[0].type.tensor_type.shape.dim
        pixels = np.random.default_rng(9).random((1, 3, dims[2].dim_value, dims[3].dim_value))
        pixels = pixels.astype(np.float16).astype(np.float32)
        session = onnxruntime.InferenceSession(model.SerializeToString(),
                                               providers=["CPUExecutionProvider"])
        outputs = session.run(None, {"images": pixels})
        pixels.tofile(folder / f"{name}.in")
        np.concatenate([y.astype(np.float32).ravel() for y in outputs]).tofile(folder / f"{name}.out")
    for name, model in refused():
        onnx.save(model, folder / f"{name}.onnx")


main()
