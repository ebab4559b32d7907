#!/usr/bin/env python3
"""Measures outputs with real servers on this machine.

    .venv/bin/python tests/bench/bench_outputs.py [--seconds 20] [--burst 200000] [NAME...]

NAME: mqtt, redis, nats, webhook (default: all that are installed). For each: the CPU time of the process at 1,600
messages/s (64 cameras x 25), then the time until a burst is acknowledged: messages/s, and how many times real
time that is. The servers run on the same cores. Prints a JSON object for each."""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "integration"))
from brokers import Mosquitto, Nats, Redis, free_port  # noqa: E402


class Hook(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def measure(name, outputs, arguments):
    done = subprocess.run([ROOT / "build" / "tests" / "bench" / "bench_outbox", outputs, f"seconds={arguments.seconds}",
                           f"burst={arguments.burst}"], capture_output=True, text=True,
                          env={**os.environ, "SPOTON_OUTPUT_DIR": str(ROOT / "build" / "outputs"), "PASSWORD": "s3cret",
                               "NO_PROXY": "*"})
    print(name, done.stdout.strip() or done.stderr.strip(), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--burst", type=int, default=200000)
    parser.add_argument("names", nargs="*", metavar="NAME")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    for name, kind, more in (("mqtt", Mosquitto, ""), ("redis", Redis, "&password_env=PASSWORD&maxlen=100000"),
                             ("nats", Nats, "&user=cam&password_env=PASSWORD&stream=spoton")):
        if not arguments.names or name in arguments.names:
            with kind(folder) as server:
                measure(name, f"{name}?url={name}://127.0.0.1:{server.port}{more}", arguments)
    if not arguments.names or "webhook" in arguments.names:
        server = ThreadingHTTPServer(("127.0.0.1", free_port()), Hook)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        measure("webhook", f"webhook?url=http://127.0.0.1:{server.server_address[1]}/&batch=100&format=cloudevents",
                arguments)


if __name__ == "__main__":
    main()
