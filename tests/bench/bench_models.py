#!/usr/bin/env python3
"""Milliseconds an image: input x batch x precision, by spoton's engines and by the runtimes alone.

    bench_models.py [--seconds 0.6] [--shapes 640x640 640x384] [--batches 1 4 16] [--threads 2]

The engines run through build/tests/bench/bench_detector ("engine": the compiled model on what lies in its
memory, several requests in flight, as the pipeline has it). Beside them, in the same run: ONNX Runtime's
Python (f32, and the INT8 file as it is) and OpenVINO's benchmark_app with its throughput hint, which also
keeps several requests in flight. INT8 is models/person-int8.onnx. Cells are ms an image, the reciprocal of
images a second. Have nothing else running; all of it takes about four minutes with the defaults.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODELS = {"int8": ROOT / "models" / "person-int8.onnx"}
FLOAT = ROOT / "models" / "person.onnx"
PRECISIONS = {"openvino": ("f32", "bf16", "int8"), "onnxruntime": ("f32", "int8"),
              "ONNX Runtime, Python": ("f32", "int8"), "benchmark_app": ("f32", "bf16", "int8")}


def spoton(engine, model, width, height, batch, precision, arguments):
    environment = dict(os.environ, SPOTON_ENGINE_DIR=str(ROOT / "build" / "engines"))
    done = subprocess.run([ROOT / "build/tests/bench/bench_detector", engine, model, str(width), str(height),
                           str(batch), str(arguments.seconds), precision], env=environment, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode != 0:
        return done.stderr.strip().splitlines()[-1]
    return json.loads(done.stdout)["engine_steady_ms"] / batch


def onnx_runtime(model, width, height, batch, precision, arguments):
    import numpy
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = arguments.threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    data = {session.get_inputs()[0].name:
            numpy.random.default_rng(1).random((batch, 3, height, width), numpy.float32)}
    session.run(None, data)
    count, start = 0, time.perf_counter()
    while time.perf_counter() < start + arguments.seconds or count < 2:
        session.run(None, data)
        count += 1
    return (time.perf_counter() - start) / count / batch * 1e3


def benchmark_app(model, width, height, batch, precision, arguments):
    words = ["-m", str(model), "-d", "CPU", "-hint", "throughput", "-t", str(max(1, round(arguments.seconds))),
             "-shape", f"[{batch},3,{height},{width}]"]
    # INT8: the layers that are not quantized run in bf16 where the CPU has it, as in spoton.
    if precision != "int8":
        words += ["-infer_precision", precision]
    done = subprocess.run([Path(sys.executable).with_name("benchmark_app"), *words], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    found = re.search(r"Throughput:\s+([\d.]+) FPS", done.stdout)
    return 1e3 / float(found[1]) if found else (done.stdout.strip().splitlines() or ["?"])[-1]


def measure(name, model, *rest):
    if name in ("openvino", "onnxruntime"):
        return spoton(name, model, *rest)
    return (onnx_runtime if name.startswith("ONNX") else benchmark_app)(model, *rest)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.6)
    parser.add_argument("--shapes", nargs="+", default=["640x640", "640x384"])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 4, 16])
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    print("| by | precision | " + " | ".join(f"{shape}, batch {batch}" for shape in arguments.shapes
                                             for batch in arguments.batches) + " |")
    print("|---|---|" + "---|" * (len(arguments.shapes) * len(arguments.batches)))
    for name, precisions in PRECISIONS.items():
        for precision in precisions:
            cells = []
            for shape in arguments.shapes:
                width, height = (int(side) for side in shape.split("x"))
                for batch in arguments.batches:
                    value = measure(name, MODELS.get(precision, FLOAT), width, height, batch, precision,
                                    arguments)
                    cells.append(value if isinstance(value, str) else f"{value:.2f}")
            print(f"| {name} | {precision} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
