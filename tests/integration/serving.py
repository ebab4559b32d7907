"""A running `spoton serve`, and clients for it."""

import base64
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import websockets.sync.client

from conftest import SANITIZER_REPORT, SLOWER, clean_environment


# The limit of a wait for a message, in seconds: it only ends hangs.
LIMIT_S = 60 * SLOWER


def connect(url, **options):
    """A WebSocket client that a busy machine's slow server does not lose."""
    return websockets.sync.client.connect(url, **{"open_timeout": LIMIT_S, "ping_interval": None, **options})


# The server exits within 1.2 s of a signal, whatever it waits for. Every uninterrupted wait in these tests would take
# 8 s or more.
STOP_LIMIT_S = 6


def only_waits(pid):
    """Whether all threads of a process sleep: none is stopped, or runs, or would if a busy machine let it."""
    try:
        return all(Path(f"/proc/{pid}/task/{task}/stat").read_text().rpartition(")")[2].split()[0] == "S"
                   for task in os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return False


class Serving:
    """The program, serving on a free port with the fake engine. Use as a context."""

    def __init__(self, program, folder, cameras, env=None, args=()):
        self.folder = folder / "serve"
        self.folder.mkdir(exist_ok=True)
        settings = {"ENGINE": "fake", "HTTP_PORT": "0", **(env or {})}
        command = [str(program), "serve", *args]
        for name, url in cameras.items():
            command += ["--camera", f"{name}={url}"]
        self.log_path = self.folder / "log"
        self.log_path.unlink(missing_ok=True)
        self.log_file = open(self.log_path, "a")
        self.process = subprocess.Popen(
            command, cwd=self.folder, env=clean_environment(folder, settings), text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log_file)
        line = self.process.stdout.readline()
        found = re.fullmatch(r"dashboard: (https?)://(\S+):(\d+)/\n", line)
        assert found, line + self.log()
        self.host, self.port = found[2].strip("[]"), int(found[3])

    def log(self):
        return self.log_path.read_text()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()

    def stop(self, number=signal.SIGTERM, status=0):
        """Stops the server; returns the seconds that it took. In waited_s are those in which it only waited."""
        begin = last = time.monotonic()
        self.waited_s = 0
        self.process.send_signal(number)
        try:
            while (code := self.process.poll()) is None:
                time.sleep(0.02)
                now = time.monotonic()
                if only_waits(self.process.pid):
                    self.waited_s += min(now - last, 0.2)  # a longer time was not looked at
                last = now
                if now - begin > 2 * LIMIT_S:
                    self.process.kill()
                    self.process.wait()
                    raise AssertionError("the server does not end\n" + self.log())
        finally:
            self.process.stdout.close()
            self.log_file.close()
        log = self.log()
        assert not SANITIZER_REPORT.search(log), log
        assert code == status, f"status {code}\n{log}"
        return time.monotonic() - begin

    def request(self, method, path, body=None, headers=None):
        """(status, headers, bytes)"""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2 * LIMIT_S)
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        connection.request(method, path, body, headers or {})
        reply = connection.getresponse()
        data = reply.read()
        connection.close()
        return reply.status, reply.headers, data

    def json(self, method, path, body=None, status=200, headers=None):
        found, _, data = self.request(method, path, body, headers)
        assert found == status, (found, data)
        return json.loads(data) if data else None

    def get(self, path, status=200):
        return self.json("GET", path, status=status)

    def until(self, check, seconds=15):
        """Waits until check() is true and returns its result. `seconds`: the limit on an idle machine; a busy
        one gets more, because the limit only ends hangs."""
        seconds *= 8
        limit = time.monotonic() + seconds * SLOWER
        while time.monotonic() < limit:
            value = check()
            if value:
                return value
            time.sleep(0.05)
        raise AssertionError(f"not within {seconds * SLOWER:.0f} s\n" + self.log())

    def until_live(self, *names):
        def all_live():
            cameras = {c["name"]: c for c in self.get("/api/v2/cameras")["cameras"]}
            return all(n in cameras and cameras[n]["state"] == "live" and
                       cameras[n]["ledger"]["inferred"] > 0 for n in names)
        self.until(all_live)

    def raw(self, data=b""):
        """An open socket that has sent `data`."""
        client = socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT_S)
        client.sendall(data)
        return client

    def ws_url(self, path):
        return f"ws://127.0.0.1:{self.port}{path}"

    def memory_bytes(self):
        pages = int((open(f"/proc/{self.process.pid}/statm").read()).split()[1])
        return pages * os.sysconf("SC_PAGESIZE")


def upgrade_request(path, more=""):
    key = base64.b64encode(b"0123456789abcdef").decode()
    return (f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
            f"{more}\r\n").encode()


def read_parts(client, count):
    """JPEGs of an MJPEG stream on a raw socket."""
    data, parts = b"", []
    head, _, data = read_until(client, b"\r\n\r\n", data)
    assert b"multipart/x-mixed-replace; boundary=frame" in head, head
    while len(parts) < count:
        _, _, data = read_until(client, b"--frame\r\nContent-Type: image/jpeg\r\n\r\n", data)
        jpeg, _, data = read_until(client, b"\r\n--frame\r\n", data)
        data = b"--frame\r\n" + data
        parts.append(jpeg)
    return parts


def read_until(client, mark, data):
    while mark not in data:
        more = client.recv(65536)
        assert more, "the connection was closed"
        data += more
    return data.partition(mark)
