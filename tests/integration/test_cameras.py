"""Cameras over the network and as devices: HTTP MJPEG, HTTP video, V4L2, a short RTSP soak."""

import ctypes.util
import http.server
import io
import itertools
import json
import os
import subprocess
import sys
import threading
import time

import pytest
from PIL import Image

from conftest import ROOT
from serving import Serving


class Camera(http.server.BaseHTTPRequestHandler):
    """/mjpeg.cgi: a multipart stream of JPEGs, 20 frames/s, with basic authentication; /live.ts: an
    endless transport stream; /clip.mp4: a file. The server's attributes choose them."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        try:
            {"/mjpeg.cgi": self.mjpeg, "/live.ts": self.live, "/clip.mp4": self.clip}.get(
                self.path.partition("?")[0], self.nothing)()
        except (BrokenPipeError, ConnectionResetError):
            pass
        self.close_connection = True

    def nothing(self):
        self.send_error(404)

    def begin(self, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Connection", "close")
        self.end_headers()

    def mjpeg(self):
        if self.headers.get("Authorization") != "Basic dXNlcjpzZWNyZXQ=":  # user:secret
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.begin("multipart/x-mixed-replace; boundary=--next")
        for number in itertools.count():
            images = self.server.served["jpegs"]
            data = images[number % len(images)]
            if self.server.served["hang_up"].is_set():
                return
            self.wfile.write(b"----next\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
                             % len(data) + data + b"\r\n")
            time.sleep(0.05)

    def live(self):
        self.begin("video/mp2t")
        with subprocess.Popen(self.server.served["live"], stdout=subprocess.PIPE) as coder:
            try:
                while not self.server.served["hang_up"].is_set():
                    data = coder.stdout.read1(65536)
                    if not data:
                        break
                    self.wfile.write(data)
            finally:
                coder.kill()

    def clip(self):
        data = self.server.served["clip"].read_bytes()
        self.send_response(200)
        self.send_header("Content-Type", "video/mp4")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def camera():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Camera)
    server.daemon_threads = True
    server.served = {"hang_up": threading.Event(), "jpegs": [], "live": [], "clip": None}
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    server.base = f"http://127.0.0.1:{server.server_port}"
    yield server
    server.served["hang_up"].set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def serve(program, tmp_path):
    started = []

    def start(cameras, env=None, args=()):
        started.append(Serving(program, tmp_path, cameras, {"STALL_TIMEOUT_MS": "60000",  # a busy machine is late
                                                            **(env or {})}, args))
        return started[-1]
    yield start
    for serving in started:
        serving.__exit__()


def jpegs(width, height, count=10):
    """Images of one person who walks to the right."""
    images = []
    for number in range(count):
        image, data = Image.new("RGB", (width, height), (48, 48, 48)), io.BytesIO()
        image.paste((255, 255, 255), (20 + 4 * number, height // 4, 60 + 4 * number, height // 4 * 3))
        image.save(data, "JPEG", quality=90)
        images.append(data.getvalue())
    return images


def is_live(s, name, least=10):
    camera = s.get(f"/api/v2/cameras/{name}")
    return camera if camera["state"] == "live" and camera["ledger"]["inferred"] >= least else None


@pytest.mark.sanitize
def test_http_mjpeg(serve, camera):
    camera.served["jpegs"] = jpegs(320, 240)
    url = camera.base.replace("//", "//user:secret@") + "/mjpeg.cgi?res=1"
    begin = time.monotonic()
    s = serve({"c1": url})
    c1 = s.until(lambda: is_live(s, "c1"))
    assert (c1["width"], c1["height"], c1["codec"]) == (320, 240, "mjpeg")
    s.until(lambda: len(s.get("/api/v2/cameras/c1/tracks")["tracks"]) == 1)
    # 20 frames/s as measured, not the 25 frames/s that a reader without timestamps assumes.
    time.sleep(2)
    received = s.get("/api/v2/cameras/c1")["ledger"]["received"]
    assert received < 22 * (time.monotonic() - begin)
    # A new frame size within the stream.
    camera.served["jpegs"] = jpegs(640, 360)
    s.until(lambda: s.get("/api/v2/cameras/c1")["width"] == 640)
    s.until(lambda: len(s.get("/api/v2/cameras/c1/tracks")["tracks"]) == 1)
    assert s.get("/api/v2/cameras/c1")["reconnects"] == 0
    # It disconnects, is offline, and returns.
    camera.served["hang_up"].set()
    s.until(lambda: s.get("/api/v2/cameras/c1")["state"] == "offline")
    camera.served["hang_up"].clear()
    seen = s.get("/api/v2/cameras/c1")["ledger"]["inferred"]
    c1 = s.until(lambda: is_live(s, "c1", seen + 10))
    assert c1["reconnects"] >= 1
    assert s.get("/api/v2/ledger")["balanced"] is True
    assert "secret" not in s.log()


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
def test_http_video_without_an_end(serve, camera, codec):
    more = ["-preset", "ultrafast", "-tune", "zerolatency"] if codec == "libx264" else []
    camera.served["live"] = [
        "ffmpeg", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25",
        "-c:v", codec, *more, "-g", "10", "-pix_fmt", "yuv420p", "-f", "mpegts", "-"]
    s = serve({"c1": camera.base + "/live.ts"})
    c1 = s.until(lambda: is_live(s, "c1", 30), 30)
    assert (c1["width"], c1["height"]) == (320, 240)
    camera.served["hang_up"].set()
    s.until(lambda: s.get("/api/v2/cameras/c1")["state"] == "offline")
    camera.served["hang_up"].clear()
    seen = s.get("/api/v2/cameras/c1")["ledger"]["inferred"]
    s.until(lambda: is_live(s, "c1", seen + 20), 30)
    assert s.get("/api/v2/ledger")["balanced"] is True


def test_http_file_is_played_in_real_time(serve, camera, make_clip):
    camera.served["clip"] = make_clip(frames=20)
    s = serve({"c1": camera.base + "/clip.mp4"})
    s.until(lambda: is_live(s, "c1", 25), 30)  # its second run
    c1 = s.get("/api/v2/cameras/c1")
    assert c1["reconnects"] == 0 and c1["camera_fps"] < 20


@pytest.mark.sanitize
def test_missing_http_cameras(serve, camera):
    s = serve({"c1": camera.base + "/nothing", "c2": "http://127.0.0.1:1/mjpeg.cgi",
               "c3": camera.base.replace("//", "//user:wrong1@") + "/mjpeg.cgi"})

    def reason(name):
        found = s.get(f"/api/v2/cameras/{name}")
        return found["reason"] if found["state"] in ("offline", "unauthorized") else None
    assert "not found" in s.until(lambda: reason("c1"))
    assert "refused" in s.until(lambda: reason("c2"))
    assert "password" in s.until(lambda: reason("c3"))
    assert "wrong1" not in s.log() + json.dumps(s.get("/api/v2/cameras"))


@pytest.mark.sanitize
def test_devices(serve):
    """Without a camera: a missing device and a device that is not a camera report errors; REST
    accepts listed devices only."""
    s = serve({"gone": "/dev/video93", "null": "/dev/null"},
              {"V4L2_DEVICES": "/dev/video94,/dev/zero"})

    def reason(name):
        found = s.get(f"/api/v2/cameras/{name}")
        return found["reason"] if found["state"] == "offline" else None
    assert s.until(lambda: reason("gone")) == "/dev/video93: no such file; check the path"
    assert "/dev/null: a device, but not a video device" in s.until(lambda: reason("null"))
    for name, url in (("a", "/dev/video94"), ("b", "v4l2:///dev/video94"), ("c", "/dev/zero")):
        s.json("POST", "/api/v2/cameras", {"name": name, "url": url}, 201)
    assert s.until(lambda: reason("a")) == s.until(lambda: reason("b"))
    assert "no such file" in reason("a")
    s.until(lambda: reason("c"))
    s.json("POST", "/api/v2/cameras", {"name": "d", "url": "/dev/video93"}, 400)


def test_without_the_library_of_devices(spoton, make_clip, tmp_path):
    """An empty file is found before the library: devices fail, and nothing else does."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / ctypes.util.find_library("avdevice")).touch()
    environment = {"LD_LIBRARY_PATH": str(tmp_path / "lib")}
    done = spoton("run", "--camera", "null=/dev/null", "--camera", f"file={make_clip('h264', frames=10)}", "--out", tmp_path / "out",
                  env=environment, expect=1)
    assert "/dev/null: FFmpeg's library of video devices does not load (" in done.stderr and "file too short" in done.stderr
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    frames = {camera["name"]: camera["ledger"]["received"] for camera in summary["cameras"]}
    assert frames == {"null": 0, "file": 10}


def test_rtsp_for_a_while():
    """A short soak test: the RTSP server is killed once."""
    done = subprocess.run(
        [sys.executable, ROOT / "tests/bench/soak_rtsp.py", "--minutes", "0.12",
         "--restarts", "1", "--cameras", "2", "--down", "0.5", "--engine", "fake", "--stream", "h264",
         "--program", os.environ.get("SPOTON_BIN", ROOT / "build" / "spoton")],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode == 77:
        pytest.skip(done.stdout.strip())
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["unbalanced"] == 0 and result["not_back"] == 0, done.stdout
    assert set(result["states"].values()) == {"live"} and result["polls"] > 10, done.stdout
    assert result["files"][1] <= result["files"][0] + 2, done.stdout
