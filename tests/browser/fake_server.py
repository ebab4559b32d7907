"""A server with the part of docs/API.md that the dashboard uses, and frames of known content.

Each camera shows white rectangles on a dark ground that move fast; a message's boxes are those
rectangles, so that a frame shown with another frame's boxes is seen at once. Every 4th frame is
"predicted". Run by hand: fake_server.py [PORT].
"""

import base64
import hashlib
import io
import json
import re
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from PIL import Image, ImageDraw

WEB = Path(__file__).resolve().parents[2] / "web"
TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8",
         ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
          "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
WIDTH, HEIGHT, FPS = 1280, 720, 12
JPEG_WIDTH = 640


def boxes_of(camera, sequence):
    """[(id, x1, y1, x2, y2)], disjoint, moving about 30 px per frame."""
    boxes = []
    for i in range(3):
        x = (sequence * (24 + 8 * i) + 300 * i + 100 * camera) % 1080
        y = 60 + 210 * i
        boxes.append((1 + i + 10 * camera, x + 20, y, x + 120, y + 150))
    return boxes


def frame_of(camera, sequence, boxes):
    image = Image.new("RGB", (WIDTH, HEIGHT), (26, 30, 36))
    draw = ImageDraw.Draw(image)
    for _, *box in boxes:
        draw.rectangle(box, fill=(255, 255, 255))
    image = image.resize((JPEG_WIDTH, HEIGHT * JPEG_WIDTH // WIDTH), Image.Resampling.BOX)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=85)
    return out.getvalue()


def message_of(name, sequence, inferred, boxes, jpeg):
    rows = b""
    for i, *corners in boxes:
        parts = [round(value / (WIDTH, HEIGHT)[k % 2] * 16383) for k, value in enumerate(corners)]
        rows += sum(part << 14 * k for k, part in enumerate(parts)).to_bytes(7, "little")
        rows += bytes([222, i])
    if boxes:
        rows = struct.pack("<IB", 0, 0) + rows  # the ids' base, the class
    now, pts_us = int(time.time() * 1e6), sequence * 1000000 // FPS
    head = struct.pack("<3sBBBHIHHqIIh", b"SPT", 2, (1 if inferred else 0) | 2, len(name), len(boxes),
                       sequence, WIDTH, HEIGHT, now, 41200, pts_us & 0xFFFFFFFF, pts_us >> 32)
    return head + name.encode() + rows + jpeg


class Box:
    """The state of the fake server."""

    def __init__(self, token=None, websocket=True):
        self.token, self.websocket = token, websocket
        self.lock = threading.Lock()
        self.started = time.monotonic()
        self.batch, self.streams = 16, 1
        self.up = True  # False: all connections are cut
        self.cameras = {}
        self.sockets = []  # the queries of those that are open
        self.released = threading.Event()  # clear: a list of the cameras is made, and sent once it is set
        self.released.set()
        self.held = threading.Event()
        self.counter = 0
        for name, state, reason in (("lobby", "live", None), ("door", "live", None),
                                    ("yard", "offline", "rtsp://user:***@192.0.2.7/live: connection refused; trying again in 8 s"),
                                    ("stairs", "frozen", "the frame has not changed for 12 s")):
            self.add(name, "sim://people", state, reason)

    def add(self, name, url, state="live", reason=None):
        self.cameras[name] = {"url": url, "state": state, "reason": reason, "number": self.counter}
        self.counter += 1

    def frame(self):
        return int((time.monotonic() - self.started) * FPS) + 1

    def describe(self, name):
        camera, n = self.cameras[name], self.frame() * 2
        going = camera["state"] in ("live", "frozen")
        return {"name": name, "url": camera["url"], "state": camera["state"],
                "reason": camera["reason"], "width": WIDTH, "height": HEIGHT, "codec": "h264",
                "camera_fps": 25.0 if going else 0.0, "inferred_fps": 8.3 if going else 0.0,
                "latency_ms": {"p50": 38.1, "p95": 61.0}, "tracks": 3 if going else 0,
                "reconnects": 0 if going else 7, "last_frame_age_ms": 21,
                "ledger": {"received": 3 * n + 2, "inferred": n, "skipped": 2 * n - 5, "unneeded": 0, "dropped": 4,
                           "failed": 1, "in_flight": 2}}

    def stats(self):
        wave = abs(self.frame() % 40 - 20)
        return {"uptime_s": time.monotonic() - self.started, "frames_per_s": 99.8,
                "inferred_per_s": 33.2,
                "engine": {"name": "openvino", "device": "CPU", "precision": "f32",
                           "model": "person.onnx",
                           "inputs": [{"width": 640, "height": 480, "batch": self.batch, "streams": self.streams, "images": 8120}]},
                "stages": {"total": {"p50_ms": 38.1, "p95_ms": 61, "p99_ms": 70, "count": 8120}},
                "batch": {"size": self.batch, "detect_ms": 120 + 2 * wave, "track_ms": 1.4 + wave / 20,
                          "encode_ms": 26 + wave / 2, "send_ms": 3.25},
                "memory_bytes": 312000000, "viewers": {"mjpeg": 0, "ws": len(self.sockets)}}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    @property
    def box(self):
        return self.server.box

    def handle_one_request(self):
        super().handle_one_request()
        if not self.box.up:
            self.close_connection = True

    def reply(self, status, body=b"", kind="application/json", headers=()):
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("Cache-Control", "no-store")
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, status, detail):
        self.reply(status, {"detail": detail})

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        url = urlsplit(self.path)
        path = unquote(url.path)
        if not self.box.up:
            self.close_connection = True
            return
        if not path.startswith("/api/"):
            return self.file(path)
        path = path.removeprefix("/api/v2/")
        if path == "login":
            if json.loads(body)["token"] != self.box.token:
                return self.refuse(401, "wrong token")
            return self.reply(204, headers=[("Set-Cookie", "spoton=yes; HttpOnly; SameSite=Strict; Path=/")])
        if path == "logout":
            return self.reply(204, headers=[("Set-Cookie", "spoton=; Max-Age=0; Path=/")])
        if self.box.token and "spoton=yes" not in self.headers.get("Cookie", ""):
            return self.refuse(401, "a token is wanted")
        if path == "ws":
            return self.stream(parse_qs(url.query))
        self.rest(path, body, parse_qs(url.query))

    do_GET = do_POST = do_DELETE = answer

    def file(self, path):
        file = WEB / ("index.html" if path == "/" else path.lstrip("/"))
        if file.parent != WEB or not file.is_file():
            return self.refuse(404, f"{path} is not there")
        self.reply(200, file.read_bytes(), TYPES[file.suffix])

    def rest(self, path, body, query):
        cameras = self.box.cameras
        match = re.fullmatch(r"cameras/([^/]+)(?:/(pause|resume|stream\.mjpg))?", path)
        if path == "stats":
            return self.reply(200, self.box.stats())
        if path == "counts":
            return self.reply(200, {"version": 1, "missed": 0, "lines": [], "zones": []})
        if path == "analytics":
            return self.reply(200, {"version": 1, "cameras": [], "map": {"edited": False, "lines": [], "zones": []}})
        if path == "cameras" and self.command == "GET":
            made = {"cameras": [self.box.describe(name) for name in list(cameras)]}
            if not self.box.released.is_set():
                self.box.held.set()
                self.box.released.wait(60)
            return self.reply(200, made)
        if path == "cameras":
            wish = json.loads(body)
            if not re.fullmatch(r"[\w.-]+", wish["name"]):
                return self.refuse(400, f"camera name {wish['name']!r}: only letters, digits, - _ .")
            if wish["name"] in cameras:
                return self.refuse(409, f"camera {wish['name']}: the name is in use")
            self.box.add(wish["name"], wish["url"])
            return self.reply(201, self.box.describe(wish["name"]))
        if not match or match[1] not in cameras:
            return self.refuse(404, f"{path} is not there")
        name, action = match.groups()
        if self.command == "DELETE":
            del cameras[name]
            return self.reply(204)
        if action == "stream.mjpg":
            return self.mjpeg(name)
        cameras[name]["state"] = "paused" if action == "pause" else "live"
        return self.reply(200, self.box.describe(name))

    def mjpeg(self, name):
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        self.close_connection = True
        number = self.box.cameras[name]["number"]
        try:
            while self.box.up:
                n = self.box.frame()
                jpeg = frame_of(number, n, boxes_of(number, n))
                self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\n\r\n" + jpeg + b"\r\n")
                time.sleep(1 / FPS)
        except OSError:
            pass

    def stream(self, query):
        self.close_connection = True
        if not self.box.websocket:
            return self.refuse(404, "no WebSocket here")
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.end_headers()
        with self.box.lock:
            self.box.sockets.append(query)
        threading.Thread(target=self.until_closed, daemon=True).start()
        self.gone = False
        last = 0
        try:
            while self.box.up and not self.gone:
                n = self.box.frame()
                if n != last:
                    last = n
                    self.send_frames(query["cameras"][0].split(","), n)
                time.sleep(0.01)
        except OSError:
            pass
        finally:
            with self.box.lock:
                self.box.sockets.remove(query)

    def until_closed(self):
        try:
            while (head := self.rfile.read(1)) and head[0] & 15 != 8:
                self.rfile.read(1)
        except (OSError, ValueError):
            pass
        self.gone = True

    def send_frames(self, names, n):
        for name in names:
            camera = self.box.cameras.get(name)
            if not camera or camera["state"] not in ("live", "frozen"):
                continue
            boxes = boxes_of(camera["number"], n)
            data = message_of(name, n, n % 4 != 0, boxes, frame_of(camera["number"], n, boxes))
            size = (struct.pack(">BBH", 0x82, 126, len(data)) if len(data) < 65536
                    else struct.pack(">BBQ", 0x82, 127, len(data)))
            self.wfile.write(size + data)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(*_)


def start(port=0, **options):
    server = Server(("127.0.0.1", port), Handler)
    server.box = Box(**options)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


if __name__ == "__main__":
    running = start(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    print(f"http://127.0.0.1:{running.server_port}/", flush=True)
    threading.Event().wait()
