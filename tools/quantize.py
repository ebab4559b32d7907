#!/usr/bin/env python3
"""Post-training quantization to INT8 with NNCF; `spoton export --precision int8` calls it.

    quantize.py MODEL FRAMES.npy OUT       OUT ends in .onnx (f32 ONNX models) or .xml (any other)
    quantize.py --worst MODEL QUANTISED FRAMES.npy    the layers with the largest error, as JSON

FRAMES.npy: u8 [n,3,height,width] or [n,height,width,3], letterboxed RGB in the model's layout, before
--scale (the divisor of pixel values) and --swap-red-blue are applied. Needs `./setup nncf`.

The last convolutions of the head and everything after them stay in float: they compute pixels and
confidences, whose range is that of the whole image. Quantized, boxes right of and below the largest
image of the calibration set were wrong: AP50 0.19 instead of 0.90 at 640x640 after calibration at
640x384.
"""
import argparse
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TQDM_DISABLE", "1")
CONVOLUTIONS = {"Conv", "ConvTranspose", "Gemm", "MatMul",
                "Convolution", "GroupConvolution", "ConvolutionBackpropData"}
# They read only a tensor's shape: nodes before them are not part of the head.
SHAPES = {"Shape", "ShapeOf"}
OPSET_MIN = 13  # quantization by channel
COMPARED_FRAMES = 8


def prepare(frames, options, element):
    """Yields the images one by one in the model's format, in random order."""
    import numpy as np
    for index in np.random.default_rng(0).permutation(len(frames)):
        image = frames[index:index + 1]
        if options.swap_red_blue:
            channels = 1 if image.shape[1] == 3 else 3
            image = np.flip(image, channels)
        if element == np.uint8:
            yield np.ascontiguousarray(image)
        else:
            yield (image.astype(np.float32) / np.float32(options.scale)).astype(element)


def tail(starts, inputs_of, kind_of, name_of):
    """Names of the nodes from the outputs back to the first convolutions, these included."""
    seen, waiting = set(), list(starts)
    while waiting:
        node = waiting.pop()
        name = name_of(node)
        if name in seen or kind_of(node) in SHAPES | {"Constant", "Parameter"}:
            continue
        seen.add(name)
        if kind_of(node) not in CONVOLUTIONS:
            waiting += inputs_of(node)
    return sorted(seen)


def read_onnx(path):
    import onnx
    model = onnx.load(str(path))
    opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")),
                default=0)
    if opset < OPSET_MIN:
        model = onnx.version_converter.convert_version(model, 17)
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"
    return model


def is_float_onnx(path):
    if path.suffix != ".onnx":
        return False
    import onnx
    graph = onnx.load(str(path)).graph
    return all(tensor.data_type != onnx.TensorProto.FLOAT16 for tensor in graph.initializer)


def quantize_onnx(options, frames):
    import nncf
    import numpy as np
    import onnx
    model = read_onnx(options.model)
    producer = {output: node for node in model.graph.node for output in node.output}
    ignored = tail((producer[output.name] for output in model.graph.output),
                   lambda node: [producer[name] for name in node.input if name in producer],
                   lambda node: node.op_type, lambda node: node.name)
    known = {tensor.name for tensor in model.graph.initializer}
    source = next(entry for entry in model.graph.input if entry.name not in known)
    element = onnx.helper.tensor_dtype_to_np_dtype(source.type.tensor_type.elem_type)
    images = [{source.name: image} for image in prepare(frames, options, np.dtype(element))]
    quantized = nncf.quantize(model, nncf.Dataset(images), subset_size=len(frames),
                              ignored_scope=nncf.IgnoredScope(names=ignored, validate=False))
    onnx.checker.check_model(quantized)
    onnx.save(quantized, str(options.out))
    return len(ignored)


def quantize_ir(options, frames):
    import nncf
    import openvino
    model = openvino.Core().read_model(str(options.model))
    element = model.input(0).get_element_type().to_dtype()
    results = [result.input(0).get_source_output().get_node() for result in model.get_results()]
    ignored = tail(results,
                   lambda node: [entry.get_source_output().get_node() for entry in node.inputs()],
                   lambda node: node.get_type_name(), lambda node: node.get_friendly_name())
    images = list(prepare(frames, options, element))
    quantized = nncf.quantize(model, nncf.Dataset(images), subset_size=len(frames),
                              ignored_scope=nncf.IgnoredScope(names=ignored, validate=False))
    openvino.save_model(quantized, str(options.out), compress_to_fp16=False)
    return len(ignored)


class OnnxLayers:
    """The convolutions of an ONNX file and what they give, by ONNX Runtime without optimisations."""

    def __init__(self, path):
        self.model = read_onnx(path)
        graph = self.model.graph
        self.producer = {output: node for node in graph.node for output in node.output}
        self.nodes = {node.name: node for node in graph.node if node.op_type in CONVOLUTIONS}
        known = {tensor.name for tensor in graph.initializer}
        self.source = next(entry for entry in graph.input if entry.name not in known)

    def element(self):
        import numpy as np
        import onnx
        return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(
            self.source.type.tensor_type.elem_type))

    def kind_of(self, node):
        return node.op_type

    def name_of(self, node):
        return node.name

    def inputs_of(self, node):
        return [self.producer[name] for name in node.input if name in self.producer]

    def run(self, names, images):
        """Yields the values of all layers, image by image."""
        import onnx
        import onnxruntime
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        wanted = [self.nodes[name].output[0] for name in names]
        for name in wanted:
            model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
        settings = onnxruntime.SessionOptions()
        settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(model.SerializeToString(), settings)
        for image in images:
            yield session.run(wanted, {self.source.name: image})


class IrLayers:
    """The same of any file that OpenVINO reads. One layer at a time: with the results of all as
    outputs, OpenVINO 2026.2 gives wrong ones for layers whose memory it uses again."""

    def __init__(self, path):
        import openvino
        self.core, self.path = openvino.Core(), str(path)
        self.model = self.core.read_model(self.path)
        self.nodes = {node.get_friendly_name(): node for node in self.model.get_ordered_ops()
                      if node.get_type_name() in CONVOLUTIONS}

    def element(self):
        return self.model.input(0).get_element_type().to_dtype()

    def kind_of(self, node):
        return node.get_type_name()

    def name_of(self, node):
        return node.get_friendly_name()

    def inputs_of(self, node):
        return [entry.get_source_output().get_node() for entry in node.inputs()]

    def run(self, names, images):
        images = list(images)
        rows = [[] for _ in images]
        for name in names:
            model = self.core.read_model(self.path)
            node = next(op for op in model.get_ops() if op.get_friendly_name() == name)
            count = len(model.outputs)
            model.add_outputs(node.output(0))
            compiled = self.core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
            for row, image in zip(rows, images):
                row.append(compiled(image)[count].copy())
        yield from rows


def nearest_before(layers, node):
    """The convolutions whose results reach a node without passing another one."""
    found, seen, waiting = set(), set(), layers.inputs_of(node)
    while waiting:
        other = waiting.pop()
        name = layers.name_of(other)
        if name in seen:
            continue
        seen.add(name)
        if layers.kind_of(other) in CONVOLUTIONS:
            found.add(name)
        elif layers.kind_of(other) not in SHAPES:
            waiting += layers.inputs_of(other)
    return found


def worst_layers(options, frames):
    """Each convolution's relative error, and how much of it was not there before."""
    import numpy as np
    onnx_pair = options.model.suffix == options.out.suffix == ".onnx"
    kind = OnnxLayers if onnx_pair else IrLayers
    plain, quantized = kind(options.model), kind(options.out)
    names = [name for name in plain.nodes if name in quantized.nodes]
    images = list(prepare(frames[:COMPARED_FRAMES], options, plain.element()))
    apart, whole = np.zeros(len(names)), np.full(len(names), 1e-12)
    for rows in zip(plain.run(names, images), quantized.run(names, images)):
        for index, (a, b) in enumerate(zip(*rows)):
            apart[index] += np.square(a - b, dtype=np.float64).sum()
            whole[index] += np.square(a, dtype=np.float64).sum()
    error = dict(zip(names, np.sqrt(apart / whole).tolist()))
    before = {name: nearest_before(plain, plain.nodes[name]) for name in names}
    layers = [{"name": name, "error": round(error[name], 4),
               "added": round(error[name] - max((error[b] for b in before[name] if b in error),
                                                default=0.0), 4)} for name in names]
    return sorted(layers, key=lambda layer: -layer["added"])[:5]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("first", type=Path, metavar="FRAMES.npy | QUANTISED")
    parser.add_argument("second", type=Path, metavar="OUT | FRAMES.npy")
    parser.add_argument("--worst", action="store_true")
    parser.add_argument("--scale", type=float, default=255)
    parser.add_argument("--swap-red-blue", action="store_true")
    options = parser.parse_args()
    result, sys.stdout = sys.stdout, sys.stderr  # NNCF prints its progress
    try:
        import numpy as np
        import openvino  # noqa: F401
        if not options.worst:
            import logging
            import nncf
            nncf.set_log_level(logging.ERROR)
    except ImportError as missing:
        sys.exit(f"quantize.py: {missing}; run `./setup nncf`")
    if options.worst:
        options.out = options.first
        layers = worst_layers(options, np.load(options.second, mmap_mode="r"))
        print(json.dumps({"layers": layers}), file=result)
        return
    frames = np.load(options.first, mmap_mode="r")
    options.out = options.second
    write = quantize_onnx if options.out.suffix == ".onnx" else quantize_ir
    in_float = write(options, frames)
    print(json.dumps({"file": options.out.name, "nncf": nncf.__version__, "frames": len(frames),
                      "nodes_in_float": in_float}), file=result)


main()
