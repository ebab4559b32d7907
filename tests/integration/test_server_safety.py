"""Clients that are broken, lazy or hostile, on the real program: it goes on, forgets them, and its
cameras keep their rate."""

import socket

import pytest

from serving import Serving

pytestmark = [pytest.mark.sanitize, pytest.mark.threads]
SIM = "sim://walk?fps=10"


@pytest.fixture
def serve(program, tmp_path):
    started = []

    def start(cameras=None, env=None, args=()):
        started.append(Serving(program, tmp_path, {"c1": SIM} if cameras is None else cameras,
                               env, args))
        return started[-1]
    yield start
    for serving in started:
        serving.__exit__()


def get(path, more=""):
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{more}\r\n".encode()


@pytest.mark.parametrize("end", ["close", "half"])
def test_viewers_of_a_silent_camera_are_seen_to_leave(serve, end):
    s = serve({"off": "sim://offline"})
    paths = ["/api/v2/cameras/off/stream.mjpg", "/api/v1/stream/none/off"]
    viewers = [s.raw(get(path)) for path in paths]
    s.until(lambda: s.get("/api/v2/stats")["viewers"]["mjpeg"] == 2)
    for viewer in viewers:
        viewer.close() if end == "close" else viewer.shutdown(socket.SHUT_WR)
    s.until(lambda: s.get("/api/v2/stats")["viewers"]["mjpeg"] == 0)
    for viewer in viewers:
        viewer.close()
