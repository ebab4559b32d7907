"""The quantization check of an INT8 model without a manifest at the start of the server: cameras that deliver no frame."""

import contextlib
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

from conftest import Limit, clean_environment
from serving import Serving

pytest.importorskip("onnx")
import tiny  # noqa: E402

pytestmark = pytest.mark.openvino


class Silent:
    """Accepts connections and says nothing."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=80)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/video"
        self.clients, self.most = [], 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client = self.listener.accept()[0]
                client.setblocking(False)
                self.clients.append(client)
                self.most = max(self.most, sum(map(self.is_open, self.clients)))

    @staticmethod
    def is_open(client):
        """What it asks for is read, too."""
        try:
            while data := client.recv(4096):
                pass
            return data != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
        for client in self.clients:
            client.close()


@pytest.fixture
def silent():
    with Silent() as server:
        yield server


def settings(tmp_path, **tested):
    return {"ENGINE": "openvino", "INT8_REFERENCE": tiny.write(tmp_path / "reference.onnx"),
            "YOLO_MODEL_PATH": tiny.write(tmp_path / "tested.onnx", quantized=True, **tested),
            "ENGINE_CACHE_DIR": "off"}


def test_silent_cameras_do_not_switch_it_off(program, tmp_path, silent):
    """All are asked at once; those that give frames are enough."""
    cameras = {f"s{i}": f"{silent.url}/{i}" for i in range(6)}
    cameras |= {"gone": "sim://offline", "a": "sim://walk", "b": "sim://walk?seed=3",
                "c": "sim://walk?seed=4", "d": "sim://walk?seed=5"}
    with Serving(program, tmp_path, cameras, settings(tmp_path)) as server:
        # A camera of a busy machine may be late, too.
        boxes, frames = re.search(r"checked now: recall 1.000 and precision 1.000 of (\d+) boxes on (\d+) frames", server.log()).groups()
        assert int(boxes) == 3 * int(frames) > 0
        assert 7 <= int(re.search(r"; (\d+) of 11 cameras delivered no frame in 4 s", server.log())[1]) < 11
    assert silent.most >= 6


def test_a_bad_model_is_refused_all_the_same(program, tmp_path, silent):
    cameras = [word for name, url in (("s", silent.url), ("a", "sim://walk"), ("b", "sim://walk?seed=3"))
               for word in ("--camera", f"{name}={url}")]
    done = subprocess.run(
        [program, "serve", *cameras], cwd=tmp_path, capture_output=True, text=True,
        env=clean_environment(tmp_path, {**settings(tmp_path, boxes=tiny.BOXES[:2]), "HTTP_PORT": "0"}))
    assert done.returncode == 1 and "failed the quantization check: recall 0.667" in done.stderr, done.stderr


def test_a_signal_ends_it(program, tmp_path, silent):
    with subprocess.Popen(
            [program, "serve", "--camera", f"s={silent.url}"], cwd=tmp_path, text=True,
            env=clean_environment(tmp_path, {**settings(tmp_path), "HTTP_PORT": "0"}),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        limit = Limit(process.pid, 60)
        while not silent.clients and process.poll() is None and not limit.hangs():
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        said, wrong = process.communicate()
    assert process.returncode == 0 and said == "", wrong
    assert "interrupted during the start" in wrong and "used without a quantization check" not in wrong, wrong
