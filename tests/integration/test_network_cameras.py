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


# --- refused logins ---------------------------------------------------------------------------

def states(s):
    return {c["name"]: c["state"] for c in s.get("/api/v2/cameras")["cameras"]}


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_login_is_not_repeated_for_a_minute(serve, status):
    """A camera locks out who logs in wrongly too often."""
    def refuse(handler):
        handler.head(status, WWW_Authenticate='Basic realm="camera"')

    with OddCamera({"/live": refuse}) as camera:
        s = serve({"gate": camera.url("/live", "admin:wrong@")})
        s.until(lambda: states(s)["gate"] == "unauthorized")
        asked = len(camera.asked)
        assert 1 <= asked <= 2  # the challenge, and the answer to it
        time.sleep(4)  # a camera that is offline is tried five times meanwhile
        assert len(camera.asked) == asked
        gate = s.get("/api/v2/cameras/gate")
        assert str(status) in gate["reason"] and "password" in gate["reason"]
        ready = s.request("GET", "/readyz")
        assert ready[0] == 503 and b"unauthorized" in ready[2]
        assert b'spoton_camera_state{camera="gate",state="unauthorized"} 1' in s.request(
            "GET", "/metrics")[2]
        assert s.log().count("gate is unauthorized") == 1
        # One with another password is a new camera, and is tried at once.
        s.request("DELETE", "/api/v2/cameras/gate")
        camera.paths["/live"] = stream_for("right")
        s.json("POST", "/api/v2/cameras",
               {"name": "gate2", "url": camera.url("/live", "admin:right@")}, 201)
        s.until_live("gate2")
