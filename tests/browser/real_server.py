"""`spoton serve` with the fake engine, and a page on another port that uses it."""

import functools
import json
import os
import re
import socket
import subprocess
import threading
import time
import urllib.request
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SLOWER = float(os.environ.get("SPOTON_TEST_SLOWER", "1"))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class RealServer:
    """A context manager."""

    def __init__(self, folder, cameras, env=None, port=0):
        program = Path(os.environ.get("SPOTON_BIN", ROOT / "build" / "spoton")).resolve()
        assert os.access(program, os.X_OK), f"{program} is not there: build it first (make)"
        command = [str(program), "serve", "--engine", "fake", "--http-port", str(port)]
        for name, url in cameras.items():
            command += ["--camera", f"{name}={url}"]
        self.log = open(folder / "serve.log", "w")
        self.process = subprocess.Popen(command, cwd=folder, env={**os.environ, **(env or {})}, text=True,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log)
        found = re.fullmatch(r"dashboard: http://\S+:(\d+)/\n", self.process.stdout.readline())
        assert found, (folder / "serve.log").read_text()
        # By this name as the front end does it: with another one its cookies would be foreign.
        self.base = f"http://localhost:{found[1]}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(60 * SLOWER)
        self.process.stdout.close()
        self.log.close()

    def bytes(self, path, method="GET", body=None):
        request = urllib.request.Request(self.base + path, None if body is None else json.dumps(body).encode(),
                                         method=method)
        with urllib.request.urlopen(request, timeout=60 * SLOWER) as reply:
            return reply.read()

    def json(self, path, method="GET", body=None):
        return json.loads(self.bytes(path, method, body))

    def until(self, check, seconds=120):
        limit = time.monotonic() + seconds * SLOWER
        while not (value := check()):
            assert time.monotonic() < limit, f"not within {seconds * SLOWER:.0f} s"
            time.sleep(0.05)
        return value

    def until_shown(self, *names):
        self.until(lambda: all(c["ledger"]["inferred"] > 0 for c in self.json("/api/v2/cameras")["cameras"]
                               if c["name"] in names))

    def settled(self, name):
        """True when the camera is paused and none of its frames is in flight."""
        camera = self.json(f"/api/v2/cameras/{name}")
        return camera["state"] == "paused" and camera["ledger"]["in_flight"] == 0


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def serve_pages():
    """Serves the files of this folder, on the port of the front end's server if it is free."""
    handler = functools.partial(Quiet, directory=Path(__file__).parent)
    try:
        server = ThreadingHTTPServer(("127.0.0.1", 5173), handler)
    except OSError:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
