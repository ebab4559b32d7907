"""A running Triton, from the nvidia-pytriton wheel: the program and its Python backend, without PyTriton."""

import http.client
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import ROOT, SLOWER, free_port

CONFIG = """name: "person"
backend: "python"
max_batch_size: 8
input [ {{ name: "images", data_type: TYPE_FP32, dims: [ 3, {height}, {width} ] }} ]
output [ {{ name: "output0", data_type: TYPE_FP32, dims: [ 5, -1 ] }} ]
instance_group [ {{ count: 1, kind: KIND_CPU }} ]
"""

# The backend brings its own Python 3.11, which finds the wheels of .venv; its arrays are those of NumPy 1,
# so tensors are exchanged by DLPack.
MODEL = """import sys
sys.path.insert(0, {packages!r})
import numpy
import onnxruntime
import triton_python_backend_utils as utils


class TritonPythonModel:
    def initialize(self, args):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession({model!r}, options)

    def execute(self, requests):
        replies = []
        for request in requests:
            images = numpy.from_dlpack(utils.get_input_tensor_by_name(request, "images"))
            outputs = self.session.run(None, {{self.session.get_inputs()[0].name: images}})
            replies.append(utils.InferenceResponse([utils.Tensor.from_dlpack("output0", outputs[0])]))
        return replies
"""


class Triton:
    """Serves models/person.onnx for one input size. Use as a context."""

    def __init__(self, folder, width, height):
        packages = ROOT / ".venv" / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
        server, libraries = packages / "pytriton" / "tritonserver", packages / "nvidia_pytriton.libs"
        model = ROOT / "models" / "person.onnx"
        stub = server / "python_backend_stubs" / "3.11" / "triton_python_backend_stub"
        if not stub.exists() or sys.version_info[:2] != (3, 11):
            pytest.skip("no nvidia-pytriton in .venv, or another Python than 3.11; run ./setup test")
        if not (packages / "onnxruntime").exists() or not model.exists():
            pytest.skip("no onnxruntime in .venv, or no models/person.onnx")
        backends = folder / "backends"
        shutil.copytree(server / "backends", backends)
        shutil.copy(stub, backends / "python")
        version = folder / "models" / "person" / "1"
        version.mkdir(parents=True)
        (version.parent / "config.pbtxt").write_text(CONFIG.format(width=width, height=height))
        (version / "model.py").write_text(MODEL.format(packages=str(packages), model=str(model)))
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/v2/models/person"
        self.log_path = folder / "triton.log"
        environment = {"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": str(libraries), "TMPDIR": str(folder)}
        with open(self.log_path, "w") as log:
            self.process = subprocess.Popen(
                [server / "bin" / "tritonserver", f"--model-repository={folder / 'models'}",
                 f"--backend-directory={backends}", "--http-address=127.0.0.1", f"--http-port={self.port}",
                 "--allow-grpc=false", "--allow-metrics=false"],
                env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    def is_ready(self):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            connection.request("GET", "/v2/health/ready")
            return connection.getresponse().status == 200
        except OSError:
            return False

    def __enter__(self):
        limit = time.monotonic() + 240 * SLOWER
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > limit:
                self.__exit__()
                pytest.fail("Triton does not start:\n" + self.log_path.read_text()[-3000:])
            time.sleep(0.2)
        return self

    def __exit__(self, *_):
        try:
            os.killpg(self.process.pid, 9)
        except ProcessLookupError:
            pass
        self.process.wait()
