"""Network cameras with the habits of real ones: passwords of every form, refused logins, odd MJPEG,
servers that lead elsewhere, hosts that hang."""

import base64
import time

import pytest

from odd_camera import OddCamera
from serving import Serving


@pytest.fixture
def serve(program, tmp_path):
    started = []

    def start(cameras, env=None, args=()):
        started.append(Serving(program, tmp_path, cameras, env, args))
        return started[-1]
    yield start
    for serving in started:
        serving.__exit__()


def basic(password):
    return "Basic " + base64.b64encode(f"admin:{password}".encode()).decode()


def stream_for(password):
    def handle(handler):
        if handler.headers.get("Authorization") == basic(password):
            handler.parts()
        else:
            handler.head(401, WWW_Authenticate='Basic realm="camera"')
    return handle


# --- passwords --------------------------------------------------------------------------------

@pytest.mark.parametrize("typed, password", [
    ("p@ss/w:#%1", "p@ss/w:#%1"), ("a?b#c/d e@f", "a?b#c/d e@f"), ("p%40ss%2Fw", "p@ss/w"),
    ("100%", "100%"), ("12345/6", "12345/6"),
])
def test_passwords_that_nobody_escaped_connect_and_are_not_shown(serve, typed, password):
    with OddCamera({"/live": stream_for(password)}) as camera:
        s = serve({"gate": camera.url("/live", f"admin:{typed}@")}, {"LOG_LEVEL": "debug"},
                  ["--api-token=hidden-token"])
        headers = {"Authorization": "Bearer hidden-token"}
        gate = s.until(lambda: [c for c in s.json("GET", "/api/v2/cameras", headers=headers)[
            "cameras"] if c["state"] == "live"])[0]
        assert gate["url"] == camera.url("/live", "admin:***@")
        shown = (open(f"/proc/{s.process.pid}/cmdline").read() + s.log() + str(gate) +
                 s.request("GET", "/metrics", headers=headers)[2].decode())
        assert typed not in shown and password not in shown
        assert "hidden-token" not in shown
